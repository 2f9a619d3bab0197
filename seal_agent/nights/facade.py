"""`Memory.nights`: start and stop the alarm clock inside a long-running host, hold nights now, look ahead and back.

Nights are held by whichever process has the brain open. A server calls `start()`; without one, `seal-agent nights run --due` from cron
does the same. Deliberately thin: what is due is `agenda.py`, looking ahead is `ahead.py`, one night is `holding.py`, looking back is
`records.py`, learning itself is `consolidation/`.
"""

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable

from seal_agent.beliefs import expire_due
from seal_agent.learning import learn
from seal_agent.ledger import episodes
from seal_agent.ledger.leases import Lease
from seal_agent.ledger.nights import NightRow
from seal_agent.nights.agenda import Agenda, agenda, conclude
from seal_agent.nights.ahead import NextNight, look_ahead
from seal_agent.nights.alarm import Alarm
from seal_agent.nights.guards import busy
from seal_agent.nights.holding import Keeper, hold
from seal_agent.nights.records import NightRecords, id_of
from seal_agent.parts import Parts
from seal_agent.scope import Scope
from seal_agent.types import CyclePlan, CycleReport, ProgressCallback, ScopeId

logger = logging.getLogger(__name__)

STOP_SECONDS = 30.0
"""How long `stop` waits: a step of training takes seconds, a batch of answers too."""


class Nights(NightRecords):
    """Made by `Memory.nights`. Safe to use from several threads."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(lambda: parts.ledger, parts.clock)
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
        return look_ahead(self._parts.ledger, self._parts.settings.nights, self._parts.clock(), self._parts.last_request)

    def plan(self, scope: Scope | ScopeId) -> CyclePlan:
        """Say what a night of this scope would train, on how many tokens and for how long; writes nothing."""
        return Scope(self._parts, id_of(scope)).consolidate(dry_run=True)

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
