"""When nights open and close: a window of local times and a time zone, turned into moments in UTC. Pure functions; asks no clock.

A night is named by the local date on which its window opens. A time that a change of the clocks skips is moved on by what was skipped;
of a time that comes twice, the window opens at the first and closes at the second. A date that the zone skipped altogether (Samoa, the
30th of December 2011) has no night.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from seal_agent.config import NightSettings

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Local times between which nights begin."""

    start: time
    end: time
    zone: ZoneInfo

    @classmethod
    def of(cls, settings: NightSettings) -> "Window":
        start, end = settings.window.split("-")
        return cls(start=time.fromisoformat(start), end=time.fromisoformat(end), zone=ZoneInfo(settings.time_zone))


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One date's window, in UTC."""

    date: date
    opens: datetime
    closes: datetime


def night_of(window: Window, day: date) -> Night | None:
    """Return the night of a local date; None for a date that the zone skipped."""
    opens = moment(window, day, window.start, fold=0)
    if opens.astimezone(window.zone).date() != day:
        return None
    crosses = window.end <= window.start
    last = day + DAY if crosses else day
    # The later of both readings: of a time that comes twice the second, of a skipped one the one that is moved on.
    closes = max(moment(window, last, window.end, fold) for fold in (0, 1))
    return Night(date=day, opens=opens, closes=closes)


def moment(window: Window, day: date, at: time, fold: int) -> datetime:
    return datetime.combine(day, at, window.zone).replace(fold=fold).astimezone(UTC)


def latest(window: Window, now: datetime) -> Night:
    """Return the night that opened last, be its window open still or not."""
    day = now.astimezone(window.zone).date() + DAY
    while True:
        night = night_of(window, day)
        if night is not None and night.opens <= now:
            return night
        day -= DAY


def upcoming(window: Window, now: datetime) -> Night:
    """Return the night that opens next."""
    day = now.astimezone(window.zone).date() - DAY
    while True:
        night = night_of(window, day)
        if night is not None and night.opens > now:
            return night
        day += DAY
