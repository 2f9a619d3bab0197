"""Withdrawing adapters for good: quarantined, and whatever points at them moved to the newest one that is clean, in one transaction.

Deliberately deletes no file: that comes after the transaction, and is repeated if the process dies in between.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from seal_agent.adapters.switch import switch
from seal_agent.ledger.adapters import get_adapter, previous_live, withdraw_adapters
from seal_agent.types import Adapter, ScopeId

REASON = "withdrawn: what it was taught was forgotten"


def withdraw(
    conn: Connection, adapters: Sequence[Adapter], at: datetime, is_usable: Callable[[Adapter], bool]
) -> list[tuple[ScopeId, str, str | None]]:
    """Quarantine the adapters; return (scope, live before, live now) of every scope that one of them was live in.

    A scope goes back to what was live before and is clean and usable, else to the base.
    """
    withdraw_adapters(conn, [adapter.name for adapter in adapters])
    moved: list[tuple[ScopeId, str, str | None]] = []
    for adapter in adapters:
        if adapter.live:
            target = clean_ancestor(conn, adapter.scope, is_usable)
            switch(conn, adapter.scope, target, at, REASON)
            moved.append((adapter.scope, adapter.name, target))
    return moved


def clean_ancestor(conn: Connection, scope: ScopeId, is_usable: Callable[[Adapter], bool]) -> str | None:
    """Name what a scope was live with before and may be live with again; None is the base."""
    _, name = previous_live(conn, scope)
    return name if name is not None and is_usable(get_adapter(conn, name)) else None
