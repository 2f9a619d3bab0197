"""What a damaged vector index does to search: every kind of harm to Chroma's files, one at a time, on a copy of a healthy brain.

    python -m benchmarks.index_damage [--turns N] [--only SUBSTRING] [--quick] [--json]

The brain holds 2,200 turns, past Chroma's own sync threshold, so that its HNSW files lie on disk. Each of the five files is cut in half,
emptied, deleted, and has 20 bytes flipped (one seed); then the segment's folder, the database and the whole generation are harmed likewise.
A process of its own (`damage_reader`) opens the copy, searches at once, adds a turn, waits for the index to serve again, and looks every
turn up. The files' sizes are watched meanwhile. `--quick` takes one damage of each kind of outcome.

`--json` prints one object on the last line:
  damages   damages tried; the first 21 are those of the HNSW segment
  lost      turns that were not found afterwards, over all damages
  died      processes that ended by a signal, with an error, or not within 300 s; and those whose files outgrew ten times the healthy ones
  slow      first answers, from the brain opened to hits in hand, that took over a second
  trials    per damage: what became of it ("intact": the index passed its probe; "rebuilt"), the first answer's milliseconds, the seconds
            until the index served, and the largest size on disk in MB
  seeds     the seed of the flipped bytes
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.crash_writer import SETTINGS, look_up, text_of
from seal_agent.config import Settings
from seal_agent.memory import Memory
from seal_agent.testing import HashEmbedder, ScriptedModel

HNSW = ("data_level0.bin", "header.bin", "index_metadata.pickle", "length.bin", "link_lists.bin")
FLIPPED = 20
SECONDS = 300.0
GROWTH = 10
SLOW_MS = 1_000.0
QUICK = ("link_lists.bin truncated", "data_level0.bin flipped", "index_metadata.pickle deleted", "chroma.sqlite3 emptied")
SEED = 0

Harm = Callable[[Path], object]


def truncate(path: Path) -> None:
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size // 2)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    chooser = random.Random(f"{SEED}/{path.name}")
    for place in chooser.sample(range(len(data)), min(FLIPPED, len(data))):
        data[place] ^= chooser.randrange(1, 256)
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


HARMS: dict[str, Harm] = {"truncated": truncate, "emptied": empty, "flipped": flip, "deleted": Path.unlink}


def damages() -> dict[str, Callable[[Path], object]]:
    """Name each damage and say how it is done to a generation's folder."""

    def to_file(name: str, harm: Harm) -> Harm:
        return lambda generation: harm(next(generation.rglob(name)))

    found: dict[str, Harm] = {f"{name} {how}": to_file(name, harm) for name in HNSW for how, harm in HARMS.items()}
    found["segment folder deleted"] = lambda generation: shutil.rmtree(next(generation.rglob("header.bin")).parent)
    found |= {f"chroma.sqlite3 {how}": to_file("chroma.sqlite3", harm) for how, harm in HARMS.items()}
    found["generation deleted"] = shutil.rmtree
    return found


def open_brain(folder: Path) -> Memory:
    return Memory.open(folder, settings=Settings.load(None, **SETTINGS), model=ScriptedModel({}), embedder=HashEmbedder())


def make_healthy(folder: Path, turns: int) -> None:
    with open_brain(folder) as memory:
        scope = memory.scope(user="ana")
        scope.add_many([text_of(f"t{n}") for n in range(turns)])
        scope.search(text_of("t0"))
        status = memory.wait_for_index(SECONDS)
        if status.state != "serving":
            raise SystemExit(f"The healthy index does not serve: {status}")


def read(folder: Path, turns: int) -> None:
    """Be the process that opens a damaged brain; print what it met."""
    opened = time.perf_counter()
    with open_brain(folder) as memory:
        scope = memory.scope(user="ana")
        first = scope.search(text_of("t7"), k=1)
        milliseconds = (time.perf_counter() - opened) * 1000
        dark = [] if first and first[0].text == text_of("t7") else ["t7"]
        scope.add(text_of("new"))
        started = time.perf_counter()
        status = memory.wait_for_index(SECONDS)
        seconds = time.perf_counter() - started
        names = [*(f"t{n}" for n in range(turns)), "new"]
        missed, unserved = look_up(memory, scope, names)
        # What Chroma misses as an approximate index is not lost: the ledger has it, and the fused search finds it by its words.
        gone = [name for name in missed if text_of(name) not in [hit.text for hit in scope.search(text_of(name), k=3)]]
        if scope.search(text_of("new"), k=1)[0].text != text_of("new"):
            gone.append("new")
    sys.stdout.write(
        json.dumps(
            {
                "outcome": "intact" if status.error is None else "rebuilt",
                "state": status.state,
                "first_ms": round(milliseconds, 1),
                "serving_s": round(seconds, 1),
                "lost": len(gone) + len(dark) + unserved,
                "missed": len(missed),
            }
        )
        + "\n"
    )


def size_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue  # deleted while we looked
    return total


def try_out(folder: Path, turns: int, most_bytes: int) -> dict[str, Any]:
    """Read the brain in a process of its own while its size is watched."""
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.index_damage", "--read", str(folder), "--turns", str(turns)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said: list[tuple[str, str]] = []
    talking = threading.Thread(target=lambda: said.append(child.communicate()))
    talking.start()
    largest, deadline = 0, time.monotonic() + SECONDS
    while talking.is_alive():
        talking.join(0.1)
        largest = max(largest, size_of(folder))
        if largest > most_bytes or time.monotonic() > deadline:
            child.kill()
    out, errors = said[0]
    if child.returncode != 0 or not out.strip():
        sys.stderr.write(errors)
        return {"outcome": f"ended with {child.returncode}", "lost": turns, "first_ms": None, "largest_mb": round(largest / 1e6, 1)}
    return {**json.loads(out.splitlines()[-1]), "largest_mb": round(largest / 1e6, 1)}


def measure(turns: int, only: str | None, quick: bool) -> dict[str, Any]:
    trials: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as home:
        healthy = Path(home) / "healthy"
        make_healthy(healthy, turns)
        most_bytes = GROWTH * size_of(healthy)
        for name, harm in damages().items():
            if (quick and name not in QUICK) or (only is not None and only not in name):
                continue
            folder = Path(home) / "brain"
            shutil.copytree(healthy, folder)
            harm(next((folder / "index").glob("gen-*")))
            trials[name] = try_out(folder, turns, most_bytes)
            sys.stderr.write(f"{name:32} {trials[name]}\n")
            shutil.rmtree(folder)
    return {
        "damages": len(trials),
        "lost": sum(trial["lost"] for trial in trials.values()),
        "died": sum(trial["first_ms"] is None for trial in trials.values()),
        "slow": sum((trial["first_ms"] or 0.0) > SLOW_MS for trial in trials.values()),
        "trials": trials,
        "seeds": [SEED],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What a damaged vector index does to search.")
    parser.add_argument("--turns", type=int, default=2_200)
    parser.add_argument("--only")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read is not None:
        read(given.read, given.turns)
        return
    figures = measure(given.turns, given.only, given.quick)
    for name, value in figures.items():
        if not given.json:
            print(f"{name:10} {value}")
    if given.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
