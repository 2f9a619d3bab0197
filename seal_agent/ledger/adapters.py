"""Adapters: every LoRA artefact that was registered, which facts it was trained on, and how well each of them was learnt.

Which one is live is kept in `live.py`, whose public functions are offered here too. Deliberately reads no files: whether the bytes at
`path` are what the hash says is for `seal_agent/adapters/`. Adapters are never deleted, so no version is used twice.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from seal_agent.errors import UnknownRecordError, UsageError
from seal_agent.ledger.encoding import batches, decode_time, encode_time, key_columns, scope_columns, scope_of
from seal_agent.ledger.live import BANNED, earlier_live, live_name, next_live, previous_live, set_live
from seal_agent.ledger.schema import adapter_facts, adapters, cycles, facts, live
from seal_agent.types import Adapter, AdapterState, ScopeId

__all__ = [
    "adapters_taught",
    "earlier_live",
    "get_adapter",
    "learned_facts",
    "learning_of",
    "list_adapters",
    "live_adapter",
    "nearest_live",
    "next_live",
    "next_version",
    "previous_live",
    "record_learning",
    "register_adapter",
    "set_adapter_state",
    "set_live",
    "withdraw_adapters",
]


def next_version(conn: Connection, scope: ScopeId) -> int:
    """Return the version after the newest of this exact scope, from 1."""
    newest = conn.execute(select(func.max(adapters.c.version)).where(adapters.c.scope_key == scope.key)).scalar_one()
    return int(newest or 0) + 1


def register_adapter(conn: Connection, adapter: Adapter) -> None:
    """Record an artefact with the facts it was trained on; `adapter.live` is ignored.

    Raise `UsageError` for a name or version that is taken, `UnknownRecordError` for a cycle, parent or fact that its scope does not see.
    """
    taken = (adapters.c.scope_key == adapter.scope.key) & (adapters.c.version == adapter.version)
    if conn.execute(select(adapters.c.name).where((adapters.c.name == adapter.name) | taken)).first():
        raise UsageError(f"Adapter {adapter.name!r} or version {adapter.version} of {adapter.scope.key!r} exists; take next_version.")
    if adapter.version < 1 or not adapter.name:
        raise UsageError(f"Adapter {adapter.name!r}: version={adapter.version} and the name can't be registered; versions begin at 1.")
    _check_known(conn, adapter)
    row = {
        "name": adapter.name,
        **scope_columns(adapter.scope),
        "version": adapter.version,
        "path": str(adapter.path),
        "sha256": adapter.sha256,
        "base_id": adapter.base_id,
        "parent": adapter.parent,
        "state": adapter.state,
        "created_at": encode_time(adapter.created_at),
        "cycle_id": adapter.cycle_id,
    }
    conn.execute(insert(adapters), row)
    links = [{"adapter": adapter.name, "fact_id": id, "position": n} for n, id in enumerate(dict.fromkeys(adapter.fact_ids))]
    if links:
        conn.execute(insert(adapter_facts), links)


def _check_known(conn: Connection, adapter: Adapter) -> None:
    key = adapter.scope.key
    if not conn.execute(select(cycles.c.id).where(cycles.c.id == adapter.cycle_id, cycles.c.scope_key == key)).first():
        raise UnknownRecordError(f"Adapter {adapter.name!r}: no cycle {adapter.cycle_id!r} in {key!r}; start the cycle first.")
    if adapter.parent is not None and get_adapter(conn, adapter.parent).scope != adapter.scope:
        raise UnknownRecordError(f"Adapter {adapter.name!r}: no parent {adapter.parent!r} in {key!r}.")
    # The last line of defence against weights that mix two users' private facts.
    visible = [key, *(shared.key for shared in adapter.scope.ancestors)]
    for batch in batches(adapter.fact_ids):
        query = select(facts.c.id).where(facts.c.id.in_(batch), facts.c.scope_key.in_(visible))
        unseen = set(batch) - set(conn.execute(query).scalars())
        if unseen:
            raise UnknownRecordError(f"Adapter {adapter.name!r}: {key!r} sees no fact {min(unseen)!r}.")


def set_adapter_state(conn: Connection, name: str, state: AdapterState) -> None:
    """Raise `UsageError` for banning an adapter while it is live, and for lifting a quarantine."""
    adapter = get_adapter(conn, name)
    if adapter.live and state in BANNED:
        raise UsageError(f"Adapter {name!r} is live in {adapter.scope.key!r} and can't become {state}; roll back first.")
    if adapter.state == "quarantined" and state != "quarantined":
        raise UsageError(f"Adapter {name!r} is quarantined for good; train another.")
    conn.execute(update(adapters).where(adapters.c.name == name).values(state=state))


def withdraw_adapters(conn: Connection, names: Sequence[str]) -> None:
    """Quarantine adapters, the live ones too: whoever calls moves the pointers in the same transaction."""
    for batch in batches(names):
        conn.execute(update(adapters).where(adapters.c.name.in_(batch)).values(state="quarantined"))


def adapters_taught(conn: Connection, fact_ids: Sequence[str]) -> list[Adapter]:
    """Return every adapter, of whatever scope and state, that was trained on one of these facts."""
    names: dict[str, None] = {}
    for batch in batches(fact_ids):
        query = select(adapter_facts.c.adapter).where(adapter_facts.c.fact_id.in_(batch)).order_by(adapter_facts.c.adapter)
        names.update(dict.fromkeys(conn.execute(query).scalars()))
    return [get_adapter(conn, name) for name in names]


def list_adapters(conn: Connection, scope: ScopeId | None) -> list[Adapter]:
    """List this exact scope's adapters, or everybody's, by scope and version."""
    query = _adapters().order_by(adapters.c.scope_key, adapters.c.version)
    if scope is not None:
        query = query.where(adapters.c.scope_key == scope.key)
    return _build(conn, conn.execute(query).all())


def get_adapter(conn: Connection, name: str) -> Adapter:
    """Raise `UnknownRecordError` for an unknown name."""
    rows = conn.execute(_adapters().where(adapters.c.name == name)).all()
    if not rows:
        raise UnknownRecordError(f"No adapter {name!r} in the ledger.")
    return _build(conn, rows)[0]


def live_adapter(conn: Connection, scope: ScopeId) -> Adapter | None:
    """Return what this scope itself points at; None is the base."""
    name = live_name(conn, scope)
    return None if name is None else get_adapter(conn, name)


def nearest_live(conn: Connection, scope: ScopeId) -> Adapter | None:
    """Return the live adapter of this scope, else that of its nearest ancestor that has one."""
    for visible in (scope, *scope.ancestors):
        adapter = live_adapter(conn, visible)
        if adapter is not None:
            return adapter
    return None


def record_learning(conn: Connection, adapter_name: str, outcomes: Sequence[tuple[str, bool, float | None]]) -> None:
    """Note per fact whether this adapter learnt it, and with what probability; the facts' own state is left to `set_fact_state`.

    Raise `UnknownRecordError` for a fact that the adapter was not trained on.
    """
    for fact_id, learned, probability in outcomes:
        if probability is not None and not 0.0 <= probability <= 1.0:
            raise UsageError(f"Fact {fact_id!r}: probability={probability!r} is not in [0, 1].")
        link = (adapter_facts.c.adapter == adapter_name) & (adapter_facts.c.fact_id == fact_id)
        if conn.execute(update(adapter_facts).where(link).values(learned=learned, probability=probability)).rowcount == 0:
            raise UnknownRecordError(f"Adapter {adapter_name!r} was not trained on a fact {fact_id!r}.")


def learned_facts(conn: Connection, adapter_name: str) -> list[str]:
    """Return the ids of the facts that `record_learning` called learnt, in training order: what a roll back has to take back."""
    query = select(adapter_facts.c.fact_id).where(adapter_facts.c.adapter == adapter_name, adapter_facts.c.learned.is_(True))
    return list(conn.execute(query.order_by(adapter_facts.c.position)).scalars())


def learning_of(conn: Connection, adapter_name: str) -> dict[str, tuple[bool | None, float | None]]:
    """Return what `record_learning` noted per fact that the adapter was trained on; (None, None) where it noted nothing."""
    columns = (adapter_facts.c.fact_id, adapter_facts.c.learned, adapter_facts.c.probability)
    rows = conn.execute(select(*columns).where(adapter_facts.c.adapter == adapter_name))
    return {fact_id: (learned, probability) for fact_id, learned, probability in rows}


def _adapters() -> Any:  # Any: SQLAlchemy types a select by its columns; `_build` reads rows by name
    names = ("name", "version", "path", "sha256", "base_id", "parent", "state", "created_at", "cycle_id")
    columns = [adapters.c[name] for name in names]
    return select(*columns, *key_columns(adapters), live.c.adapter.label("live")).join(
        live, live.c.adapter == adapters.c.name, isouter=True
    )


def _build(conn: Connection, rows: Sequence[Row[Any]]) -> list[Adapter]:  # Any: the columns of `_adapters`
    held: dict[str, list[str]] = {row.name: [] for row in rows}
    for names in batches(list(held)):
        links = select(adapter_facts.c.adapter, adapter_facts.c.fact_id).where(adapter_facts.c.adapter.in_(names))
        for name, fact_id in conn.execute(links.order_by(adapter_facts.c.adapter, adapter_facts.c.position)):
            held[name].append(fact_id)
    return [
        Adapter(
            name=row.name,
            scope=scope_of(row),
            version=row.version,
            path=Path(row.path),
            sha256=row.sha256,
            base_id=row.base_id,
            parent=row.parent,
            state=row.state,
            created_at=decode_time(row.created_at),
            cycle_id=row.cycle_id,
            fact_ids=tuple(held[row.name]),
            live=row.live is not None,
        )
        for row in rows
    ]
