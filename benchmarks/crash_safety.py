"""What survives `kill -9`, several processes on one folder, and a full disk: turns that were acknowledged, and their vectors in Chroma.

    python -m benchmarks.crash_safety [--kills N] [--full-disks N] [--minutes N] [--seed N] [--folder PATH] [--quick] [--json]

One store grows over all rounds, with real Chroma and a hashing embedder. A round starts one to four writers (`crash_writer.py`) on the
same folder; one of them gets it, the others wait for their chance. Each first checks what was acknowledged in all rounds before, then
adds turns and searches, and is killed with SIGKILL at a random moment, in two fifths of the rounds while it still checks or makes the index
anew. An acknowledgement counts once it was read from the writer's pipe. After the kills come the full disks: a writer may not let a file
grow beyond the largest there is by more than a little, writes until it is refused, and the next process must find everything. At the end
one more process looks every acknowledged turn up in the index by its exact vector. `--folder` goes on with the store and the figures of an
earlier run there, up to N in all; with `--minutes` a call begins nothing further after so many, and the last call does the last look.
`--quick` is 6 kills and 2 full disks.

`--json` prints one object on the last line:
  kills            SIGKILLs sent to writers that had the store open or were waiting for it
  acked            turns that were acknowledged
  lost             of these, turns that some later process did not find in the ledger, or did not find by a search right after it opened
  unfindable       of these, turns that did not find themselves in the index at the end, and scopes' worth of turns if it did not serve
  manual_repairs   starts that failed or did not get the index to serve again without help
  trials           rounds, full_disks and processes (rounds with more than one writer) behind these figures, and rebuilds: how often an
                   index failed its probe and was made anew by itself; finished is false for a run that `--minutes` cut off
  seeds            the seeds used, one per invocation

0 failures in n trials bound the rate by 3/n with 95 % confidence. A kill is no power loss: that rests on SQLite's `synchronous=FULL`.
"""

import argparse
import contextlib
import json
import math
import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import Any

START_SECONDS = 240.0
"""Until a writer has opened and checked, the index made anew included."""
LIFE_SECONDS = 2.5
EARLY_SHARE = 0.4
WRITES = 40
STEP_BYTES = 150_000
FULL_WRITES = 4_000


@dataclass
class Record:
    """The figures so far; written to the folder after each round."""

    kills: int = 0
    acked: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    dark: list[str] = field(default_factory=list)
    unfindable: int = 0
    manual_repairs: int = 0
    rounds: int = 0
    processes: int = 0
    full_disks: int = 0
    rebuilds: int = 0
    seeds: list[int] = field(default_factory=list)


class Writer:
    """A writer process and the lines it has said so far."""

    def __init__(self, folder: Path, name: str, acked: list[str], *options: str) -> None:
        self.name = name
        command = [sys.executable, "-m", "benchmarks.crash_writer", str(folder), name, *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said: Queue[dict[str, Any]] = Queue()
        self.errors: list[str] = []
        self._threads = [
            threading.Thread(target=target, args=(acked,) if target == self._tell else (), daemon=True)
            for target in (self._tell, self._hear, self._drain)
        ]
        for thread in self._threads:
            thread.start()

    def _tell(self, acked: list[str]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write("".join(f"{id}\n" for id in acked) + "\n")
            self.process.stdin.flush()
        except OSError:
            return  # killed before it had listened

    def _hear(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):
                self.said.put(json.loads(line))
        self.said.put({"event": "end"})

    def _drain(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def wait_for(self, event: str, record: Record, seconds: float) -> dict[str, Any] | None:
        """Return the next such line, or None once it ended or the time is over; note what is acknowledged on the way."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self.said.get(timeout=left)
            except Empty:
                return None
            note(record, line)
            if line["event"] in (event, "end"):
                return line if line["event"] == event else None
        return None

    def kill(self, record: Record) -> None:
        self.process.kill()
        record.kills += 1
        self.wait_for("end", record, START_SECONDS)
        self.end()

    def end(self) -> None:
        """Kill it if it still runs, and let go of its pipes."""
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what it was not told any more
                    pipe.close()


def note(record: Record, line: dict[str, Any]) -> None:
    """Take down what a writer said."""
    if line["event"] == "acked":
        record.acked.extend(line["ids"])
    elif line["event"] == "dark":
        record.lost.extend(line["lost"])
        record.dark.extend(line["dark"])
    elif line["event"] == "checked":
        record.rebuilds += line["error"] is not None
        if line["state"] != "serving" or line["unserved"]:
            record.manual_repairs += 1


def run_round(folder: Path, record: Record, chooser: random.Random) -> None:
    """Start one to four writers and kill one after another, each at a random moment."""
    count = chooser.choice([1, 1, 1, 2, 3, 4])
    record.rounds += 1
    record.processes += count > 1
    known = list(record.acked)
    writers = [Writer(folder, f"r{record.rounds}p{number}", known, str(WRITES)) for number in range(count)]
    try:
        while writers:
            owner = first_open(writers, record)
            if owner is None:
                record.manual_repairs += 1
                sys.stderr.write("".join(line for writer in writers for line in writer.errors))
                return
            if chooser.random() >= EARLY_SHARE and known and owner.wait_for("checked", record, START_SECONDS) is None:
                record.manual_repairs += 1
            owner.wait_for("end", record, chooser.random() * LIFE_SECONDS)
            owner.kill(record)
            writers.remove(owner)
    finally:
        for writer in writers:
            writer.end()


def first_open(writers: list[Writer], record: Record) -> Writer | None:
    """Return the writer that has the folder; None when none gets it."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and any(writer.process.poll() is None for writer in writers):
        for writer in writers:
            if writer.wait_for("open", record, 0.05) is not None:
                return writer
    return None


def fill_a_disk(folder: Path, record: Record, chooser: random.Random) -> None:
    """Let a writer run into a limit, wherever it strikes, then see that the next one finds all and writes on."""
    record.full_disks += 1
    step = str(chooser.randrange(0, STEP_BYTES))
    writer = Writer(folder, f"f{record.full_disks}", list(record.acked), str(FULL_WRITES), "--limit", step)
    if writer.wait_for("full", record, START_SECONDS) is None:
        record.manual_repairs += 1
        sys.stderr.write("".join(writer.errors))
    writer.process.kill()
    writer.wait_for("end", record, START_SECONDS)
    writer.end()
    look_everything_up(folder, record)


def look_everything_up(folder: Path, record: Record) -> None:
    """Have a process of its own look for every acknowledged turn."""
    writer = Writer(folder, "check", record.acked, "0", "--only-check", "--looked-up", "-1")
    found = writer.wait_for("checked", record, START_SECONDS + len(record.acked) / 100)
    if found is None:
        record.manual_repairs += 1
        record.unfindable = len(record.acked)
        sys.stderr.write("".join(writer.errors))
    else:
        record.unfindable = max(record.unfindable, len(found["unfindable"]) + found["unserved"])
    writer.wait_for("end", record, START_SECONDS)
    writer.end()


def measure(home: Path, kills: int, full_disks: int, seed: int, minutes: float) -> dict[str, Any]:
    state = home / "record.json"
    record = Record(**json.loads(state.read_text())) if state.exists() else Record()
    record.seeds.append(seed)
    chooser = random.Random(f"{seed}/{record.rounds}")
    deadline = time.monotonic() + 60.0 * minutes
    while record.kills < kills and time.monotonic() < deadline:
        run_round(home / "brain", record, chooser)
        state.write_text(json.dumps(asdict(record)))
        sys.stderr.write(f"{record.kills} kills, {len(record.acked)} acknowledged, {len(record.lost)} lost, {record.rebuilds} rebuilds\n")
    while record.full_disks < full_disks and time.monotonic() < deadline:
        fill_a_disk(home / "brain", record, chooser)
        state.write_text(json.dumps(asdict(record)))
        sys.stderr.write(f"{record.full_disks} full disks, {len(record.lost)} lost\n")
    finished = record.kills >= kills and record.full_disks >= full_disks
    if finished:
        look_everything_up(home / "brain", record)
    state.write_text(json.dumps(asdict(record)))
    names = ("rounds", "processes", "full_disks", "rebuilds")
    return {
        "kills": record.kills,
        "acked": len(record.acked),
        "lost": len(set(record.lost) | set(record.dark)),
        "unfindable": record.unfindable,
        "manual_repairs": record.manual_repairs,
        "trials": {name: getattr(record, name) for name in names} | {"finished": finished},
        "seeds": record.seeds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What survives kill -9, several processes and a full disk.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--full-disks", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no further round after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    kills, disks = (6, 2) if given.quick else (given.kills, given.full_disks)
    with tempfile.TemporaryDirectory() as temporary:
        home = given.folder or Path(temporary)
        home.mkdir(parents=True, exist_ok=True)
        figures = measure(home, kills, disks, given.seed, given.minutes)
    for name, value in figures.items():
        if not given.json:
            print(f"{name:16} {value}")
    if given.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
