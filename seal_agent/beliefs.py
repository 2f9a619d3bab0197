"""What is held to be true: facts stated, corrected, rejected, pinned, and their history; what they stand on is in `explanations.py`.

A fact that no longer holds stays as history and is told nowhere: not by search, not in a context, not in the profile; and what was said
of it at the time is left out of what is found. Deliberately deletes nothing: that is `forgetting/`.
"""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, select

from seal_agent.errors import SealAgentError, UnknownRecordError, UsageError
from seal_agent.forgetting.cutting import cut, parts_of, says
from seal_agent.ledger import fact_history
from seal_agent.ledger.fact_history import UNTOLD
from seal_agent.ledger.facts import TOLD, add_fact, fact_vectors, get_fact, list_facts, supersede
from seal_agent.ledger.schema import fact_sources, facts
from seal_agent.ledger.tombstones import FORGOTTEN_TURN
from seal_agent.parts import Parts
from seal_agent.protocols import Vectors
from seal_agent.types import Fact, FactEvent, FactKind, Hit, ScopeId

logger = logging.getLogger(__name__)

MOST_SPARE = 50
"""Hits asked for beyond the wanted ones where some may be history."""

# Built once, for every search: putting a statement together costs as much as running it.
SAID_OF_HISTORY = (
    select(fact_sources.c.scope_key, fact_sources.c.episode_id, facts.c.quote)
    .join(facts, facts.c.id == fact_sources.c.fact_id)
    .where(facts.c.scope_key.in_(bindparam("keys", expanding=True)), facts.c.state.in_(list(UNTOLD)))
)
Place = tuple[str, str]
"""A scope's key and the id of one of its episodes: ids are a scope's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What `remember` was given, checked."""

    text: str
    kind: FactKind
    valid_from: datetime
    valid_to: datetime | None
    recorded_at: datetime
    pin: bool


def statement(parts: Parts, text: str, kind: FactKind, *, ttl: timedelta | None, pin: bool, valid_from: datetime | None) -> Statement:
    """Raise `UsageError` for a time to live that is none, or that a pin contradicts."""
    now = parts.clock()
    if ttl is not None and (not isinstance(ttl, timedelta) or ttl <= timedelta()):
        raise UsageError(f"ttl={ttl!r} is no time to live: give a positive datetime.timedelta.")
    if ttl is not None and pin:
        raise UsageError("A pinned fact does not expire: give ttl or pin, not both.")
    try:
        end = None if ttl is None else now + ttl
    except OverflowError as error:
        raise UsageError(f"ttl={ttl!r} ends after the year 9999; leave it out for a fact that stays.") from error
    return Statement(text=text, kind=kind, valid_from=now if valid_from is None else valid_from, valid_to=end, recorded_at=now, pin=pin)


def record(parts: Parts, scope: ScopeId, stated: Statement, vector: Vectors | None) -> Fact:
    """Record a statement; one that says the same is returned instead, with the new time to live, and one that it corrects is superseded."""
    with parts.ledger.write() as conn:
        told = list_facts(conn, scope, states=TOLD)
        known = same_as(conn, parts, stated, vector, told)
        if known is None:
            known = new_fact(scope, stated)
            add_fact(conn, known, vector, parts.embedder_id)
            for old in corrected_by(conn, parts, known, vector, told):
                supersede(conn, old, known.id, known.valid_from)
        elif stated.valid_to != known.valid_to and not known.pinned:
            fact_history.set_expiry(conn, known.id, stated.valid_to)
        if stated.pin:
            fact_history.set_pinned(conn, known.id, True, parts.clock())
        return get_fact(conn, known.id)


def new_fact(scope: ScopeId, stated: Statement) -> Fact:
    return Fact(
        id=uuid.uuid4().hex,
        scope=scope,
        kind=stated.kind,
        text=stated.text,
        quote=stated.text,
        valid_from=stated.valid_from,
        valid_to=stated.valid_to,
        recorded_at=stated.recorded_at,
    )


def same_as(conn: Connection, parts: Parts, stated: Statement, vector: Vectors | None, told: Sequence[Fact]) -> Fact | None:
    """A told fact of the same kind that says the same, in the same words or in others."""
    from seal_agent.consolidation.facts import is_known  # here, as the night's rooms are not needed by day but for this

    alike = [fact for fact in told if fact.kind == stated.kind]
    for fact in alike:
        if fact.text == stated.text:
            return fact
    if vector is None:
        return None
    vectors = comparable(conn, alike, vector, parts.embedder_id)
    for fact in alike:
        if fact.id in vectors and is_known(stated.text, vector, [(fact.id, vectors[fact.id], fact.quote)], parts.settings.facts):
            return fact
    return None


def corrected_by(conn: Connection, parts: Parts, fact: Fact, vector: Vectors | None, told: Sequence[Fact]) -> tuple[str, ...]:
    """The told fact that this one corrects by its wording, unless it is pinned."""
    from seal_agent.consolidation.facts import replaced_by  # as above

    if vector is None:
        return ()
    free = [one for one in told if not one.pinned]
    vectors = comparable(conn, free, vector, parts.embedder_id)
    held = [(one.id, vectors[one.id], one.quote) for one in free if one.id in vectors]
    return replaced_by(fact, vector, held, parts.settings.facts)


def comparable(conn: Connection, found: Sequence[Fact], vector: Vectors, embedder_id: str) -> dict[str, Vectors]:
    """The facts' vectors that are of the same embedder."""
    vectors = fact_vectors(conn, [fact.id for fact in found], embedder_id)
    return {id: other for id, other in vectors.items() if other.shape == vector.shape}


def correct(parts: Parts, scope: ScopeId, fact_id: str, text: str, vector: Vectors | None) -> Fact:
    """Let a new statement of the same kind take a told fact's place, its pin included."""
    with parts.ledger.write() as conn:
        old = own(conn, scope, fact_id)
        fact_history.require_told(conn, old.id)
        if old.text == text:
            return old
        at = parts.clock()
        told = list_facts(conn, scope, states=TOLD)
        known = next((one for one in told if one.text == text and one.kind == old.kind), None)
        if known is None:
            known = new_fact(scope, Statement(text=text, kind=old.kind, valid_from=at, valid_to=None, recorded_at=at, pin=False))
            add_fact(conn, known, vector, parts.embedder_id)
        fact_history.correct(conn, old.id, known.id, at)
        return get_fact(conn, known.id)


def reject(parts: Parts, scope: ScopeId, fact_id: str, reason: str) -> Fact:
    """Stop telling a fact because it is wrong; it stays as history, and is not drawn again from what was said."""
    with parts.ledger.write() as conn:
        return fact_history.reject(conn, own(conn, scope, fact_id).id, parts.clock(), reason)


def pin(parts: Parts, scope: ScopeId, fact_id: str, pinned: bool) -> Fact:
    with parts.ledger.write() as conn:
        return fact_history.set_pinned(conn, own(conn, scope, fact_id).id, pinned, parts.clock())


def own(conn: Connection, scope: ScopeId, fact_id: str) -> Fact:
    """Return one of the scope's own facts; raise `UnknownRecordError`."""
    fact = visible(conn, scope, fact_id)
    if fact.scope != scope:
        raise UnknownRecordError(f"Fact {fact_id!r} is shared with {scope.key!r} by {fact.scope.key!r}; change it there.")
    return fact


def visible(conn: Connection, scope: ScopeId, fact_id: str) -> Fact:
    """Return a fact that the scope sees; raise `UnknownRecordError` for others, whether they exist or not."""
    try:
        fact = get_fact(conn, fact_id)
    except UnknownRecordError:
        fact = None
    if fact is None or fact.scope not in (scope, *scope.ancestors):
        raise UnknownRecordError(f"No fact {fact_id!r} in {scope.key!r}; it may have been forgotten. Scope.facts lists what there is.")
    return fact


def history(parts: Parts, scope: ScopeId, fact_id: str) -> tuple[FactEvent, ...]:
    with parts.ledger.read() as conn:
        return fact_history.line_of(conn, visible(conn, scope, fact_id).id).events


def expire_due(parts: Parts) -> None:
    """Retire what has run out, in all scopes. Costs a look at an index where nothing has."""
    now = parts.clock()
    with parts.ledger.read() as conn:
        due = fact_history.is_any_due(conn, now)
    if due:
        with parts.ledger.write() as conn:
            fact_history.expire(conn, now)


def history_in(parts: Parts, scope: ScopeId) -> dict[Place, list[str]]:
    """What was said, by place, that facts rest on which are history now: not to be told as if it still held."""
    keys = [scope.key, *(shared.key for shared in scope.ancestors)]
    said: dict[Place, list[str]] = {}
    with parts.ledger.read() as conn:
        for scope_key, episode_id, quote in conn.execute(SAID_OF_HISTORY, {"keys": keys}):
            said.setdefault((scope_key, episode_id), []).extend(parts_of(quote))
    return said


def without_history(hits: Sequence[Hit], past: dict[Place, list[str]], k: int) -> list[Hit]:
    """The hits without the sentences that are history; a turn of which nothing else remains is left out."""
    kept: list[Hit] = []
    for hit in hits:
        parts = past.get((hit.scope.key, hit.episode_id or ""), ()) if hit.source == "turn" else ()
        if any(says(hit.text, part) for part in parts):
            remaining = cut(hit.text, list(parts))
            if remaining == FORGOTTEN_TURN:
                continue
            hit = replace(hit, text=remaining)
        kept.append(hit)
    return kept[:k]


def embed_one(parts: Parts, text: str) -> Vectors | None:
    """The text's vector; None where no embedder can be had, which is no reason not to record it."""
    try:
        vectors = parts.embedder.embed([text])
    except SealAgentError as error:
        logger.warning("a fact is recorded in %s but not embedded yet: %s", parts.folder, error)
        return None
    return vectors[0] if len(vectors) == 1 else None


def is_visible(parts: Parts, scope: ScopeId, fact_id: str) -> bool:
    with parts.ledger.read() as conn:
        try:
            visible(conn, scope, fact_id)
        except UnknownRecordError:
            return False
        return True
