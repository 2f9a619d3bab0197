"""Leases: who may run a scope's cycle, until when, and the fencing token by which a holder that was replaced is told from its successor.

Taking a lease over raises the token, and every transaction of a cycle checks it: a process that was stopped for an hour and wakes up in
the middle of its night can't promote anything (Kleppmann, "How to do distributed locking", 2016). An expired lease that nobody took is
still its holder's. Deliberately measures no time: the caller's clock is passed in.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from seal_agent.errors import CycleRunningError, LeaseLostError
from seal_agent.ledger.encoding import decode_time, encode_time
from seal_agent.ledger.schema import leases
from seal_agent.types import ScopeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to run a scope's cycle, as long as the ledger still knows its token."""

    scope: ScopeId
    holder: str
    token: int


def acquire(conn: Connection, scope: ScopeId, holder: str, at: datetime, seconds: float) -> Lease:
    """Take the lease of a scope that nobody holds, or whose holder did not renew it in time; raise `CycleRunningError`."""
    row = conn.execute(select(leases).where(leases.c.scope_key == scope.key)).one_or_none()
    if row is not None and row.holder is not None and decode_time(row.expires_at) > at:
        raise CycleRunningError(f"A cycle of {scope.key!r} is still running ({row.holder}); wait for its end.")
    token = 1 if row is None else row.token + 1
    values = {"token": token, "holder": holder, "expires_at": encode_time(at + timedelta(seconds=seconds))}
    if row is None:
        conn.execute(insert(leases), {"scope_key": scope.key, **values})
    else:
        conn.execute(update(leases).where(leases.c.scope_key == scope.key).values(**values))
    return Lease(scope=scope, holder=holder, token=token)


def check(conn: Connection, lease: Lease) -> None:
    """Raise `LeaseLostError` unless the lease is still its holder's."""
    token = conn.execute(select(leases.c.token).where(leases.c.scope_key == lease.scope.key)).scalar_one_or_none()
    if token != lease.token:
        raise LeaseLostError(
            f"The cycle of {lease.scope.key!r} was taken over while {lease.holder} did not answer; this one promoted nothing."
        )


def renew(conn: Connection, lease: Lease, at: datetime, seconds: float) -> None:
    """Push the expiry out; raise `LeaseLostError`."""
    check(conn, lease)
    expires = encode_time(at + timedelta(seconds=seconds))
    conn.execute(update(leases).where(leases.c.scope_key == lease.scope.key).values(holder=lease.holder, expires_at=expires))


def release(conn: Connection, lease: Lease) -> None:
    """Give the lease back; one that was lost stays its new holder's."""
    mine = (leases.c.scope_key == lease.scope.key) & (leases.c.token == lease.token)
    conn.execute(update(leases).where(mine).values(holder=None, expires_at=None))


def is_held(conn: Connection, scope: ScopeId, at: datetime) -> bool:
    """Whether somebody's cycle of this scope is under way."""
    row = conn.execute(select(leases).where(leases.c.scope_key == scope.key)).one_or_none()
    return row is not None and row.holder is not None and decode_time(row.expires_at) > at


def release_all(conn: Connection) -> None:
    """Take every lease from whoever holds it: for a process that has just become the ledger's owner."""
    conn.execute(update(leases).values(token=leases.c.token + 1, holder=None, expires_at=None))
