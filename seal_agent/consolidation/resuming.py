"""Take up a cycle whose process died or was stopped: on the same facts, from its last finished step, unless something has changed since."""

import logging
from dataclasses import dataclass, replace

from seal_agent.consolidation.checkpoint import sweep
from seal_agent.consolidation.run import Run, close_failed
from seal_agent.consolidation.selection import with_vectors
from seal_agent.consolidation.snapshot import Snapshot, foundation
from seal_agent.ledger import adapters, cycles, facts
from seal_agent.ledger.cycles import CycleRow
from seal_agent.protocols import Vectors
from seal_agent.types import Adapter, Fact

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
"""A cycle that was begun so often and never ended is what ends its process: it is given up, and says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A cycle that has begun, and the facts that it works on."""

    run: Run
    told: list[tuple[Fact, Vectors]]
    live: Adapter | None


def unfinished(run: Run) -> Work | None:
    """Return the scope's interrupted cycle, ready to go on; one that can't is closed as failed, and there is none."""
    sweep(run)
    with run.backends.ledger.read() as conn:
        row = next((row for row in cycles.running_cycles(conn) if row.scope == run.scope), None)
    if row is None:
        return None
    again = replace(run, id=row.id)
    obstacle = obstacle_of(again, row)
    if obstacle is not None or row.snapshot is None:
        close_failed(again, f"it was interrupted, and {obstacle}")
        return None
    snapshot = Snapshot.parse(row.snapshot)
    with run.write() as conn:
        cycles.count_attempt(conn, row.id)
        known = {fact.id: fact for fact in facts.list_facts(conn, run.scope, states=facts.TOLD, inherit=True)}
        told = with_vectors(conn, run.backends, [known[fact_id] for fact_id in snapshot.told])
        live = None if snapshot.live is None else adapters.get_adapter(conn, snapshot.live)
    logger.info("cycle %s of %s goes on where it was interrupted", row.id, run.scope.key)
    return Work(run=again, told=told, live=live)


def obstacle_of(run: Run, row: CycleRow) -> str | None:
    """Why this cycle can't go on, or None."""
    if row.snapshot is None:
        return "its snapshot is missing"
    if row.attempts >= MAX_ATTEMPTS:
        return f"was so {row.attempts} times: whatever ends its process has to be mended first"
    snapshot = Snapshot.parse(row.snapshot)
    if snapshot.stands_on != foundation(run.backends):
        return "settings, model or version have changed since"
    with run.backends.ledger.read() as conn:
        told = {fact.id for fact in facts.list_facts(conn, run.scope, states=facts.TOLD, inherit=True)}
    return None if told.issuperset(snapshot.told) else "a fact that it works on does not hold any more"
