"""Adding and searching beside mem0 and LangChain's Chroma store: the same turns, the same vectors, the same questions.

    python -m benchmarks.memory_peers --data locomo10.json [--quick] [--json] [--systems NAMES] [--trials N] [--turns N] [--single N]
                                      [--vectors FILE] [--environment FOLDER] [--folder FOLDER --minutes N] [--seed N]

LoCoMo's ten conversations (`seal-agent bench locomo` says where to get them) are the memory of ten users; its observations and summaries,
a sentence a turn, are that of further users, up to 10,000 turns. Each system runs in a process of its own (`memory_peer.py`), one after
another, with its defaults: seal-agent in this environment; `mem0` (`infer=False`, Chroma) and LangChain's Chroma store in one that is made
with pip from the pins below. All stores lie on the same disk. The first 2,000 turns are added one by one, the others in batches of 1,000
where the system has a call for that; mem0 has none. Then every question is searched for among its user's turns.

**The cost of embedding is left out**: all-MiniLM-L6-v2 embeds every text before (kept in `--vectors`), and each system reads the vectors
from the same table. It embeds what each system embeds by itself: the words for the peers, the words with speaker and date for seal-agent.

`--quick` is 1,000 turns, 300 of them one by one, and every fifth question. `--folder` with `--minutes` stops each system after so many
minutes of adding and goes on at the next call: mem0 takes a quarter of an hour for 10,000. A trial of a system that is whole is kept there
and not run again; each trial has stores of its own. A folder that was begun with other turns, questions or versions is refused.

`--json` prints one object on the last line; per system (`seal_agent`, `mem0`, `langchain_chroma`) medians over the trials of
  add_per_s         turns added one by one, per wall second, each on disk as the system sees to it (seal-agent: synced before it returns)
  batch_add_per_s   turns added in batches; null where there is no call for it
  search_p50_ms, search_p95_ms   wall time of a search for 10 within one user, embedding of the query left out
  disk_mb           the store's folder, closed
  rss_mb            largest resident memory of the process, Python and libraries included
  recall_at_10      share of the evidence turns among the first ten, in percent, mean over the questions
  version           what was measured
and turns, questions, bare_commits_per_s (single rows committed by SQLite alone with synchronous=FULL on the same disk, right before),
trials, seeds (the order of the questions), spread (per system and figure: largest minus smallest, over the median; null for one trial).
"""

import argparse
import json
import platform
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.portions import Portions
from seal_agent.bench.locomo import LocomoConversation, read_locomo
from seal_agent.bench.vectors_on_file import VectorsOnFile
from seal_agent.builders import build_embedder
from seal_agent.errors import SealAgentError, UsageError
from seal_agent.retrieval.labels import embedded_text
from seal_agent.turns import to_turns
from seal_agent.types import Progress, ScopeId

PINS = ("mem0ai==2.2.1", "langchain-chroma==1.1.0", "langchain-core==1.7.2", "chromadb==1.5.9", "numpy==2.4.6")
SYSTEMS = ("seal_agent", "mem0", "langchain_chroma")
FIGURES = ("add_per_s", "batch_add_per_s", "search_p50_ms", "search_p95_ms", "disk_mb", "rss_mb", "recall_at_10")
EMBEDDER = "all-minilm-l6-v2"
WORKER = Path(__file__).with_name("memory_peer.py")
ROOT = WORKER.parents[1]
SENTENCE = re.compile(r"(?<=[.!?])\s+")
COMMITS = 300
QUICK_STEP = 5

Turn = dict[str, str]


def turns_of(conversations: Sequence[LocomoConversation]) -> Iterator[Turn]:
    """Every turn of the conversations, in order, as the memory of a user each."""
    for number, conversation in enumerate(conversations):
        for count, session in enumerate(conversation.sessions):
            assert session.at is not None
            for place, turn in enumerate(to_turns(session.messages)):
                yield {
                    "id": f"{number}-{count}-{place}",
                    "user": f"locomo-{number}",
                    "session": str(session.session),
                    "at": session.at.isoformat(),
                    "role": turn.role,
                    "name": turn.name or "",
                    "text": turn.content,
                }


def others(file: Path, at: datetime) -> Iterator[Turn]:
    """Sentences about the same conversations, as the memory of other users."""
    for number, given in enumerate(json.loads(file.read_text(encoding="utf-8"))):
        noted = [one for session in given["observation"].values() for found in session.values() for one in found]
        said = [one if isinstance(one, str) else one[0] for one in noted]
        said += [part for summary in given["session_summary"].values() for part in SENTENCE.split(summary) if part.strip()]
        for place, text in enumerate(dict.fromkeys(said)):
            name = f"other-{number}"
            yield {
                "id": f"{name}-{place}",
                "user": name,
                "session": f"notes {place // 20}",
                "at": at.isoformat(),
                "role": "user",
                "name": "Reader",
                "text": text,
            }


def questions_of(conversations: Sequence[LocomoConversation], held: set[str], step: int, seed: int) -> list[dict[str, Any]]:
    """The questions of which all evidence is among the turns, in random order."""
    found = [
        {"user": f"locomo-{number}", "text": one.text, "evidence": [f"{number}-{session}-{place}" for session, place in one.evidence]}
        for number, conversation in enumerate(conversations)
        for one in conversation.questions
    ]
    kept = [one for one in found if held.issuperset(one["evidence"])][::step]
    random.Random(seed).shuffle(kept)
    return kept


def label(turn: Turn) -> str:
    """What seal-agent gives its embedder for a turn."""
    scope, at = ScopeId(user=turn["user"]), datetime.fromisoformat(turn["at"])
    return embedded_text(turn["text"], scope, "user" if turn["role"] == "user" else "assistant", turn["name"], at)


def prepare(work: Path, data: Path, vectors: Path | None, *, turns: int, step: int, seed: int) -> tuple[int, int]:
    """Write what the workers read; return how many turns and questions."""
    conversations = read_locomo(data)
    given = [*turns_of(conversations), *others(data, datetime(2026, 1, 1, tzinfo=UTC))][:turns]
    if len(given) < turns:
        raise UsageError(f"{data} gives {len(given):,} turns, not {turns:,}; ask for fewer with --turns.")
    questions = questions_of(conversations, {turn["id"] for turn in given}, step, seed)
    texts = list(dict.fromkeys([text for turn in given for text in (turn["text"], label(turn))] + [one["text"] for one in questions]))
    table = VectorsOnFile(build_embedder(EMBEDDER, say), vectors, say)
    np.save(work / "vectors.npy", table.embed(texts))
    table.save()
    for name, value in (("texts", texts), ("turns", given), ("questions", questions)):
        (work / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return len(given), len(questions)


def say(progress: Progress) -> None:
    print(f"{progress.stage}: {progress.done} of {progress.total}", file=sys.stderr, flush=True)


def environment(folder: Path) -> Path:
    """Return the interpreter of an environment with the peers, made if it is not there."""
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"installing {', '.join(PINS)} into {folder}", file=sys.stderr, flush=True)
        venv.create(folder, symlinks=True, with_pip=True)
    done = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "install", "-q", *PINS], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UsageError(f"The peers could not be installed: {done.stderr[-1500:]}")
    return python


def run(system: str, python: Path, work: Path, folder: Path, limits: tuple[int, float]) -> dict[str, Any]:  # Any: JSON
    """Run one system in a process of its own."""
    single, minutes = limits
    command = [python, WORKER, system, work, folder, str(single), str(min(minutes, 1e6))]
    quiet = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "ANONYMIZED_TELEMETRY": "False", "OMP_WAIT_POLICY": "PASSIVE"}
    paths = {"PYTHONPATH": str(ROOT)} if system == "seal_agent" else {}
    done = subprocess.run([str(one) for one in command], stdout=subprocess.PIPE, text=True, check=False, env=quiet | paths)
    if done.returncode:
        raise UsageError(f"{system} ended with {done.returncode}; its own words are above.")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def whole(system: str, python: Path, work: Path, folder: Path, limits: tuple[int, float], count: int) -> dict[str, Any]:  # Any: JSON
    """One system's figures once it holds every turn; raise `UsageError` when its minutes were over before."""
    result = run(system, python, work, folder, limits)
    if result["turns"] < count:
        raise UsageError(f"{folder.name} has added {result['turns']} of {count} turns; the same command with --folder goes on.")
    return result


def bare_commits(folder: Path) -> float:
    """Rows of 2 kB committed one by one by SQLite alone, per second, with the log synced each time."""
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        connection = sqlite3.connect(Path(inside) / "bare.db", isolation_level=None)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "CREATE TABLE t (a)"):
            connection.execute(statement)
        began = time.perf_counter()
        for _ in range(COMMITS):
            connection.execute("INSERT INTO t VALUES (?)", ("x" * 2000,))
        seconds = time.perf_counter() - began
        connection.close()
    return COMMITS / seconds


def summary(trials: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:  # Any: JSON
    """Medians, and the spread about them."""
    medians: dict[str, Any] = {}
    spread: dict[str, Any] = {}
    for name in FIGURES:
        values = [trial[name] for trial in trials]
        medians[name] = None if None in values else round(median(values), 2)
        spread[name] = None if None in values or len(values) < 2 else round((max(values) - min(values)) / median(values), 3)
    return medians, spread


def versions() -> dict[str, str]:
    named = dict(pin.split("==") for pin in PINS)
    return {
        "seal_agent": f"seal-agent {version('seal-agent')}, chromadb {version('chromadb')}",
        "mem0": f"mem0ai {named['mem0ai']}, chromadb {named['chromadb']}",
        "langchain_chroma": f"langchain-chroma {named['langchain-chroma']}, chromadb {named['chromadb']}",
    }


def measure(options: argparse.Namespace, home: Path) -> dict[str, Any]:  # Any: JSON
    turns, single, step = (1_000, 300, QUICK_STEP) if options.quick else (options.turns, options.single, 1)
    work = home / "work"
    work.mkdir(parents=True, exist_ok=True)
    count, asked = prepare(work, options.data, options.vectors, turns=turns, step=step, seed=options.seed)
    peers = environment((options.environment or home / "peers").absolute())
    conditions = {"turns": count, "questions": asked, "single": single, "seed": options.seed, "versions": versions()}
    kept = Portions(None if options.folder is None else home / "figures.jsonl", conditions)
    bare = kept.result("bare commits", lambda: round(bare_commits(home), 1))
    figures: dict[str, Any] = {"turns": count, "questions": asked, "bare_commits_per_s": bare}
    found: dict[str, list[dict[str, Any]]] = {system: [] for system in options.systems.split(",")}
    for trial in range(options.trials):
        for system, done in found.items():
            python = Path(sys.executable) if system == "seal_agent" else peers
            name = f"{system}-{trial}"
            done.append(kept.result(name, partial(whole, system, python, work, home / name, (single, options.minutes), count)))
            print(f"trial {trial + 1} {system}: {done[-1]}", file=sys.stderr, flush=True)
    spreads = {}
    for system, done in found.items():
        figures[system], spreads[system] = summary(done)
        figures[system]["version"] = versions()[system]
    made = {"trials": options.trials, "seeds": [options.seed], "spread": spreads}
    return figures | made | {"processor": platform.processor() or platform.machine()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="memory_peers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="locomo10.json")
    parser.add_argument("--quick", action="store_true", help="1,000 turns, every fifth question")
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="which, by comma")
    parser.add_argument("--trials", type=int, default=1)
    parser.add_argument("--turns", type=int, default=10_000)
    parser.add_argument("--single", type=int, default=2_000, help="turns added one by one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vectors", type=Path, help="file of vectors, used and kept")
    parser.add_argument("--environment", type=Path, help="folder of the peers' environment, kept and used again")
    parser.add_argument("--folder", type=Path, help="where the stores lie; an unfinished one is gone on with")
    parser.add_argument("--minutes", type=float, default=1e6, help="of adding, per system and call")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.systems.split(",")) - set(SYSTEMS))
    if unknown:
        parser.error(f"no system {unknown[0]!r}; there are {', '.join(SYSTEMS)}")
    try:
        with tempfile.TemporaryDirectory() as temporary:
            figures = measure(options, (options.folder or Path(temporary)).absolute())
    except SealAgentError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for system in options.systems.split(","):
        print(f"{system:16} " + "  ".join(f"{name} {figures[system][name]}" for name in FIGURES))
    if options.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
