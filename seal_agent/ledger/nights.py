"""Nights: which scope's night of which date was held, by which cycle, and how it ended; what is paused; what happened outside of a cycle.

One row per scope and local date, so a restart, a change of the clocks or a second scheduler neither skips nor doubles a night. A night is
claimed together with the scope's lease, in one transaction. Deliberately knows no window and no clock: `seal_agent/nights/` does.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Select, delete, insert, select, update

from seal_agent.ledger import leases
from seal_agent.ledger.encoding import check_text, decode_optional_time, decode_time, encode_time, scope_columns, scope_of
from seal_agent.ledger.leases import Lease
from seal_agent.ledger.schema import cycles, night_events, night_pauses, night_rounds, nights
from seal_agent.types import ScopeId

NightState = Literal["running", "promoted", "rejected", "skipped", "failed", "missed"]
EVERYBODY = ""
"""Stands for all scopes where one is paused: no scope has an empty key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NightRow:
    """One scope's night of one local date."""

    scope: ScopeId
    date: date
    state: NightState
    attempts: int
    claimed_at: datetime
    ended_at: datetime | None
    cycle_id: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NightEvent:
    """Something that happened to a scope outside of a cycle: an adapter was rolled back, nights were paused or resumed."""

    scope_key: str
    at: datetime
    kind: str
    adapter: str | None
    text: str


def get_night(conn: Connection, scope: ScopeId, day: date) -> NightRow | None:
    mine = (nights.c.scope_key == scope.key) & (nights.c.date == day.isoformat())
    rows = _rows(conn, select(nights).where(mine))
    return rows[0] if rows else None


def nights_on(conn: Connection, day: date) -> dict[str, NightRow]:
    """Every scope's night of one date, by the scope's key."""
    return {row.scope.key: row for row in _rows(conn, select(nights).where(nights.c.date == day.isoformat()))}


def list_nights(conn: Connection, scope: ScopeId | None, limit: int | None = None) -> list[NightRow]:
    """List nights, the newest first: of this exact scope, or everybody's."""
    query = select(nights).order_by(nights.c.date.desc(), nights.c.scope_key).limit(limit)
    return _rows(conn, query if scope is None else query.where(nights.c.scope_key == scope.key))


def _rows(conn: Connection, query: Select[Any]) -> list[NightRow]:  # Any: SQLAlchemy types a select by its columns
    return [
        NightRow(
            scope=scope_of(row),
            date=date.fromisoformat(row.date),
            state=row.state,
            attempts=row.attempts,
            claimed_at=decode_time(row.claimed_at),
            ended_at=decode_optional_time(row.ended_at),
            cycle_id=row.cycle_id,
            reason=row.reason,
        )
        for row in conn.execute(query)
    ]


def claim(conn: Connection, scope: ScopeId, day: date, holder: str, at: datetime, seconds: float) -> Lease:
    """Take the scope's lease and mark its night as running; raise `CycleRunningError` when somebody else runs a cycle of it."""
    lease = leases.acquire(conn, scope, holder, at, seconds)
    known = get_night(conn, scope, day)
    if known is None:
        row = {"scope_key": scope.key, "date": day.isoformat(), **_parts(scope), "state": "running", "attempts": 1}
        conn.execute(insert(nights), {**row, "claimed_at": encode_time(at)})
    else:
        mine = (nights.c.scope_key == scope.key) & (nights.c.date == day.isoformat())
        values = {"state": "running", "attempts": known.attempts + 1, "ended_at": None, "reason": None}
        conn.execute(update(nights).where(mine).values(**values))
    return lease


def _parts(scope: ScopeId) -> dict[str, object]:
    return {name: value for name, value in scope_columns(scope).items() if name != "scope_key"}


def end_night(conn: Connection, lease: Lease, day: date, state: NightState, at: datetime, reason: str, cycle_id: str | None) -> None:
    """Record how the night ended and give the lease back; raise `LeaseLostError` when the night is somebody else's by now."""
    leases.check(conn, lease)
    mine = (nights.c.scope_key == lease.scope.key) & (nights.c.date == day.isoformat())
    known = conn.execute(select(cycles.c.id).where(cycles.c.id == cycle_id)).scalar_one_or_none()
    values = {"state": state, "ended_at": encode_time(at), "reason": check_text("The reason", reason), "cycle_id": known}
    conn.execute(update(nights).where(mine).values(**values))
    leases.release(conn, lease)


def miss(conn: Connection, scope: ScopeId, day: date, at: datetime, reason: str) -> None:
    """Record that this night was not held; one that was begun stays as it is."""
    if get_night(conn, scope, day) is None:
        row = {"scope_key": scope.key, "date": day.isoformat(), **_parts(scope), "state": "missed", "attempts": 0}
        time = encode_time(at)
        conn.execute(insert(nights), {**row, "claimed_at": time, "ended_at": time, "reason": check_text("The reason", reason)})


def end_round(conn: Connection, day: date, at: datetime) -> None:
    """Note that every scope had its night of this date."""
    if not had_round(conn, day):
        conn.execute(insert(night_rounds), {"date": day.isoformat(), "at": encode_time(at)})


def had_round(conn: Connection, day: date) -> bool:
    return conn.execute(select(night_rounds.c.at).where(night_rounds.c.date == day.isoformat())).first() is not None


def last_round(conn: Connection) -> date | None:
    """The newest date of which every scope had its night; None when nights were never held here."""
    newest = conn.execute(select(night_rounds.c.date).order_by(night_rounds.c.date.desc()).limit(1)).scalar_one_or_none()
    return None if newest is None else date.fromisoformat(newest)


def pause(conn: Connection, scope_key: str, at: datetime, note: str) -> bool:
    """Hold no nights of this scope, or of `EVERYBODY`, until `unpause`; return whether that is new."""
    if scope_key in paused(conn):
        return False
    conn.execute(insert(night_pauses), {"scope_key": scope_key, "since": encode_time(at), "note": check_text("The note", note)})
    return True


def unpause(conn: Connection, scope_key: str) -> bool:
    """Return whether it was paused."""
    return bool(conn.execute(delete(night_pauses).where(night_pauses.c.scope_key == scope_key)).rowcount)


def paused(conn: Connection) -> dict[str, str]:
    """The note of every pause, by scope key."""
    return {row.scope_key: row.note for row in conn.execute(select(night_pauses))}


def add_event(conn: Connection, scope_key: str, at: datetime, kind: str, text: str, adapter: str | None = None) -> None:
    row = {"scope_key": scope_key, "at": encode_time(at), "kind": kind, "adapter": adapter, "text": check_text("The event", text)}
    conn.execute(insert(night_events), row)


def list_events(conn: Connection, scope_key: str | None, limit: int | None = None) -> list[NightEvent]:
    """List events, the newest first: of one scope, or everybody's."""
    query = select(night_events).order_by(night_events.c.seq.desc()).limit(limit)
    rows = conn.execute(query if scope_key is None else query.where(night_events.c.scope_key == scope_key))
    return [NightEvent(scope_key=row.scope_key, at=decode_time(row.at), kind=row.kind, adapter=row.adapter, text=row.text) for row in rows]
