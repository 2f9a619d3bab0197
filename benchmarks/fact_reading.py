"""What the facts drawn from a week of support chats hold, by the rules alone and with a writer that reads the turns.

    python -m benchmarks.fact_reading [--quick] [--json] [--week NAME] [--readers NAMES] [--model ID] [--folder FOLDER --minutes M]
                                      [--seed N]

The week's conversations are recorded as each customer's episodes, and the facts of all of them are drawn at once, as a first night would.
`rules` is what the sentences alone give, `writer` what the model named by `--model` adds by reading every turn (`facts.reader`). A gold
question counts as held when a fact that is told conveys one of its answers, in the statement or in the words it was drawn from. No
model is trained and no question asked: this is about what a night can teach, not what it does. `--quick` is the first customer alone.
`--folder` with `--minutes` stops the reading after so many minutes and goes on at the next call.

`--json` prints one object on the last line; per reader
  held, questions        gold questions that a told fact answers, of how many
  held_share             the same in percent
  facts, turns           facts told, turns of users
  stated, floor, refused claims of the writer in its own words, in the user's, and those that failed a check by reason
  tokens                 that the writer wrote
  processor_s            processor seconds of drawing, reading included, loading the model not
and model, week, trials, seeds. Both readers are deterministic, so a second trial differs in seconds alone.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from benchmarks.reporting import report
from seal_agent.builders import build_embedder
from seal_agent.config import FactSettings, ModelSettings, SelfEditSettings, Settings
from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.grading import PhraseGrader, conveys
from seal_agent.consolidation.leasing import leased
from seal_agent.consolidation.preparing import draw
from seal_agent.consolidation.reading import read, understood
from seal_agent.consolidation.run import Run
from seal_agent.consolidation.selection import select
from seal_agent.errors import CycleInterruptedError, SealAgentError
from seal_agent.ledger.episodes import add_episodes
from seal_agent.ledger.ledger import Ledger
from seal_agent.protocols import Embedder, Model
from seal_agent.testing import InstantTrainer, ScriptedModel
from seal_agent.types import Episode, Fact, ReadingReport, ScopeId, Turn, silent

DATA = Path(__file__).parents[1] / "examples" / "data"
READERS = ("rules", "writer")
MODEL = "smollm2-135m-instruct"
EMBEDDER = "all-minilm-l6-v2"


def week(name: str = "support_week") -> dict[str, list[Episode]]:
    """The example conversations, by user."""
    by_user: dict[str, list[Episode]] = defaultdict(list)
    for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        by_user[row["user"]].append(
            Episode(
                id=row["session"],
                scope=ScopeId(agent=row["agent"], user=row["user"]),
                session=row["session"],
                at=datetime.fromisoformat(row["started"]),
                turns=tuple(Turn(**said) for said in row["turns"]),
            )
        )
    return by_user


def gold(name: str = "support_week") -> list[dict[str, Any]]:  # Any: JSON
    """The questions about the week, with their answers and the user whom they are about."""
    return [json.loads(line) for line in (DATA / f"{name}_gold.jsonl").read_text(encoding="utf-8").splitlines()]


def is_held(question: dict[str, Any], told: Sequence[Fact]) -> bool:  # Any: JSON
    return any(conveys(f"{fact.quote} {fact.text}", answer) for fact in told for answer in question["answers"])


def drawn(brain: Path, episodes: Sequence[Episode], reader: str, parts: tuple[Model, Embedder], until: float) -> tuple[Any, list[Fact]]:
    """What the writer came to (None: the rules alone) and the facts that are told; what was read is kept in the brain."""
    model, embedder = parts
    with Ledger.open(brain) as ledger, ExitStack() as held:
        backends = Backends(
            ledger=ledger,
            model=model,
            trainer=InstantTrainer(),
            embedder=embedder,
            grader=PhraseGrader(),
            settings=Settings(facts=FactSettings(reader="writer" if reader == "writer" else "rules"), self_edit=SelfEditSettings()),
            folder=brain,
            base_sha256="0" * 64,
        )
        with ledger.write() as connection:
            add_episodes(connection, [(episode, None) for episode in episodes], None)
        scope = episodes[0].scope
        lease = held.enter_context(leased(backends, scope, lambda: datetime.now(UTC)))
        run = Run(
            scope=scope,
            backends=backends,
            progress=silent,
            should_stop=lambda: time.monotonic() > until,
            clock=lambda: datetime.now(UTC),
            lease=lease.lease,
        )
        selection = select(backends, scope)
        reading = understood(run, read(run, selection.episodes), selection.episodes)
        drafts = draw(run, selection, reading)
    gone = {old for draft in drafts for old in draft.supersedes}
    return reading.report, [draft.fact for draft in drafts if draft.fact.id not in gone]


def clocked(folder: Path, user: str, reader: str, begun: float) -> float:
    """Processor seconds of this user's reading, those of earlier calls included."""
    file = folder / f"{user}-{reader}.seconds"
    before = float(file.read_text()) if file.exists() else 0.0
    total = before + time.process_time() - begun
    file.write_text(str(total))
    return total


def figures(options: argparse.Namespace, folder: Path, reader: str) -> dict[str, Any]:  # Any: JSON
    parts = (model_of(options) if reader == "writer" else ScriptedModel({}), build_embedder(EMBEDDER, silent))
    parts[1].embed(["warm"])
    until = time.monotonic() + 60 * options.minutes
    told: dict[str, list[Fact]] = {}
    reports: list[ReadingReport] = []
    seconds = 0.0
    users = list(week(options.week).items())[: 1 if options.quick else None]
    for user, episodes in users:
        begun = time.process_time()
        try:
            found, told[user] = drawn(folder / reader, episodes, reader, parts, until)
        finally:
            spent = clocked(folder, user, reader, begun)
        seconds += spent
        reports += [found] if found is not None else []
        report(f"{reader} {user}: {len(told[user])} facts, {spent:.1f} processor seconds")
    asked = [question for question in gold(options.week) if question["user"] in told]
    held = sum(is_held(question, told[question["user"]]) for question in asked)
    refused: Counter[str] = Counter()
    for one in reports:
        refused.update(one.refused)
    return {
        "held": held,
        "questions": len(asked),
        "held_share": round(100 * held / len(asked), 1),
        "facts": sum(map(len, told.values())),
        "turns": sum(turn.role == "user" for _, episodes in users for episode in episodes for turn in episode.turns),
        "stated": sum(one.stated for one in reports),
        "floor": sum(one.floor for one in reports),
        "refused": dict(sorted(refused.items())),
        "tokens": sum(one.tokens for one in reports),
        "processor_s": round(seconds, 1),
    }


def model_of(options: argparse.Namespace) -> Model:
    from seal_agent.models.local import LocalModel  # here, because the rules need no torch
    from seal_agent.models.weights import resolve

    return LocalModel(resolve(options.model), options.model, ModelSettings())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="fact_reading", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the first customer alone")
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    parser.add_argument("--week", default="support_week", choices=("support_week", "second_week"))
    parser.add_argument("--readers", default=",".join(READERS), help="which, by comma")
    parser.add_argument("--model", default=MODEL, help="who reads: hub id, local folder or the embedded model")
    parser.add_argument("--folder", type=Path, help="where what was read is kept; an unfinished reading is gone on with")
    parser.add_argument("--minutes", type=float, default=1e6, help="of reading, per reader and call")
    parser.add_argument("--seed", type=int, default=0, help="kept with the figures; nothing here is drawn at random")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.readers.split(",")) - set(READERS))
    if unknown:
        parser.error(f"no reader {unknown[0]!r}; there are {', '.join(READERS)}")
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = (options.folder or Path(temporary)).absolute()
            folder.mkdir(parents=True, exist_ok=True)
            found = {reader: figures(options, folder, reader) for reader in options.readers.split(",")}
    except CycleInterruptedError as error:
        print(f"{error} The same command with --folder goes on.", file=sys.stderr)
        return error.exit_code
    except SealAgentError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for reader, row in found.items():
        print(f"{reader:7} " + "  ".join(f"{name} {value}" for name, value in row.items()))
    if options.json:
        print(json.dumps(found | {"model": options.model, "week": options.week, "trials": 1, "seeds": [options.seed]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
