"""Facts: what is held to be true, since when, resting on which turns, and how far the weights know it.

A fact has one entry, its searchable text, as long as it is told: superseded, rejected and expired facts have none, and stay as history.
What became of one in between is in `fact_history.py`. Deliberately draws no facts and compares no meanings; that is `consolidation/`.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy.typing as npt
from sqlalchemy import Connection, Row, delete, insert, select, update

from seal_agent.errors import UnknownRecordError, UsageError
from seal_agent.ledger.encoding import (
    Columns,
    Vectors,
    batches,
    check_text,
    decode_optional_time,
    decode_time,
    decode_vector,
    encode_optional_time,
    encode_time,
    hash_text,
    scope_columns,
    scope_of,
)
from seal_agent.ledger.entries import add_entries, embedding_columns
from seal_agent.ledger.schema import entries, fact_sources, facts
from seal_agent.ledger.tombstones import refuse_forgotten
from seal_agent.types import Fact, FactState, ScopeId, Source

TOLD: frozenset[FactState] = frozenset({"active", "queued", "learned", "not_learned"})
"""States in which a fact is true as far as we know, and found by search."""


def add_fact(conn: Connection, fact: Fact, vector: npt.ArrayLike | None, embedder_id: str | None) -> bool:
    """Record a fact with its entry; return False when its id is there already, whatever became of it.

    Raise `UsageError` when the id belongs to another scope or the fact is not whole, `UnknownRecordError` when a source is not a turn
    of the same scope, `ForgottenError` when the same statement was forgotten there.
    """
    _check(fact)
    owner = conn.execute(select(facts.c.scope_key).where(facts.c.id == fact.id)).scalar_one_or_none()
    if owner == fact.scope.key:
        return False
    if owner is not None:
        raise UsageError(f"Fact id {fact.id!r} is taken; ids are unique over all scopes.")
    refuse_forgotten(conn, fact)
    conn.execute(insert(facts), {**_columns(fact), "recorded_at": encode_time(fact.recorded_at or datetime.now(UTC))})
    for position, source in enumerate(dict.fromkeys(fact.sources)):
        _check_source(conn, fact, source)
        row = {"fact_id": fact.id, "scope_key": fact.scope.key, "episode_id": source.episode_id, "turn": source.turn}
        conn.execute(insert(fact_sources), row | {"position": position})
    if fact.state in TOLD:
        _add_entry(conn, fact, embedding_columns(vector, embedder_id))
    return True


def _check(fact: Fact) -> None:
    check_text("A fact's id", fact.id)
    check_text(f"Fact {fact.id!r}", fact.text)
    check_text(f"The quote of fact {fact.id!r}", fact.quote)
    if not fact.id or not fact.text.strip():
        raise UsageError(f"Fact {fact.id!r} needs an id and a text.")
    if (fact.state == "learned") and fact.learned_by is None:
        raise UsageError(f"Fact {fact.id!r} is learned by no adapter; name it in learned_by.")
    _check_probability(fact.id, fact.probability)


def _check_probability(fact_id: str, probability: float | None) -> None:
    if probability is not None and not 0.0 <= probability <= 1.0:
        raise UsageError(f"Fact {fact_id!r}: probability={probability!r} is not in [0, 1].")


def _check_source(conn: Connection, fact: Fact, source: Source) -> None:
    turn = select(entries.c.seq).where(entries.c.episode_id == source.episode_id, entries.c.turn == source.turn)
    if conn.execute(turn.where(entries.c.scope_key == fact.scope.key)).first() is None:
        raise UnknownRecordError(f"Fact {fact.id!r}: no turn {source.turn} of an episode {source.episode_id!r} in {fact.scope.key!r}.")


def _columns(fact: Fact) -> Columns:
    return {
        "id": fact.id,
        **scope_columns(fact.scope),
        "kind": fact.kind,
        "text": fact.text,
        "quote": fact.quote,
        "state": fact.state,
        "valid_from": encode_time(fact.valid_from),
        "valid_to": encode_optional_time(fact.valid_to),
        "superseded_by": fact.superseded_by,
        "learned_by": fact.learned_by,
        "probability": fact.probability,
        "pinned": fact.pinned,
    }


def _add_entry(conn: Connection, fact: Fact, embedding: Columns) -> None:
    row = {"id": fact.id, "kind": "fact", "scope_key": fact.scope.key, "fact_id": fact.id, "at": encode_time(fact.valid_from)}
    add_entries(conn, [{**row, "text": fact.text, "sha256": hash_text(fact.text), **embedding}])


def remove_entry(conn: Connection, fact_id: str) -> None:
    conn.execute(delete(entries).where(entries.c.fact_id == fact_id))


def get_fact(conn: Connection, id: str) -> Fact:
    """Raise `UnknownRecordError` for an unknown id."""
    row = conn.execute(select(facts).where(facts.c.id == id)).one_or_none()
    if row is None:
        raise UnknownRecordError(f"No fact {id!r} in the ledger.")
    return _build(conn, [row])[0]


def known_ids(conn: Connection, ids: Collection[str]) -> set[str]:
    """Return those of the ids that the ledger holds."""
    return {id for batch in batches(list(ids)) for id in conn.execute(select(facts.c.id).where(facts.c.id.in_(batch))).scalars()}


def list_facts(conn: Connection, scope: ScopeId, *, states: Collection[FactState] | None = None, inherit: bool = False) -> list[Fact]:
    """List this scope's facts in recorded order; `inherit` adds those shared with it by its ancestors."""
    keys = [scope.key, *(shared.key for shared in scope.ancestors)] if inherit else [scope.key]
    query = select(facts).where(facts.c.scope_key.in_(keys)).order_by(facts.c.seq)
    if states is not None:
        query = query.where(facts.c.state.in_(list(states)))
    return _build(conn, conn.execute(query).all())


def _build(conn: Connection, rows: Sequence[Row[Any]]) -> list[Fact]:  # Any: every column of `facts`
    sources: dict[str, list[Source]] = {row.id: [] for row in rows}
    for ids in batches(list(sources)):
        query = select(fact_sources).where(fact_sources.c.fact_id.in_(ids)).order_by(fact_sources.c.fact_id, fact_sources.c.position)
        for row in conn.execute(query):
            sources[row.fact_id].append(Source(episode_id=row.episode_id, turn=row.turn))
    return [
        Fact(
            id=row.id,
            scope=scope_of(row),
            kind=row.kind,
            text=row.text,
            quote=row.quote,
            state=row.state,
            sources=tuple(sources[row.id]),
            valid_from=decode_time(row.valid_from),
            valid_to=decode_optional_time(row.valid_to),
            superseded_by=row.superseded_by,
            learned_by=row.learned_by,
            probability=row.probability,
            pinned=row.pinned,
            recorded_at=decode_time(row.recorded_at),
        )
        for row in rows
    ]


def fact_vectors(conn: Connection, fact_ids: Collection[str], embedder_id: str | None = None) -> dict[str, Vectors]:
    """Return the vectors of these facts' entries, of one embedder where it is named; facts without one, or not told, are left out."""
    found: dict[str, Vectors] = {}
    for batch in batches(list(dict.fromkeys(fact_ids))):
        query = select(entries.c.fact_id, entries.c.vector).where(entries.c.fact_id.in_(batch), entries.c.vector.is_not(None))
        if embedder_id is not None:
            query = query.where(entries.c.embedder == embedder_id)
        found.update({fact_id: decode_vector(vector) for fact_id, vector in conn.execute(query)})
    return found


def set_fact_state(
    conn: Connection, fact_id: str, state: FactState, *, learned_by: str | None = None, probability: float | None = None
) -> None:
    """Set how far the fact is known; `learned_by` and `probability` replace what was there.

    A superseded, rejected or expired fact that is told again holds without end and gets an entry without a vector. Raise
    `UnknownRecordError`, or `UsageError` for a learned fact without adapter and for an unlearned one with.
    """
    fact = get_fact(conn, fact_id)
    _check_probability(fact_id, probability)
    if (state == "learned") != (learned_by is not None):
        raise UsageError(f"Fact {fact_id!r}: state {state!r} with learned_by={learned_by!r}; name an adapter for learned facts only.")
    values: Columns = {"state": state, "learned_by": learned_by, "probability": probability}
    if state in TOLD and fact.state not in TOLD:
        values |= {"superseded_by": None, "valid_to": None}
    update_fact(conn, fact_id, values)
    if state not in TOLD:
        remove_entry(conn, fact_id)
    elif fact.state not in TOLD:
        _add_entry(conn, fact, embedding_columns(None, None))


def update_fact(conn: Connection, fact_id: str, values: Columns) -> None:
    conn.execute(update(facts).where(facts.c.id == fact_id).values(**values))


def supersede(conn: Connection, old_id: str, new_id: str, at: datetime) -> None:
    """Let the new fact take the old one's place since `at`; repeating it changes nothing.

    Raise `UnknownRecordError` when the two are not of one scope, `UsageError` when either is not told any more.
    """
    old, new = get_fact(conn, old_id), get_fact(conn, new_id)
    if old.scope != new.scope:
        raise UnknownRecordError(f"No fact {old_id!r} in {new.scope.key!r}, the scope of {new_id!r}.")
    if old.superseded_by == new_id:
        return
    if old_id == new_id or old.state not in TOLD or new.state not in TOLD:
        raise UsageError(f"Fact {old_id!r} ({old.state}) can't be superseded by {new_id!r} ({new.state}): both must be told, and differ.")
    update_fact(conn, old_id, {"state": "superseded", "valid_to": encode_time(at), "superseded_by": new_id})
    remove_entry(conn, old_id)
