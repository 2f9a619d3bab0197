"""Cycles: that a consolidation began, which steps it has finished, and how it ended, with its report as JSON.

At most one cycle of a scope runs at a time. Deliberately knows nothing of what the steps do (`consolidation/cycle.py`), and nothing of
their files (`consolidation/checkpoint.py`).
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, insert, select, update

from seal_agent.errors import CycleRunningError, UnknownRecordError, UsageError
from seal_agent.ledger.encoding import check_text, decode_optional_time, decode_time, encode_time, scope_columns, scope_of
from seal_agent.ledger.schema import adapters, cycle_steps, cycles, facts, skills
from seal_agent.types import CycleState, ScopeId


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleRow:
    """One cycle as the ledger holds it; `report` is JSON text."""

    id: str
    scope: ScopeId
    state: CycleState
    seed: int
    started_at: datetime
    ended_at: datetime | None
    reason: str | None
    report: str | None
    snapshot: str | None = None
    """What it works on, as JSON: enough to take it up again. None for a cycle that can't be."""
    attempts: int = 1
    """How often it was begun: once, and once more after each process that died."""


def start_cycle(conn: Connection, cycle_id: str, scope: ScopeId, seed: int, at: datetime, snapshot: str | None = None) -> None:
    """Raise `UsageError` when the id is used, `CycleRunningError` when a cycle of this scope is running."""
    if not check_text("A cycle's id", cycle_id):
        raise UsageError("A cycle needs an id.")
    if conn.execute(select(cycles.c.seq).where(cycles.c.id == cycle_id)).first():
        raise UsageError(f"Cycle id {cycle_id!r} is taken; each cycle needs an id of its own.")
    running = select(cycles.c.id).where(cycles.c.scope_key == scope.key, cycles.c.state == "running")
    other = conn.execute(running).scalar_one_or_none()
    if other is not None:
        raise CycleRunningError(f"Cycle {other!r} of {scope.key!r} is still running; wait for its end.")
    row = {"id": cycle_id, **scope_columns(scope), "state": "running", "seed": seed, "started_at": encode_time(at)}
    conn.execute(insert(cycles), {**row, "snapshot": snapshot, "attempts": 1})


def record_cycle(
    conn: Connection, cycle_id: str, scope: ScopeId, seed: int, state: CycleState, reason: str, report_json: str, at: datetime
) -> None:
    """Record a cycle that is over already: one that learnt a skill, which runs beside those that learn facts."""
    time = encode_time(at)
    row = {"id": cycle_id, **scope_columns(scope), "state": state, "seed": seed, "started_at": time, "ended_at": time, "attempts": 1}
    conn.execute(insert(cycles), {**row, "reason": check_text("The reason", reason), "report": report_json})


def count_attempt(conn: Connection, cycle_id: str) -> None:
    """Note that a running cycle was taken up once more."""
    conn.execute(update(cycles).where(cycles.c.id == cycle_id).values(attempts=cycles.c.attempts + 1))


def record_step(conn: Connection, cycle_id: str, step: str, sha256: str, at: datetime) -> None:
    """Note that a running cycle has finished a step, and the hash of what it made."""
    conn.execute(insert(cycle_steps), {"cycle_id": cycle_id, "step": step, "sha256": sha256, "at": encode_time(at)})


def can_go_on(conn: Connection, cycle_id: str) -> bool:
    """Whether a cycle still has the snapshot that it works on: whoever forgets something of it takes it away."""
    return conn.execute(select(cycles.c.snapshot).where(cycles.c.id == cycle_id)).scalar_one_or_none() is not None


def drop_steps(conn: Connection, cycle_id: str, keep: Collection[str]) -> None:
    """Take back finished steps, except these."""
    mine = cycle_steps.c.cycle_id == cycle_id
    conn.execute(delete(cycle_steps).where(mine & cycle_steps.c.step.not_in(list(keep))))


def step_sha256(conn: Connection, cycle_id: str, step: str) -> str | None:
    """Return the hash of what a finished step made; None while it is not finished."""
    mine = (cycle_steps.c.cycle_id == cycle_id) & (cycle_steps.c.step == step)
    return conn.execute(select(cycle_steps.c.sha256).where(mine)).scalar_one_or_none()


def end_cycle(conn: Connection, cycle_id: str, state: CycleState, reason: str, report_json: str, at: datetime) -> None:
    """Close a running cycle; raise `UnknownRecordError`, or `UsageError` when it has ended or the report is not JSON."""
    if state == "running":
        raise UsageError(f"Cycle {cycle_id!r} can't end as 'running'; say promoted, rejected, skipped or failed.")
    try:
        json.loads(report_json)
    except ValueError as error:
        raise UsageError(f"The report of cycle {cycle_id!r} is not JSON: {error}.") from error
    known = conn.execute(select(cycles.c.state).where(cycles.c.id == cycle_id)).scalar_one_or_none()
    if known is None:
        raise UnknownRecordError(f"No cycle {cycle_id!r} in the ledger.")
    if known != "running":
        raise UsageError(f"Cycle {cycle_id!r} has already ended as {known!r}.")
    values = {"state": state, "reason": check_text("The reason", reason), "report": report_json, "ended_at": encode_time(at)}
    conn.execute(update(cycles).where(cycles.c.id == cycle_id).values(**values))
    drop_steps(conn, cycle_id, keep=())


def list_cycles(conn: Connection, scope: ScopeId | None) -> list[CycleRow]:
    """List this exact scope's cycles, or everybody's, in the order they began."""
    query = select(cycles).order_by(cycles.c.seq)
    return _rows(conn, query if scope is None else query.where(cycles.c.scope_key == scope.key))


def running_cycles(conn: Connection) -> list[CycleRow]:
    """List the cycles that have not ended: under way, or interrupted and waiting to be taken up."""
    return _rows(conn, select(cycles).where(cycles.c.state == "running").order_by(cycles.c.seq))


def judged_before(conn: Connection, scope: ScopeId, snapshot: str) -> CycleRow | None:
    """Return this scope's newest cycle that ended, without failing, on exactly this snapshot."""
    mine = (cycles.c.scope_key == scope.key) & (cycles.c.snapshot == snapshot) & cycles.c.state.in_(("promoted", "rejected", "skipped"))
    rows = _rows(conn, select(cycles).where(mine).order_by(cycles.c.seq.desc()).limit(1))
    return rows[0] if rows else None


def _rows(conn: Connection, query: Select[Any]) -> list[CycleRow]:  # Any: SQLAlchemy types a select by its columns
    return [
        CycleRow(
            id=row.id,
            scope=scope_of(row),
            state=row.state,
            seed=row.seed,
            started_at=decode_time(row.started_at),
            ended_at=decode_optional_time(row.ended_at),
            reason=row.reason,
            report=row.report,
            snapshot=row.snapshot,
            attempts=row.attempts,
        )
        for row in conn.execute(query)
    ]


def last_report(conn: Connection, scope: ScopeId) -> str | None:
    """Return the report of this exact scope's last cycle that ended with a verdict, promoted or rejected.

    A cycle whose adapter was quarantined since does not count: what it tried has to be tried again.
    """
    banned = select(adapters.c.cycle_id).where(adapters.c.scope_key == scope.key, adapters.c.state == "quarantined")
    judged = select(cycles.c.report).where(
        cycles.c.scope_key == scope.key, cycles.c.state.in_(("promoted", "rejected")), cycles.c.id.not_in(banned), of_facts(scope)
    )
    return conn.execute(judged.order_by(cycles.c.seq.desc()).limit(1)).scalar_one_or_none()


def report_of(conn: Connection, scope: ScopeId, cycle_id: str | None) -> str | None:
    """Return a cycle's report, or with None the scope's newest; a cycle that failed has none."""
    ended = cycles.c.state.in_(("promoted", "rejected", "skipped"))
    query = select(cycles.c.report).where(cycles.c.scope_key == scope.key, ended, of_facts(scope))
    if cycle_id is not None:
        query = query.where(cycles.c.id == cycle_id)
    found = conn.execute(query.order_by(cycles.c.seq.desc()).limit(1)).scalar_one_or_none()
    return None if found in (None, "{}") else found


def of_facts(scope: ScopeId) -> ColumnElement[bool]:
    """The condition that a cycle learnt facts, and not a skill."""
    return cycles.c.id.not_in(select(skills.c.cycle_id).where(skills.c.scope_key == scope.key))


def fail_running(conn: Connection, at: datetime, reason: str) -> list[str]:
    """Fail every running cycle that can't be taken up again and return their ids; facts queued for one wait for the next night again.

    For a process that has just become the ledger's owner: no cycle can then be under way, whatever the rows say.
    """
    lost = (cycles.c.state == "running") & cycles.c.snapshot.is_(None)
    ids = list(conn.execute(select(cycles.c.id).where(lost).order_by(cycles.c.seq)).scalars())
    values = {"state": "failed", "reason": reason, "ended_at": encode_time(at)}
    conn.execute(update(cycles).where(lost).values(**values))
    waiting = select(cycles.c.scope_key).where(cycles.c.state == "running")
    conn.execute(update(facts).where(facts.c.state == "queued", facts.c.scope_key.not_in(waiting)).values(state="active"))
    return ids
