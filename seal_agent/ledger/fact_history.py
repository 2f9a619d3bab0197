"""What became of a fact: pinned, corrected, rejected, expired; and the line of its predecessors and successors.

Each change is one function, which changes the fact and notes when and why. Deliberately compares no meanings: who calls knows which fact
is meant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select, union

from seal_agent.errors import UsageError
from seal_agent.ledger.encoding import check_text, decode_time, encode_optional_time, encode_time
from seal_agent.ledger.facts import TOLD, get_fact, remove_entry, set_fact_state, supersede, update_fact
from seal_agent.ledger.schema import adapter_facts, adapters, fact_events, facts
from seal_agent.types import Fact, FactChange, FactEvent, FactState

UNTOLD: frozenset[FactState] = frozenset({"superseded", "rejected", "expired"})
"""States in which a fact is history."""
DUE = select(facts.c.id).where(
    facts.c.valid_to.is_not(None), facts.c.valid_to <= bindparam("at"), facts.c.state.in_(list(TOLD)), facts.c.pinned.is_(False)
)
ANY_DUE = DUE.limit(1)
"""Looked for at every search, hence built once."""


def note(conn: Connection, fact_id: str, change: FactChange, at: datetime, text: str = "") -> None:
    """Append to a fact's history."""
    row = {"fact_id": fact_id, "at": encode_time(at), "change": change, "note": check_text("The note", text)}
    conn.execute(insert(fact_events), row)


def set_pinned(conn: Connection, fact_id: str, pinned: bool, at: datetime) -> Fact:
    """Pin or unpin a fact that is told; a pinned fact does not expire. Raise `UsageError` for one that is history."""
    fact = require_told(conn, fact_id)
    if fact.pinned != pinned:
        update_fact(conn, fact_id, {"pinned": pinned, **({"valid_to": None} if pinned else {})})
        note(conn, fact_id, "pinned" if pinned else "unpinned", at)
    return get_fact(conn, fact_id)


def set_expiry(conn: Connection, fact_id: str, at: datetime | None) -> Fact:
    """Say when a told fact ends, or with None that it does not."""
    require_told(conn, fact_id)
    update_fact(conn, fact_id, {"valid_to": encode_optional_time(at)})
    return get_fact(conn, fact_id)


def reject(conn: Connection, fact_id: str, at: datetime, reason: str = "") -> Fact:
    """Stop telling a fact because it is wrong. Rejecting it again changes nothing; raise `UsageError` for other history."""
    fact = get_fact(conn, fact_id)
    if fact.state != "rejected":
        require_told(conn, fact_id)
        _retire(conn, fact_id, "rejected", at)
        note(conn, fact_id, "rejected", at, reason)
    return get_fact(conn, fact_id)


def correct(conn: Connection, old_id: str, new_id: str, at: datetime) -> None:
    """Let the new fact take the old one's place since `at`, its pin included, as somebody said outright."""
    old = require_told(conn, old_id)
    supersede(conn, old_id, new_id, at)
    note(conn, old_id, "corrected", at)
    if old.pinned:
        update_fact(conn, old_id, {"pinned": False})
        set_pinned(conn, new_id, True, at)


def expire(conn: Connection, at: datetime) -> list[str]:
    """Retire every told fact whose time has come, over all scopes; return their ids."""
    due = list(conn.execute(DUE.order_by(facts.c.seq), {"at": encode_time(at)}).scalars())
    for fact_id in due:
        _retire(conn, fact_id, "expired")
        note(conn, fact_id, "expired", at)
    return due


def is_any_due(conn: Connection, at: datetime) -> bool:
    """Whether `expire` would do anything."""
    return conn.execute(ANY_DUE, {"at": encode_time(at)}).first() is not None


def tell_again(conn: Connection, fact_id: str, at: datetime) -> None:
    """Tell a superseded fact again, because what superseded it was forgotten."""
    set_fact_state(conn, fact_id, "active")
    note(conn, fact_id, "told_again", at)


def require_told(conn: Connection, fact_id: str) -> Fact:
    """Return the fact; raise `UnknownRecordError`, or `UsageError` when it is history."""
    fact = get_fact(conn, fact_id)
    if fact.state not in TOLD:
        raise UsageError(f"Fact {fact_id!r} is {fact.state} and no longer told; record it anew with remember.")
    return fact


def _retire(conn: Connection, fact_id: str, state: FactState, valid_to: datetime | None = None) -> None:
    ended = {} if valid_to is None else {"valid_to": encode_time(valid_to)}
    update_fact(conn, fact_id, {"state": state, "learned_by": None, "probability": None, "pinned": False, **ended})
    remove_entry(conn, fact_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A fact with all that it replaced and all that replaced it, oldest first."""

    facts: tuple[Fact, ...]
    events: tuple[FactEvent, ...]


def line_of(conn: Connection, fact_id: str) -> Line:
    """Return the fact's line and everything that happened along it, oldest first; raise `UnknownRecordError`."""
    members = [get_fact(conn, id) for id in _line_ids(conn, fact_id)]
    found: list[FactEvent] = []
    for fact in members:
        assert fact.recorded_at is not None  # the ledger has filled it in
        found.append(FactEvent(fact_id=fact.id, at=fact.recorded_at, change="recorded", text=fact.text))
        if fact.superseded_by is not None and fact.valid_to is not None:
            found.append(FactEvent(fact_id=fact.id, at=fact.valid_to, change="superseded", text=fact.text, note=fact.superseded_by))
        found += _noted(conn, fact) + _taught(conn, fact)
    return Line(facts=tuple(members), events=tuple(sorted(found, key=lambda event: event.at)))


def _line_ids(conn: Connection, fact_id: str) -> Sequence[str]:
    """Walk both ways along `superseded_by`."""
    known = [get_fact(conn, fact_id).id]
    queue = list(known)
    while queue:
        id = queue.pop()
        before = select(facts.c.id).where(facts.c.superseded_by == id)
        after = select(facts.c.superseded_by).where(facts.c.id == id, facts.c.superseded_by.is_not(None))
        new = [other for other in conn.execute(union(before, after)).scalars() if other not in known]
        known += new
        queue += new
    return list(conn.execute(select(facts.c.id).where(facts.c.id.in_(known)).order_by(facts.c.seq)).scalars())


def _noted(conn: Connection, fact: Fact) -> list[FactEvent]:
    rows = conn.execute(select(fact_events).where(fact_events.c.fact_id == fact.id).order_by(fact_events.c.seq))
    return [FactEvent(fact_id=fact.id, at=decode_time(row.at), change=row.change, text=fact.text, note=row.note) for row in rows]


def _taught(conn: Connection, fact: Fact) -> list[FactEvent]:
    """What each adapter that was trained on it made of it."""
    columns = (adapters.c.name, adapters.c.created_at, adapter_facts.c.learned, adapter_facts.c.probability)
    query = select(*columns).join(adapter_facts, adapter_facts.c.adapter == adapters.c.name)
    rows = conn.execute(query.where(adapter_facts.c.fact_id == fact.id).order_by(adapters.c.created_at, adapters.c.version))
    return [
        FactEvent(
            fact_id=fact.id,
            at=decode_time(row.created_at),
            change="learned" if row.learned else "not_learned",
            text=fact.text,
            note=row.name if row.probability is None else f"{row.name} ({row.probability:.0%})",
        )
        for row in rows
    ]
