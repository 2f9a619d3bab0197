"""What is known of nights without learning anything: which were held, how one ended, what is paused. Also beside a running server.

`facade.py` builds on it. Deliberately needs no settings, no model and no scope's memory: rows in, records out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pydantic import TypeAdapter

from seal_agent.errors import UnknownRecordError, UsageError
from seal_agent.ledger import cycles
from seal_agent.ledger import nights as rows
from seal_agent.ledger.beside import Rows
from seal_agent.ledger.nights import EVERYBODY, NightEvent, NightRow
from seal_agent.nights.agenda import pause_of
from seal_agent.scope import Scope
from seal_agent.types import CycleReport, ScopeId

_report = TypeAdapter(CycleReport)

HISTORY = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class NightDetails:
    """One scope's night, with the report of its cycle and what the watch did since."""

    night: NightRow | None
    """None where no scheduled night was held yet."""
    report: CycleReport | None
    """None for a night without a cycle, or whose cycle failed."""
    events: tuple[NightEvent, ...]


class NightRecords:
    """Made from an open ledger, or from one that another process has open (`ledger.beside.rows_of_folder`)."""

    def __init__(self, ledger: Callable[[], Rows], clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._ledger = ledger
        self._clock = clock

    def history(self, scope: Scope | ScopeId | None = None, limit: int | None = HISTORY) -> list[NightRow]:
        """Return the nights of one scope, or of all, the newest first."""
        with self._ledger().read() as conn:
            return rows.list_nights(conn, None if scope is None else id_of(scope), limit)

    def show(self, scope: Scope | ScopeId, day: date | None = None) -> NightDetails:
        """Return one night of a scope, the newest where no date is given; raise `UnknownRecordError` where there was none that day."""
        whose = id_of(scope)
        if day is not None and type(day) is not date:  # a datetime is a date too, and names no night
            raise UsageError(f"day={day!r} is no date: give a datetime.date.")
        with self._ledger().read() as conn:
            newest = rows.list_nights(conn, whose, 1)
            night = (newest[0] if newest else None) if day is None else rows.get_night(conn, whose, day)
            if night is None and day is not None:
                raise UnknownRecordError(f"No night of {whose.key!r} on {day}.")
            report = cycles.report_of(conn, whose, None if night is None else night.cycle_id)
            events = rows.list_events(conn, whose.key, HISTORY)
        parsed = None if report is None else _report.validate_json(report)
        return NightDetails(night=night, report=parsed, events=tuple(events))

    def events(self, scope: Scope | ScopeId | None = None, limit: int | None = HISTORY) -> list[NightEvent]:
        """Return what happened outside of cycles, the newest first: roll backs by the watch, quarantines, pauses."""
        with self._ledger().read() as conn:
            return rows.list_events(conn, None if scope is None else id_of(scope).key, limit)

    def pause(self, scope: Scope | ScopeId | None = None, note: str = "") -> bool:
        """Hold no nights of a scope, or of anybody, until `resume`; return whether that is new. A running night ends as usual."""
        key = EVERYBODY if scope is None else id_of(scope).key
        with self._ledger().write() as conn:
            at = self._clock()
            changed = rows.pause(conn, key, at, note)
            if changed:
                rows.add_event(conn, key, at, "paused", note or "nights are paused")
        return changed

    def resume(self, scope: Scope | ScopeId | None = None) -> bool:
        """End a pause; return whether there was one."""
        key = EVERYBODY if scope is None else id_of(scope).key
        with self._ledger().write() as conn:
            changed = rows.unpause(conn, key)
            if changed:
                rows.add_event(conn, key, self._clock(), "resumed", "nights are held again")
        return changed

    def paused(self) -> dict[str, str]:
        """Return the note of every pause by the scope's key; the empty key stands for all scopes."""
        with self._ledger().read() as conn:
            return rows.paused(conn)

    def is_paused(self, scope: Scope | ScopeId) -> bool:
        """Whether nights of this scope are paused, by itself or with all others."""
        return pause_of(id_of(scope), self.paused()) is not None


def id_of(scope: Scope | ScopeId) -> ScopeId:
    """Raise `UsageError` for what is neither."""
    found = scope.id if isinstance(scope, Scope) else scope
    if not isinstance(found, ScopeId):
        raise UsageError(f"{scope!r} is no scope: pass memory.scope(user=...) or its id.")
    return found
