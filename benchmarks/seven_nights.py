"""Seven nights in a row: what the first one taught, once six others have followed, and the same nights by merging night upon night.

    python -m benchmarks.seven_nights [--quick] [--json] [--plot FILE.svg] [--nights N] [--facts N] [--seed N] [--model ID]
        [--out FILE] [--minutes M]

Every night tells 8 made-up facts and, from the second on, a new value for one of an earlier night (`nights_plan.py`). Ours trains one
adapter each night from the untouched base on everything that holds, as a consolidation does. `sequential_merge` is SEAL's way with
several edits: each night trains on that night's facts alone and is merged into the weights for good, on which the next one trains.
Trainer, settings, study material per fact and share of anchors are the same, so that only the way in which nights are joined differs; the
gate, which would refuse a night, is in neither. Held-out questions, two per fact, are asked closed book. Default: 7 nights of 8 facts;
`--quick` is 3 nights of 3. `--out` keeps what is done, `--minutes` ends in good time, and the same command goes on; figures are then those
after the nights that are done, and `nights` says how many.

`--json` prints one object on the last line:
  night1_after_first    recall of the facts of night 1 that hold to the end, right after it
  night1_after_last     the same after the last night
  mean_live_last        recall of all facts that hold after the last night
  general_first         share of general questions that the base has right, before any night
  general_last          the same after the last night
  stale_told            share of the questions about superseded facts that are answered with a value that no longer holds, after the last
  seconds               wall time of training, all nights together
  by_night              after each night: night1, live, stale (null where nothing is superseded yet), general, seconds
  sequential_merge      the same keys for the other arm
  nights, facts, model, trials, seeds   what ran; trials is 1
`--plot` draws `night1` and `live` of both arms after each night.

Facts are taught by six questions each, not by what a night would write, and made-up people are no users: see `seal-agent demo` for that.
"""

import shutil
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import line_chart, portions
from benchmarks.merging import merged
from benchmarks.nights_plan import PEOPLE, Told, live_after, make_nights
from benchmarks.portions import Portions
from benchmarks.reporting import report
from seal_agent.config import ModelSettings
from seal_agent.consolidation.evaluation import MAX_REPLY_TOKENS, Examiner
from seal_agent.consolidation.grading import PhraseGrader
from seal_agent.consolidation.inner_loop import anchor_count, anchors
from seal_agent.errors import UsageError
from seal_agent.models.local import LocalModel
from seal_agent.trainers.lora import LoraTrainer
from seal_agent.types import Graded, share, silent

NIGHTS, FACTS = 7, 8
QUICK_NIGHTS, QUICK_FACTS = 3, 3
ADAPTER = "night"

Row = dict[str, Any]
"""After one night: night1, live, stale, general, seconds."""


class Bench:
    """The base, what is told when, and how a night is trained and asked."""

    def __init__(self, model: LocalModel, told: list[list[Told]], seed: int, folder: Path) -> None:
        self.model = model
        self.told = told
        self.folder = folder
        self._seed = seed
        self._settings = portions.training(seed=seed)
        replaced = {fact.id for facts in told for fact in facts if fact.former}
        self._first = {fact.id for fact in told[0]} - replaced

    def general(self) -> float:
        graded, _ = self._examiner(self.model).general(None)
        return share(graded) or 0.0

    def ours(self, night: int) -> Row:
        """From the untouched base, on everything that holds."""
        with tempfile.TemporaryDirectory() as folder:
            return self._trained(self.model, live_after(self.told, night), night, Path(folder) / ADAPTER)

    def merging(self, night: int) -> Row:
        """On the weights into which all earlier nights are merged, on this night's facts."""
        before = [self.folder / f"merged-night-{earlier}" for earlier in range(night)]
        with self._with_merged(before) as model:
            out = self.folder / f"merged-night-{night}"
            shutil.rmtree(out, ignore_errors=True)  # of a process that died here
            return self._trained(model, self.told[night], night, out)

    @contextmanager
    def _with_merged(self, adapters: Sequence[Path]) -> Iterator[LocalModel]:
        missing = [path for path in adapters if not path.is_dir()]
        if missing:
            raise UsageError(f"{missing[0]} is gone, on which later nights build; begin anew with another --out.")
        if not adapters:
            yield self.model
            return
        with tempfile.TemporaryDirectory() as folder:
            model = LocalModel(merged(self.model.folder, adapters, Path(folder)), f"merged-{len(adapters)}", ModelSettings())
            yield model
            model.close()

    def _trained(self, model: LocalModel, facts: list[Told], night: int, out: Path) -> Row:
        examples = [example for fact in facts for example in fact.examples()]
        examples += anchors(anchor_count(len(examples), self._settings), self._examiner(model), self._settings)
        result = LoraTrainer(model, self._settings).train(
            examples, probes=(), out=out, seed=self._seed, progress=silent, should_stop=lambda: False
        )
        model.load_adapter(ADAPTER, out)
        row = self._asked(model, night)
        model.unload_adapter(ADAPTER)
        return {**row, "seconds": result.seconds}

    def _asked(self, model: LocalModel, night: int) -> Row:
        examiner = self._examiner(model)
        questions = [question for fact in live_after(self.told, night) for question in fact.questions()]
        graded = examiner.ask(ADAPTER, questions, MAX_REPLY_TOKENS)
        replaced = [one for one in graded if one.question.stale]
        general, _ = examiner.general(ADAPTER)
        return {
            "night1": recall([one for one in graded if one.question.fact_id in self._first]),
            "live": recall(graded),
            "stale": sum(one.stale for one in replaced) / len(replaced) if replaced else None,
            "general": recall(general),
        }

    def _examiner(self, model: LocalModel) -> Examiner:
        return Examiner(model=model, grader=PhraseGrader(), system_prompt="", cache=self.folder)


def recall(graded: Sequence[Graded]) -> float | None:
    return share(tuple(graded))


def measure(bench: Bench, kept: Portions) -> dict[str, Any]:
    """Hold every night of both arms for which there is time; return the object that `--json` prints."""
    rows: dict[str, list[Row]] = {"ours": [], "sequential_merge": []}
    for night in range(len(bench.told)):
        for arm, hold in (("ours", bench.ours), ("sequential_merge", bench.merging)):
            unit = f"{night}/{arm}"
            if len(rows[arm]) == night and kept.wants(unit):
                rows[arm].append(kept.result(unit, partial(hold, night)))
                report(f"night {night + 1} {arm}: " + ", ".join(f"{key} {value}" for key, value in rows[arm][-1].items()))
    done = min(map(len, rows.values()))
    if not done:
        return {"nights": 0}
    general = kept.result("general", bench.general)
    return {
        **figures(rows["ours"][:done], general),
        "sequential_merge": figures(rows["sequential_merge"][:done], general),
        "nights": done,
        "facts": [len(facts) for facts in bench.told],
        "model": bench.model.id,
        "trials": 1,
    }


def figures(rows: Sequence[Row], general: float) -> dict[str, Any]:
    return {
        "night1_after_first": rows[0]["night1"],
        "night1_after_last": rows[-1]["night1"],
        "mean_live_last": rows[-1]["live"],
        "general_first": general,
        "general_last": rows[-1]["general"],
        "stale_told": rows[-1]["stale"],
        "seconds": sum(row["seconds"] for row in rows),
        "by_night": list(rows),
    }


def plot(found: dict[str, Any], out: Path) -> None:
    series = {
        f"{label}: {name}": [row[key] or 0.0 for row in arm["by_night"]]
        for label, arm in (("rebuilt from the base", found), ("merged night upon night", found["sequential_merge"]))
        for key, name in (("night1", "facts of night 1"), ("live", "all facts that hold"))
    }
    line_chart.draw(series, "Held-out recall after each night, closed book", out)


def parse(arguments: Sequence[str] | None) -> Namespace:
    parser = portions.parser("seven_nights", __doc__, quick=f"{QUICK_NIGHTS} nights of {QUICK_FACTS} facts")
    parser.add_argument("--plot", type=Path, help="draw recall after each night into this SVG file")
    parser.add_argument("--nights", type=portions.count, help=f"how many nights ({NIGHTS})")
    parser.add_argument("--facts", type=portions.count, help=f"new facts a night ({FACTS})")
    parser.add_argument("--seed", type=int, default=0, help="of the facts and of training (0)")
    options = parser.parse_args(arguments)
    options.nights = options.nights or (QUICK_NIGHTS if options.quick else NIGHTS)
    options.facts = options.facts or (QUICK_FACTS if options.quick else FACTS)
    if options.nights * options.facts > len(PEOPLE) * 4:
        parser.error(f"there are no more than {len(PEOPLE) * 4} facts to tell; take fewer --nights or --facts")
    return options


def show(found: dict[str, Any], plotted: Path | None) -> None:
    if plotted and found["nights"]:
        plot(found, plotted)
    for name, arm in (("ours", found), ("sequential_merge", found.get("sequential_merge", {}))):
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in arm.items() if isinstance(value, float)))


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    nights, seed = make_nights(options.nights, options.facts, options.seed), options.seed
    return portions.run(
        options,
        {"nights": options.nights, "facts": options.facts, "seed": seed},
        lambda model, folder, kept: measure(Bench(model, nights, seed, folder), kept) | {"seeds": [seed]},
        partial(show, plotted=options.plot),
    )


if __name__ == "__main__":
    sys.exit(main())
