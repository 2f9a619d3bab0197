"""Live pointers: which adapter a scope answers with, what it answered with before, and the way back and forward.

Each change names the change that rolling back from it returns to (`back_to`), and, after a roll back, the one that rolling forward
returns to (`forward_to`). So a night, a roll back and a roll forward are all the same act, `set_live`, and history is only appended to.
Deliberately unaware of running models: `memory.py` loads and verifies before it moves a pointer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from seal_agent.errors import UnknownRecordError, UsageError
from seal_agent.ledger.encoding import check_text, decode_time, encode_time
from seal_agent.ledger.schema import adapters, live, live_history
from seal_agent.types import AdapterState, ScopeId

BANNED: frozenset[AdapterState] = frozenset({"rejected", "quarantined"})
Change = Row[Any]  # Any: (seq, adapter, back_to, forward_to, state of the adapter)


def set_live(conn: Connection, scope: ScopeId, adapter_name: str | None, at: datetime, reason: str) -> None:
    """Point a scope at one of its adapters, or with None at the base; what is live already stays without a trace.

    Setting what `previous_live` names is a roll back, whatever the reason says; everything else can be rolled back from. Raise
    `UnknownRecordError` for an unknown adapter, `UsageError` for a rejected or quarantined one and for one of another scope.
    """
    if adapter_name is not None:
        _check_allowed(conn, scope, adapter_name)
    now = _newest(conn, scope)
    if adapter_name == (now.adapter if now else None):
        return
    back, forward = _targets(conn, now)
    if now and back is not None and adapter_name == back.adapter:
        links = {"back_to": back.back_to, "forward_to": now.seq}
    elif now and back is None and adapter_name is None:
        links = {"back_to": None, "forward_to": now.seq}
    else:
        is_forward = forward is not None and adapter_name == forward.adapter
        links = {"back_to": now.seq if now else None, "forward_to": forward.forward_to if forward and is_forward else None}
    time = encode_time(at)
    row = {"scope_key": scope.key, "adapter": adapter_name, "at": time, "reason": check_text("The reason", reason)}
    conn.execute(insert(live_history), {**row, **links})
    conn.execute(live.delete().where(live.c.scope_key == scope.key))
    conn.execute(insert(live), {"scope_key": scope.key, "adapter": adapter_name, "changed_at": time})


def _check_allowed(conn: Connection, scope: ScopeId, name: str) -> None:
    row = conn.execute(select(adapters.c.scope_key, adapters.c.state).where(adapters.c.name == name)).one_or_none()
    if row is None:
        raise UnknownRecordError(f"No adapter {name!r} in the ledger.")
    if row.scope_key != scope.key:
        raise UsageError(f"Adapter {name!r} is not one of {scope.key!r} and can't be live there.")
    if row.state in BANNED:
        raise UsageError(f"Adapter {name!r} is {row.state} and can't be live; choose another or roll back.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveChange:
    """One move of a scope's live pointer."""

    adapter: str | None
    at: datetime
    reason: str


def last_change(conn: Connection, scope: ScopeId) -> LiveChange | None:
    """Return how the live pointer came to be where it is; None where it never moved."""
    query = select(live_history).where(live_history.c.scope_key == scope.key).order_by(live_history.c.seq.desc()).limit(1)
    row = conn.execute(query).one_or_none()
    return None if row is None else LiveChange(adapter=row.adapter, at=decode_time(row.at), reason=row.reason)


def live_name(conn: Connection, scope: ScopeId) -> str | None:
    """Name the adapter of this scope alone; None is the base."""
    return conn.execute(select(live.c.adapter).where(live.c.scope_key == scope.key)).scalar_one_or_none()


def previous_live(conn: Connection, scope: ScopeId) -> tuple[bool, str | None]:
    """Tell what rolling back returns to: (True, adapter, or None for the base), or (False, None) when there is nothing to undo.

    Adapters banned since are passed over.
    """
    now = _newest(conn, scope)
    back, _ = _targets(conn, now)
    if back is not None:
        return True, back.adapter
    return now is not None and now.adapter is not None, None


def earlier_live(conn: Connection, scope: ScopeId) -> Iterator[str]:
    """Yield the adapters that rolling back again and again would come by, the newest first, until the base; banned ones are passed over."""
    now = _newest(conn, scope)
    seq, seen = (None, set()) if now is None else (now.back_to, {now.adapter})
    while seq is not None:
        change: Change = conn.execute(_changes().where(live_history.c.seq == seq)).one()
        if change.adapter is None:
            return
        if change.state not in BANNED and change.adapter not in seen:
            seen.add(change.adapter)
            yield change.adapter
        seq = change.back_to


def next_live(conn: Connection, scope: ScopeId) -> tuple[bool, str | None]:
    """Tell what rolling forward returns to after a roll back; (False, None) when nothing was rolled back since the last promotion."""
    _, forward = _targets(conn, _newest(conn, scope))
    return (False, None) if forward is None else (True, forward.adapter)


def _newest(conn: Connection, scope: ScopeId) -> Change | None:
    query = _changes().where(live_history.c.scope_key == scope.key).order_by(live_history.c.seq.desc()).limit(1)
    return conn.execute(query).one_or_none()


def _changes() -> Any:  # Any: SQLAlchemy types a select by its columns; the callers read rows by name
    columns = (live_history.c.seq, live_history.c.adapter, live_history.c.back_to, live_history.c.forward_to, adapters.c.state)
    return select(*columns).join(adapters, adapters.c.name == live_history.c.adapter, isouter=True)


def _targets(conn: Connection, now: Change | None) -> tuple[Change | None, Change | None]:
    """The changes that rolling back and forward return to; no change back means the base that every scope begins with."""
    if now is None:
        return None, None
    return _walk(conn, now, "back_to"), _walk(conn, now, "forward_to")


def _walk(conn: Connection, start: Change, link: str) -> Change | None:
    seq = getattr(start, link)
    while seq is not None:
        change: Change = conn.execute(_changes().where(live_history.c.seq == seq)).one()
        if change.state not in BANNED and change.adapter != start.adapter:
            return change
        seq = getattr(change, link)
    return None
