"""Which nights are due now, worked out from the ledger alone: the alarm clock may ring too often, late, or in four processes at once.

A night is due from the moment its window opens. If it can't begin in the window, it is held later, until the next one opens, unless
`nights.catch_up` is off: then it is missed, and says so. Each scope has one row per night, so it has each night at most once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from seal_agent.config import NightSettings
from seal_agent.ledger import leases
from seal_agent.ledger import nights as rows
from seal_agent.ledger.nights import EVERYBODY, NightRow
from seal_agent.nights.calendar import DAY, Night, Window, latest
from seal_agent.types import ScopeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Agenda:
    """What there is to do at one moment."""

    night: Night
    due: tuple[ScopeId, ...]
    """Whose night can begin now, in the order given."""
    missed: tuple[tuple[ScopeId, str], ...] = ()
    """Whose night is over without having begun, and why."""
    finished: bool = False
    """Whether every scope has had this night, and that is not written down yet."""
    is_first: bool = False
    """Whether nights were never held here: what was told before the first start is no missed night."""


def agenda(conn: Connection, scopes: Sequence[ScopeId], settings: NightSettings, now: datetime) -> Agenda:
    """Say what is due; changes nothing. `scopes` are all that hold something."""
    night = latest(Window.of(settings), now)
    known = rows.nights_on(conn, night.date)
    again = tuple(scope for scope in scopes if scope.key in known and can_begin(conn, known[scope.key], settings, now))
    if rows.had_round(conn, night.date):
        return Agenda(night=night, due=again)
    left = [scope for scope in scopes if scope.key not in known]
    paused = rows.paused(conn)
    due = tuple(scope for scope in scopes if (scope.key not in known or scope in again) and pause_of(scope, paused) is None)
    first = rows.last_round(conn) is None
    if now < night.closes:
        return Agenda(night=night, due=due, finished=not left, is_first=first)
    if first:
        return Agenda(night=night, due=(), finished=True, is_first=True)
    missed = tuple(missing(left, paused, settings))
    late = {scope for scope, _ in missed}
    due = tuple(scope for scope in due if scope not in late)
    return Agenda(night=night, due=due, missed=missed, finished=not set(left) - late)


def missing(left: Sequence[ScopeId], paused: dict[str, str], settings: NightSettings) -> Iterator[tuple[ScopeId, str]]:
    """Yield whose night is not caught up after its window, and why."""
    for scope in left:
        note = pause_of(scope, paused)
        if note is not None:
            yield scope, f"nights are paused{': ' if note else ''}{note}"
        elif not settings.catch_up:
            yield scope, "it could not begin in its window (nights.catch_up is off)"


def pause_of(scope: ScopeId, paused: dict[str, str]) -> str | None:
    """The note of the pause that covers this scope, or None."""
    return paused.get(scope.key, paused.get(EVERYBODY))


def can_begin(conn: Connection, night: NightRow, settings: NightSettings, now: datetime) -> bool:
    """Whether a night that was begun is to be taken up again: its process died, or it failed and may be tried once more."""
    if night.state == "running":
        return not leases.is_held(conn, night.scope, now)
    if night.state != "failed" or night.attempts >= settings.attempts or night.ended_at is None:
        return False
    return now >= night.ended_at + timedelta(minutes=settings.retry_minutes)


def conclude(conn: Connection, found: Agenda, now: datetime) -> None:
    """Write down what is over: the missed nights and, where every scope has had it, the date's round."""
    if found.is_first:
        rows.end_round(conn, found.night.date - DAY, now)  # nights are held from here on
    for scope, reason in found.missed:
        rows.miss(conn, scope, found.night.date, now, reason)
    if found.finished:
        rows.end_round(conn, found.night.date, now)
