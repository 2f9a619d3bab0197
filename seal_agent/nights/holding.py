"""Hold one scope's night: claim it, run its cycle, write down how it ended. Deliberately unaware of when that is due.

The claim and the scope's lease are one transaction, and so are the end and the lease's return. A night that fails is a row with its
reason, never the end of the process; a bug is one too, and then propagates.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from seal_agent.config import NightSettings
from seal_agent.errors import CycleInterruptedError, CycleRunningError, LeaseLostError, SealAgentError, StoreError
from seal_agent.ledger import cycles
from seal_agent.ledger import nights as rows
from seal_agent.ledger.leases import Lease
from seal_agent.ledger.ledger import Ledger
from seal_agent.ledger.nights import NightRow, NightState
from seal_agent.nights.agenda import can_begin
from seal_agent.nights.calendar import Night
from seal_agent.types import CycleReport, ScopeId

logger = logging.getLogger(__name__)

SECONDS_PER_MINUTE = 60.0
Cycle = Callable[[Lease, Callable[[], bool]], CycleReport | None]
"""Runs one cycle under a lease until it ends or is told to stop; None when there was nothing to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Who holds nights: the ledger, the settings, and a name that tells this process's claims from another's."""

    ledger: Ledger
    settings: NightSettings
    clock: Callable[[], datetime]
    name: str


def hold(keeper: Keeper, scope: ScopeId, night: Night, cycle: Cycle, stop: threading.Event) -> NightRow | None:
    """Hold a night that is due and return its row; None when somebody else holds it, or held it a moment ago."""
    lease = claim(keeper, scope, night)
    if lease is None:
        return None
    limit = Limit(keeper.settings.max_minutes, stop)
    try:
        report = cycle(lease, limit.should_stop)
    except LeaseLostError as error:
        logger.warning("%s", error)
        return None
    except CycleInterruptedError as error:
        state: NightState = "skipped" if limit.is_over else "failed"
        reason = f"stopped after nights.max_minutes = {limit.minutes:g}; the next night goes on from there" if limit.is_over else str(error)
        return end(keeper, lease, night, state, reason, None)
    except SealAgentError as error:
        logger.warning("the night of %s failed: %s: %s", scope.key, type(error).__name__, error)
        return end(keeper, lease, night, "failed", f"{type(error).__name__}: {error}", None)
    except Exception as error:
        end(keeper, lease, night, "failed", f"{type(error).__name__}: {error}", None)
        raise
    if report is None:
        return end(keeper, lease, night, "skipped", "nothing new to learn", None)
    return end(keeper, lease, night, "failed" if report.state == "running" else report.state, report.reason, report.cycle_id)


def claim(keeper: Keeper, scope: ScopeId, night: Night) -> Lease | None:
    """Claim the night, looking once more inside the transaction whether it is to be had."""
    now = keeper.clock()
    try:
        with keeper.ledger.write() as conn:
            known = rows.get_night(conn, scope, night.date)
            if known is not None and not can_begin(conn, known, keeper.settings, now):
                return None
            lease = rows.claim(conn, scope, night.date, keeper.name, now, keeper.settings.lease_seconds)
            ended = ended_unnoticed(conn, known)
            if ended is not None:
                # The process died between the end of the cycle and the end of the night: the cycle counts, and is not run again.
                state: NightState = "failed" if ended.state == "running" else ended.state
                rows.end_night(conn, lease, night.date, state, now, ended.reason or "", ended.id)
                return None
            return lease
    except CycleRunningError:
        return None


def ended_unnoticed(conn: Connection, night: NightRow | None) -> cycles.CycleRow | None:
    """The cycle of a night whose process died after the cycle had ended."""
    if night is None or night.state != "running":
        return None
    mine = [row for row in cycles.list_cycles(conn, night.scope) if row.ended_at is not None and row.ended_at >= night.claimed_at]
    return next((row for row in reversed(mine) if row.state in ("promoted", "rejected", "skipped")), None)


def end(keeper: Keeper, lease: Lease, night: Night, state: NightState, reason: str, cycle_id: str | None) -> NightRow | None:
    """Write down the end; a full disk leaves the night to be taken up again once its lease has run out."""
    try:
        with keeper.ledger.write() as conn:
            rows.end_night(conn, lease, night.date, state, keeper.clock(), reason, cycle_id)
            return rows.get_night(conn, lease.scope, night.date)
    except (LeaseLostError, StoreError) as error:
        logger.warning("the end of the night of %s could not be recorded: %s", lease.scope.key, error)
        return None


class Limit:
    """When a cycle has to stop: somebody asks for it, or the night is over."""

    def __init__(self, minutes: float, stop: threading.Event) -> None:
        self.minutes = minutes
        self._ends = time.monotonic() + minutes * SECONDS_PER_MINUTE
        self._stop = stop

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._ends

    def should_stop(self) -> bool:
        return self._stop.is_set() or self.is_over
