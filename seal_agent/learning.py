"""Learning now: one cycle of a scope on an open brain, or its plan; what it promoted is loaded before the next request needs it.

Shared by `Scope.consolidate` and by nights. Deliberately imports the night's rooms only when somebody learns.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from seal_agent.errors import GenerationError, IntegrityError
from seal_agent.ledger.adapters import nearest_live
from seal_agent.parts import Parts
from seal_agent.telemetry import measured
from seal_agent.types import CyclePlan, CycleReport, ProgressCallback, ScopeId

if TYPE_CHECKING:
    from seal_agent.ledger.leases import Lease

logger = logging.getLogger(__name__)


def plan(parts: Parts, scope: ScopeId) -> CyclePlan:
    backends = parts.backends()
    from seal_agent.consolidation import cycle

    return cycle.plan(backends, scope, clock=parts.clock)


def learn(
    parts: Parts,
    scope: ScopeId,
    progress: ProgressCallback | None,
    should_stop: Callable[[], bool] | None,
    *,
    lease: "Lease | None" = None,
    min_new_facts: int = 1,
) -> CycleReport:
    """Run one cycle, under the lease given or one of its own; see `consolidation.cycle.consolidate`."""
    backends = parts.backends()
    from seal_agent.consolidation import cycle

    with measured("seal.consolidate", scope) as told:
        report = cycle.consolidate(
            backends,
            scope,
            progress=progress or parts.progress,
            should_stop=should_stop or never,
            clock=parts.clock,
            terms=cycle.Terms(lease=lease, min_new_facts=min_new_facts),
        )
        told(report)
    if report.state == "promoted":
        warm_up(parts, scope)
    return report


def warm_up(parts: Parts, scope: ScopeId) -> None:
    """Load what is live if the model is loaded, so that the next request does not pay for it."""
    with parts.ledger.read() as connection:
        live = nearest_live(connection, scope)
    if live is None or parts.loaded_model is None:
        return
    try:
        parts.serving.prepare(live)
    except (IntegrityError, GenerationError) as error:
        logger.warning("adapter %s is live but can't be loaded, the base answers instead: %s", live.name, error)


def never() -> bool:
    return False
