"""A cycle killed in every state: does the next process finish it, once, and learn the same as if nothing had happened?

    python -m benchmarks.night_safety [--quick] [--json] [--trials N] [--first N] [--paused N] [--minutes N] [--seed N]

A tiny random Llama learns two facts by a real LoRA in a real cycle: facts, self-edits, training, evaluation, gate, publishing, promotion.
A run that nobody disturbs shows the points at which a process can die: every report of progress (each training step among them), and
just before and just after every transaction. A trial is a copy of the brain, a process that sends itself SIGKILL at one of the points
(each state gets its share of trials; within a state the points are drawn), and one that opens the brain and consolidates. Every third
trial kills the second process as well. Processes are forked from one that has loaded the model, so this needs Linux or macOS.

In the paused trials the process stops itself (SIGSTOP) instead. It is taken for dead: its lock file is removed, a second process
opens the brain and finishes the cycle. Then the first goes on where it stopped.

`--json` prints one object on the last line:
  kills            processes that were killed
  double           trials after which more than one adapter was promoted, or more than one cycle
  skipped          trials after which a fact was not taught, or an episode not read
  wrong_pointer    trials after which the live adapter is not the promoted one, or its files are not whole
  resumed_equal    trials after which the weights are, bit for bit, those of the undisturbed run
  trials           of kills; resumed_equal should be all of them
  states           per state in which a process died, the number of trials
  paused_trials    trials with a paused process
  paused_refused   paused processes that were told that the cycle is somebody else's; paused_ended has the state in which each of the others
                   was stopped: before it held the cycle there was nothing left to do, after its last transaction it was done
  stale_promotions paused trials after which something of the paused process is live or registered, or the live pointer moved twice
  points, seed     number of points at which a process can die; what the trials were drawn with
"""

import argparse
import itertools
import json
import logging
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process that was forked has none of the threads of its parent
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from sqlalchemy import Connection, text

from benchmarks.tiny_night import Stand, open_stand
from seal_agent.adapters.artefact import verify
from seal_agent.consolidation import cycle
from seal_agent.errors import IntegrityError, SealAgentError
from seal_agent.ledger import adapters, cycles, episodes
from seal_agent.ledger.ledger import LOCK, Ledger
from seal_agent.types import Progress

TRIALS = 150
PAUSED = 50
QUICK = 12
STALE = 3
"""Exit code of a process that was told that its cycle is somebody else's."""
Point = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Found:
    """What a brain holds after a trial."""

    promoted: int
    cycles: int
    moves: int
    whole: bool
    read: bool
    taught: int
    sha256: str


class Watched:
    """A ledger whose transactions are points as well."""

    def __init__(self, ledger: Ledger, point: Point) -> None:
        self._ledger = ledger
        self._point = point

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._ledger.write() as conn:
            yield conn
            self._point("before commit")
        self._point("after commit")


def consolidate(stand: Stand, folder: Path, point: Point) -> None:
    """One process's work: open the brain and run its cycle; `point` is called at every point."""
    state = ["begin"]

    def said(step: Progress) -> None:
        state[0] = step.stage
        point(f"{step.stage}: reported")

    with Ledger.open(folder) as ledger:
        watched = Watched(ledger, lambda what: point(f"{state[0]}: {what}"))
        backends = stand.backends(watched, folder)  # type: ignore[arg-type]  # it behaves as the ledger that it stands for
        cycle.consolidate(backends, stand.scope, progress=said, should_stop=lambda: False, clock=lambda: datetime.now(UTC))


def forked(work: Callable[[], None]) -> int:
    """Run it in a process of its own and return the process's id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except SealAgentError:
        code = STALE
    finally:
        os._exit(code)


def at(number: int, act: Callable[[], None]) -> Point:
    """A point that acts when it is passed for the `number`th time."""
    passed = [0]

    def point(_: str) -> None:
        passed[0] += 1
        if passed[0] == number:
            act()

    return point


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop_self() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def nothing(_: str) -> None:
    pass


def points_of(stand: Stand, folder: Path) -> list[str]:
    """Run a cycle undisturbed, in a process, and return the points that it passed."""
    into = folder.with_suffix(".points")

    def work() -> None:
        passed: list[str] = []
        consolidate(stand, folder, passed.append)
        into.write_text(json.dumps(passed))

    ended = os.waitpid(forked(work), 0)[1]
    if ended:
        raise RuntimeError(f"The undisturbed run failed with {ended}.")
    return list(json.loads(into.read_text()))


def look(stand: Stand, folder: Path) -> Found:
    with Ledger.open(folder) as ledger, ledger.read() as conn:
        made = adapters.list_adapters(conn, stand.scope)
        live = adapters.live_adapter(conn, stand.scope)
        return Found(
            promoted=sum(adapter.state == "promoted" for adapter in made),
            cycles=sum(row.state == "promoted" for row in cycles.list_cycles(conn, stand.scope)),
            moves=conn.execute(text("SELECT count(*) FROM live_history")).scalar_one(),
            whole=live is not None and is_whole(stand, folder / live.path) and len(made) == len(list((folder / "adapters").glob("[!.]*"))),
            read=not episodes.list_episodes(conn, stand.scope, unextracted_only=True),
            taught=len(live.fact_ids) if live else 0,
            sha256=live.sha256 if live else "",
        )


def is_whole(stand: Stand, path: Path) -> bool:
    try:
        verify(path, stand.base_sha256)
    except IntegrityError:
        return False
    return True


def chosen(points: list[str], trials: int, seed: int) -> list[int]:
    """A point for each trial, from 1: the states take turns, and within a state the points are drawn."""
    draw = random.Random(seed)
    by_state: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(points, start=1):
        by_state[name].append(number)
    states = sorted(by_state)
    return [draw.choice(by_state[states[n % len(states)]]) for n in range(trials)]


def killed(stand: Stand, folder: Path, number: int, again: int | None) -> int:
    """Kill one process, perhaps a second, and let the last one finish; return how many were killed."""
    kills = 0
    for wanted in (number, again):
        if wanted is not None:
            pid = forked(lambda wanted=wanted: consolidate(stand, folder, at(wanted, kill_self)))  # type: ignore[misc]  # bound now
            kills += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    os.waitpid(forked(lambda: consolidate(stand, folder, nothing)), 0)
    return kills


def paused(stand: Stand, folder: Path, number: int) -> int:
    """Pause one process, let another take over and finish, let the first go on; return its exit code."""
    first = forked(lambda: consolidate(stand, folder, at(number, stop_self)))
    os.waitpid(first, os.WUNTRACED)
    (folder / LOCK).unlink()
    os.waitpid(forked(lambda: consolidate(stand, folder, nothing)), 0)
    os.kill(first, signal.SIGCONT)
    return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--first", type=int, default=0, help="leave out so many trials of each kind, to run the rest in portions")
    parser.add_argument("--paused", type=int, default=PAUSED)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no trial after so long; `trials` says how many were run")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    trials, pauses = (QUICK, QUICK // 3) if given.quick else (given.trials, given.paused)
    with tempfile.TemporaryDirectory() as folder:
        portion = Portion(trials=trials, pauses=pauses, first=given.first, seconds=60 * given.minutes)
        result = measure(Path(folder), portion, given.seed)
    print(json.dumps(result) if given.json else json.dumps(result, indent=2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """Which trials are run."""

    trials: int
    pauses: int
    first: int
    seconds: float
    """No trial of a kind begins after so long."""

    def of(self, count: int) -> Iterator[int]:
        ends = time.monotonic() + self.seconds
        return itertools.takewhile(lambda _: time.monotonic() < ends, range(self.first, count))


def measure(root: Path, portion: Portion, seed: int) -> dict[str, object]:
    stand = open_stand(root)
    reference = root / "reference"
    shutil.copytree(stand.template, reference)
    points = points_of(stand, reference)
    known = look(stand, reference)
    count: Counter[str] = Counter()
    states: Counter[str] = Counter()
    numbers = chosen(points, portion.trials, seed)
    for trial in portion.of(portion.trials):
        count["trials"] += 1
        folder = shutil.copytree(stand.template, root / f"killed-{trial}")
        states[points[numbers[trial] - 1].partition(":")[0]] += 1
        count["kills"] += killed(stand, folder, numbers[trial], numbers[-trial - 1] if trial % 3 == 2 else None)
        tally(count, look(stand, folder), known)
        shutil.rmtree(folder)
    # A process that is stopped inside a transaction holds the database's lock, so nobody can take over from it.
    outside = [number for number, name in enumerate(points, start=1) if not name.endswith("before commit")]
    ended: Counter[str] = Counter()
    places = chosen([points[number - 1] for number in outside], portion.pauses, seed)
    for trial in portion.of(portion.pauses):
        count["paused"] += 1
        number = outside[places[trial] - 1]
        folder = shutil.copytree(stand.template, root / f"paused-{trial}")
        code = paused(stand, folder, number)
        found = look(stand, folder)
        stale = (found.promoted, found.cycles, found.moves, found.whole, found.sha256) != (1, 1, 1, True, known.sha256)
        count["stale_promotions"] += stale
        count["paused_refused"] += code == STALE
        if code != STALE:
            ended[f"{points[number - 1]}: exit code {code}"] += 1
        shutil.rmtree(folder)
    names = ("kills", "double", "skipped", "wrong_pointer", "resumed_equal")
    figures = {name: count[name] for name in names}
    return {
        **figures,
        "trials": count["trials"],
        "states": dict(states),
        "paused_trials": count["paused"],
        "paused_refused": count["paused_refused"],
        "paused_ended": dict(ended),
        "stale_promotions": count["stale_promotions"],
        "points": len(points),
        "seed": seed,
    }


def tally(count: Counter[str], found: Found, known: Found) -> None:
    count["double"] += found.promoted > 1 or found.cycles > 1 or found.moves > 1
    count["skipped"] += not found.read or found.taught != known.taught
    count["wrong_pointer"] += not found.whole
    count["resumed_equal"] += found.sha256 == known.sha256


if __name__ == "__main__":
    main()
