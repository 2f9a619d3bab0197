"""Which of the drawn facts may be recorded: not what was forgotten, not what somebody rejected, and nothing replaces what is pinned."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from seal_agent.consolidation.facts import Draft
from seal_agent.ledger.facts import list_facts
from seal_agent.ledger.tombstones import is_buried, value_of
from seal_agent.types import Fact, FactState, ScopeId

REJECTED: frozenset[FactState] = frozenset({"rejected"})


def admitted(conn: Connection, scope: ScopeId, drafts: Sequence[Draft]) -> list[Draft]:
    """Return the drafts that may be recorded, without what they must not replace."""
    if not drafts:
        return []
    own = list_facts(conn, scope)
    rejected = {value_of(fact.quote) for fact in own if fact.state in REJECTED}
    pinned = {fact.id for fact in own if fact.pinned}
    kept: list[Draft] = []
    gone: set[str] = set()
    for draft in drafts:
        if value_of(draft.fact.quote) in rejected or is_forgotten(conn, draft.fact):
            gone.add(draft.fact.id)
        else:
            # A draft may replace an earlier one, which has to be there then.
            kept.append(replace(draft, supersedes=tuple(old for old in draft.supersedes if old not in pinned | gone)))
    return kept


def is_forgotten(conn: Connection, fact: Fact) -> bool:
    """Whether the statement, or a part that it is made of, was forgotten in its scope."""
    return any(is_buried(conn, fact.scope, text) for text in (fact.text, fact.quote, *fact.quote.split(" ... ")))
