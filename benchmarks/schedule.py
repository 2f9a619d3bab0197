"""Four schedulers over simulated years in six time zones: is every night held, and none twice?

    python -m benchmarks.schedule [--quick] [--json] [--days N] [--zones A,B] [--seed N]

The schedulers are the real ones (`seal_agent/nights/agenda.py`, `holding.py`) on a real ledger on disk; only the clock and the learning
are simulated. Each has a clock of its own, up to two minutes off, looks at random moments by day and by night, sleeps for hours, and now
and then dies in the middle of a night: before the cycle, after it, or without having given its lease back. Often several look at the same
instant and all believe that a night is due. Each night at least one scheduler looks once more before the next window opens.

The zones change their clocks at midnight, at one, at two and at three, by an hour and by half an hour; the windows lie across the change.
`--quick` is three days before and after each change of the clocks in the first year.

`--json` prints one object on the last line:
  nights      local dates of all zones on which a window opened, and so nights that had to be held
  doubles     nights for which more than one cycle ran to its end
  misses      nights for which none did
  crashes     schedulers that died in the middle of a night
  looks       how often a scheduler asked what is due
  schedulers, zones, days, seed    what was simulated
"""

import argparse
import json
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from seal_agent.config import NightSettings
from seal_agent.ledger import cycles
from seal_agent.ledger.leases import Lease
from seal_agent.ledger.ledger import Ledger
from seal_agent.nights.agenda import Agenda, agenda, conclude
from seal_agent.nights.calendar import DAY, Night, Window, night_of
from seal_agent.nights.holding import Keeper, hold
from seal_agent.types import CycleReport, ScopeId

WINDOWS = {
    "Europe/Berlin": "01:30-04:00",
    "America/New_York": "00:30-02:30",
    "Europe/Helsinki": "03:15-03:45",
    "Australia/Lord_Howe": "01:45-02:15",
    "America/Santiago": "23:30-01:00",
    "Asia/Kolkata": "02:00-02:00",
}
SCHEDULERS = 4
YEARS = 3
FIRST = date(2026, 1, 1)
QUICK_DAYS = 3
LEASE_SECONDS = 60.0
CRASHES = 0.05
"""Share of holds in which the scheduler dies."""
SCOPE = ScopeId(user="ana")


class Died(BaseException):
    """The scheduler's process is gone."""


@dataclass(slots=True)
class Simulation:
    """One zone's schedulers on one ledger."""

    ledger: Ledger
    settings: NightSettings
    draw: random.Random
    now: datetime
    ended: Counter[date] = field(default_factory=Counter)
    crashes: int = 0
    looks: int = 0

    def keepers(self) -> list[Keeper]:
        def clock(off: timedelta) -> Callable[[], datetime]:
            return lambda: self.now + off

        offs = [timedelta(seconds=self.draw.uniform(-120, 120)) for _ in range(SCHEDULERS)]
        return [Keeper(ledger=self.ledger, settings=self.settings, clock=clock(off), name=f"s{n}") for n, off in enumerate(offs)]

    def look(self, keepers: list[Keeper]) -> None:
        """All of these look at the same instant, and act one after the other on what each of them saw."""
        seen = [(keeper, self._agenda(keeper)) for keeper in keepers]
        self.draw.shuffle(seen)
        for keeper, found in seen:
            self.looks += 1
            try:
                self._act(keeper, found)
            except Died:
                self.crashes += 1

    def _agenda(self, keeper: Keeper) -> Agenda:
        with self.ledger.read() as conn:
            return agenda(conn, [SCOPE], self.settings, keeper.clock())

    def _act(self, keeper: Keeper, found: Agenda) -> None:
        if found.missed or found.finished or found.is_first:
            with self.ledger.write() as conn:
                conclude(conn, found, keeper.clock())
        for scope in found.due:
            hold(keeper, scope, found.night, self._cycle(keeper, found.night), threading.Event())

    def _cycle(self, keeper: Keeper, night: Night) -> Callable[[Lease, Callable[[], bool]], CycleReport]:
        def cycle(lease: Lease, should_stop: Callable[[], bool]) -> CycleReport:
            dies = self.draw.random() < CRASHES
            if dies and self.draw.random() < 0.5:
                raise Died
            name = f"c_{night.date}_{self.ended[night.date]}_{self.draw.random()}"
            with self.ledger.write() as conn:
                cycles.start_cycle(conn, name, lease.scope, 0, keeper.clock())
                cycles.end_cycle(conn, name, "promoted", "simulated", "{}", keeper.clock())
            self.ended[night.date] += 1
            if dies:
                raise Died
            return CycleReport(cycle_id=name, scope=lease.scope, state="promoted", reason="simulated")

        return cycle


def instants(night: Night, following: Night, draw: random.Random) -> Iterator[datetime]:
    """When somebody looks: around the opening and the close, and at any time until shortly before the next opening; in order."""
    span = (following.opens - night.opens).total_seconds()
    inside = (night.closes - night.opens).total_seconds()
    chosen = [draw.uniform(0, inside) for _ in range(draw.choice((0, 1, 3)))] + [draw.uniform(0, span) for _ in range(2)]
    # The last looks come when every lease of a scheduler that died has run out, and no clock is in the next night already.
    last = span - 150 - LEASE_SECONDS
    kept = sorted(second for second in chosen if second < last - 600)
    yield from (night.opens + timedelta(seconds=second) for second in (*kept, last - 300, last))


def simulate(zone: str, days: list[date], seed: int, folder: Path) -> tuple[Simulation, list[date]]:
    """Hold the nights of these dates; return what happened and the dates that had a night."""
    settings = NightSettings(window=WINDOWS[zone], time_zone=zone, lease_seconds=LEASE_SECONDS, retry_minutes=0.1, attempts=9)
    window = Window.of(settings)
    draw = random.Random(f"{seed} {zone}")
    with Ledger.open(folder) as ledger:
        run = Simulation(ledger=ledger, settings=settings, draw=draw, now=datetime(2000, 1, 1, tzinfo=UTC))
        held: list[date] = []
        for day in days:
            night, following = night_of(window, day), night_of(window, day + DAY)
            if night is None or following is None:
                continue
            if not held:  # they are all set up an hour before the first window opens
                run.now = night.opens - timedelta(hours=1)
                run.look(run.keepers())
            held.append(day)
            moments = list(instants(night, following, draw))
            for place, moment in enumerate(moments):
                run.now = moment
                keepers = run.keepers()
                last = place >= len(moments) - 2
                run.look(keepers if last else draw.sample(keepers, draw.randint(1, SCHEDULERS)))
        return run, held


def days_of(quick: bool, count: int) -> list[date]:
    if not quick:
        return [FIRST + DAY * n for n in range(count)]
    changes = (date(2026, 3, 8), date(2026, 3, 29), date(2026, 4, 5), date(2026, 9, 6), date(2026, 10, 4), date(2026, 10, 25))
    return sorted({change + DAY * n for change in changes for n in range(-QUICK_DAYS, QUICK_DAYS + 1)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--days", type=int, default=YEARS * 365)
    parser.add_argument("--zones", default=",".join(WINDOWS), help="some of them, to run it in portions")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    days = days_of(given.quick, given.days)
    total = {"nights": 0, "doubles": 0, "misses": 0, "crashes": 0, "looks": 0}
    zones = given.zones.split(",")
    for zone in zones:
        with tempfile.TemporaryDirectory() as folder:
            run, held = simulate(zone, days, given.seed, Path(folder))
        total["nights"] += len(held)
        total["doubles"] += sum(count > 1 for count in run.ended.values())
        total["misses"] += sum(run.ended[day] == 0 for day in held)
        total["crashes"] += run.crashes
        total["looks"] += run.looks
        if not given.json:
            print(f"{zone:22} {len(held)} nights, {run.looks} looks, {run.crashes} crashes", flush=True)
    result = {**total, "schedulers": SCHEDULERS, "zones": len(zones), "days": len(days), "seed": given.seed}
    print(json.dumps(result) if given.json else result)


if __name__ == "__main__":
    main()
