"""`Memory.nights`: start and stop the alarm clock inside a long-running host, hold nights now, look ahead and back.

Nights are held by whichever process has the brain open. A server calls `start()`; without one, `seal-agent nights run --due` from cron
does the same. Deliberately thin: what is due is `agenda.py`, one night is `holding.py`, learning itself is `consolidation/`.
"""

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from pydantic import TypeAdapter

from seal_agent.beliefs import expire_due
from seal_agent.errors import UnknownRecordError
from seal_agent.learning import learn
from seal_agent.ledger import cycles, episodes
from seal_agent.ledger import nights as rows
from seal_agent.ledger.leases import Lease
from seal_agent.ledger.nights import EVERYBODY, NightEvent, NightRow
from seal_agent.nights.agenda import Agenda, agenda, conclude, pause_of
from seal_agent.nights.alarm import Alarm
from seal_agent.nights.calendar import Night, Window, upcoming
from seal_agent.nights.guards import busy
from seal_agent.nights.holding import Keeper, hold
from seal_agent.parts import Parts
from seal_agent.scope import Scope
from seal_agent.types import CyclePlan, CycleReport, ProgressCallback, ScopeId

logger = logging.getLogger(__name__)

_report = TypeAdapter(CycleReport)

STOP_SECONDS = 30.0
"""How long `stop` waits: a step of training takes seconds, a batch of answers too."""
HISTORY = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class NextNight:
    """What comes next: the window that is open or opens next, whose nights are due in it, and what holds them up now."""

    night: Night
    is_open: bool
    due: tuple[ScopeId, ...]
    """Whose night could begin now."""
    paused: dict[str, str]
    """Notes by the key of the scope; the empty key stands for all scopes."""
    waits_for: str | None
    """Why nothing begins at this moment: a pause, a request just now, a busy machine; None when nothing stands in the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NightDetails:
    """One scope's night, with the report of its cycle and what the watch did since."""

    night: NightRow | None
    """None where no scheduled night was held yet."""
    report: CycleReport | None
    """None for a night without a cycle, or whose cycle failed."""
    events: tuple[NightEvent, ...]


class Nights:
    """Made by `Memory.nights`. Safe to use from several threads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._alarm: Alarm | None = None
        self._lock = threading.Lock()
        self._name = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"

    def start(self) -> None:
        """Hold nights by themselves from now on, in threads of this process, until `stop` or the brain is closed. Idempotent."""
        _ = self._parts.ledger
        settings = self._parts.settings.nights
        with self._lock:
            if self._alarm is None:
                self._alarm = Alarm(self._can_begin, self._hold, settings.check_seconds, settings.scopes_at_once)
                self._alarm.start()

    def stop(self, timeout: float = STOP_SECONDS) -> bool:
        """Ask running nights to stop at their next step and wait for them; return whether all have ended in time. Idempotent.

        A stopped cycle keeps its checkpoint: the next one goes on from there.
        """
        with self._lock:
            alarm, self._alarm = self._alarm, None
        return alarm is None or alarm.stop(timeout)

    @property
    def is_running(self) -> bool:
        """Whether nights are held by themselves here."""
        return self._alarm is not None

    @property
    def held(self) -> tuple[ScopeId, ...]:
        """Whose night is under way in this process, begun by the alarm clock."""
        alarm = self._alarm
        return () if alarm is None else alarm.held

    def run(
        self,
        scope: Scope | ScopeId,
        *,
        progress: ProgressCallback | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> CycleReport:
        """Hold one cycle of a scope now, whatever the window, the guards and the pauses say; see `Scope.consolidate`."""
        return Scope(self._parts, id_of(scope)).consolidate(progress=progress, should_stop=should_stop)

    def run_due(self, *, progress: ProgressCallback | None = None, stop: threading.Event | None = None) -> list[NightRow]:
        """Hold every night that is due now, one after the other, and return how each of them ended; for cron."""
        held = []
        event = threading.Event() if stop is None else stop
        for scope in self._can_begin():
            if event.is_set():
                break
            row = self._hold(scope, event, progress)
            if row is not None:
                held.append(row)
        return held

    def next(self) -> NextNight:
        """Say when the next night is, whose, and what holds it up."""
        now = self._parts.clock()
        found = self._agenda()
        paused = self.paused()
        is_open = now < found.night.closes
        night = found.night if is_open else upcoming(Window.of(self._parts.settings.nights), now)
        waits = "nights are paused" if EVERYBODY in paused else busy(self._parts.settings.nights, self._parts.last_request, now)
        return NextNight(night=night, is_open=is_open, due=found.due, paused=paused, waits_for=waits)

    def history(self, scope: Scope | ScopeId | None = None, limit: int | None = HISTORY) -> list[NightRow]:
        """Return the nights of one scope, or of all, the newest first."""
        with self._parts.ledger.read() as conn:
            return rows.list_nights(conn, None if scope is None else id_of(scope), limit)

    def show(self, scope: Scope | ScopeId, day: date | None = None) -> NightDetails:
        """Return one night of a scope, the newest where no date is given; raise `UnknownRecordError` where there was none that day."""
        whose = id_of(scope)
        with self._parts.ledger.read() as conn:
            newest = rows.list_nights(conn, whose, 1)
            night = (newest[0] if newest else None) if day is None else rows.get_night(conn, whose, day)
            if night is None and day is not None:
                raise UnknownRecordError(f"No night of {whose.key!r} on {day}.")
            report = cycles.report_of(conn, whose, None if night is None else night.cycle_id)
            events = rows.list_events(conn, whose.key, HISTORY)
        parsed = None if report is None else _report.validate_json(report)
        return NightDetails(night=night, report=parsed, events=tuple(events))

    def plan(self, scope: Scope | ScopeId) -> CyclePlan:
        """Say what a night of this scope would train, on how many tokens and for how long; writes nothing."""
        return Scope(self._parts, id_of(scope)).consolidate(dry_run=True)

    def events(self, scope: Scope | ScopeId | None = None, limit: int | None = HISTORY) -> list[NightEvent]:
        """Return what happened outside of cycles, the newest first: roll backs by the watch, pauses."""
        with self._parts.ledger.read() as conn:
            return rows.list_events(conn, None if scope is None else id_of(scope).key, limit)

    def pause(self, scope: Scope | ScopeId | None = None, note: str = "") -> bool:
        """Hold no nights of a scope, or of anybody, until `resume`; return whether that is new. A running night ends as usual."""
        key = EVERYBODY if scope is None else id_of(scope).key
        with self._parts.ledger.write() as conn:
            changed = rows.pause(conn, key, self._parts.clock(), note)
            if changed:
                rows.add_event(conn, key, self._parts.clock(), "paused", note or "nights are paused")
        return changed

    def resume(self, scope: Scope | ScopeId | None = None) -> bool:
        """End a pause; return whether there was one."""
        key = EVERYBODY if scope is None else id_of(scope).key
        with self._parts.ledger.write() as conn:
            changed = rows.unpause(conn, key)
            if changed:
                rows.add_event(conn, key, self._parts.clock(), "resumed", "nights are held again")
        return changed

    def paused(self) -> dict[str, str]:
        """Return the note of every pause by the scope's key; the empty key stands for all scopes."""
        with self._parts.ledger.read() as conn:
            return rows.paused(conn)

    def is_paused(self, scope: Scope | ScopeId) -> bool:
        """Whether nights of this scope are paused, by itself or with all others."""
        return pause_of(id_of(scope), self.paused()) is not None

    def _agenda(self) -> Agenda:
        with self._parts.ledger.read() as conn:
            return agenda(conn, episodes.scopes(conn), self._parts.settings.nights, self._parts.clock())

    def _can_begin(self) -> tuple[ScopeId, ...]:
        """Whose nights begin now; what is over is written down on the way."""
        found = self._agenda()
        now = self._parts.clock()
        if found.missed or found.finished or found.is_first:
            with self._parts.ledger.write() as conn:
                conclude(conn, found, now)
        if not found.due:
            return ()
        reason = busy(self._parts.settings.nights, self._parts.last_request, now)
        if reason is not None:
            logger.info("%d nights wait: %s", len(found.due), reason)
            return ()
        return found.due

    def _hold(self, scope: ScopeId, stop: threading.Event, progress: ProgressCallback | None = None) -> NightRow | None:
        settings = self._parts.settings.nights
        keeper = Keeper(ledger=self._parts.ledger, settings=settings, clock=self._parts.clock, name=self._name)

        def cycle(lease: Lease, should_stop: Callable[[], bool]) -> CycleReport | None:
            return self._cycle(lease, should_stop, progress)

        return hold(keeper, scope, self._agenda().night, cycle, stop)

    def _cycle(self, lease: Lease, should_stop: Callable[[], bool], progress: ProgressCallback | None) -> CycleReport | None:
        from seal_agent.consolidation.selection import has_work  # here, because the night's rooms are not needed by day

        expire_due(self._parts)
        with self._parts.ledger.read() as conn:
            if not has_work(conn, lease.scope):
                return None  # no model is loaded for nothing
        least = self._parts.settings.nights.min_new_facts
        return learn(self._parts, lease.scope, progress, should_stop, lease=lease, min_new_facts=least)


def id_of(scope: Scope | ScopeId) -> ScopeId:
    return scope.id if isinstance(scope, Scope) else scope
