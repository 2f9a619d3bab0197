"""Withdrawing adapters for good: quarantined, and whatever points at them moved to the newest one that is clean, in one transaction.

The one home for that, whether somebody quarantines an adapter by hand, forgets what it was taught, or the watch takes it back. Deliberately
deletes no file: that comes after the transaction, and is repeated if the process dies in between.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from seal_agent.adapters.switch import switch
from seal_agent.ledger.adapters import earlier_live, get_adapter, withdraw_adapters
from seal_agent.types import Adapter, ScopeId

FORGOTTEN = "withdrawn: what it was taught was forgotten"

IsUsable = Callable[[Adapter], bool]
"""Whether an adapter's files can serve."""


def withdraw(
    conn: Connection, adapters: Sequence[Adapter], at: datetime, reason: str, is_usable: IsUsable
) -> list[tuple[ScopeId, str, str | None]]:
    """Quarantine the adapters; return (scope, live before, live now) of every scope that one of them was live in.

    A scope goes back to the newest adapter that it was live with before and that is clean and usable, else to the base. `reason` is what
    the history of the live pointer says of it.
    """
    withdraw_adapters(conn, [adapter.name for adapter in adapters])
    moved: list[tuple[ScopeId, str, str | None]] = []
    for adapter in adapters:
        if adapter.live:
            target = clean_ancestor(conn, adapter.scope, is_usable)
            switch(conn, adapter.scope, target, at, reason)
            moved.append((adapter.scope, adapter.name, target))
    return moved


def clean_ancestor(conn: Connection, scope: ScopeId, is_usable: IsUsable) -> str | None:
    """Name the newest that a scope was live with before and may be live with again; None is the base."""
    return next((name for name in earlier_live(conn, scope) if is_usable(get_adapter(conn, name))), None)
