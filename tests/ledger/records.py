"""The smallest valid record of each kind, to be varied by a test."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import Connection

from seal_agent.ledger.adapters import next_version, register_adapter
from seal_agent.ledger.cycles import end_cycle, start_cycle
from seal_agent.protocols import Vectors
from seal_agent.types import Adapter, Episode, Fact, ScopeId, Turn

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANA = ScopeId(agent="support", user="ana")
BEN = ScopeId(agent="support", user="ben")
SUPPORT = ScopeId(agent="support")
TENANT = ScopeId(agent=None)
EMBEDDER = "hash-4"


def minute(n: int) -> datetime:
    return NOW + timedelta(minutes=n)


def episode(id: str, *texts: str, scope: ScopeId = ANA, at: datetime = NOW) -> Episode:
    turns = tuple(Turn(role="user", content=text) for text in texts or ("I'm vegetarian.",))
    return Episode(id=id, scope=scope, session="s1", at=at, turns=turns)


def fact(id: str, text: str = "Ana is vegetarian.", scope: ScopeId = ANA) -> Fact:
    return Fact(id=id, scope=scope, kind="preference", text=text, quote="I'm vegetarian.", valid_from=NOW)


def vectors(rows: int, dim: int = 4) -> Vectors:
    return np.arange(1, rows * dim + 1, dtype=np.float32).reshape(rows, dim)


def add_adapter(conn: Connection, scope: ScopeId = ANA, fact_ids: tuple[str, ...] = ()) -> Adapter:
    """Register the scope's next adapter with a cycle of its own."""
    version = next_version(conn, scope)
    name = f"{scope.key.replace('/', '-')}-v{version}"
    start_cycle(conn, f"cycle-{name}", scope, 0, NOW)
    end_cycle(conn, f"cycle-{name}", "promoted", "it helps", "{}", NOW)
    adapter = Adapter(
        name=name,
        scope=scope,
        version=version,
        path=Path("adapters") / name,
        sha256="0" * 64,
        base_id="tiny",
        parent=None,
        state="promoted",
        created_at=NOW,
        cycle_id=f"cycle-{name}",
        fact_ids=fact_ids,
    )
    register_adapter(conn, adapter)
    return adapter
