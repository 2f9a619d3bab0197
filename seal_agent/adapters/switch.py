"""The switch: move a scope's live pointer, and let its facts say what the weights now know, in the caller's one transaction.

A night, a roll back and a roll forward all pass through here. Deliberately loads and verifies nothing: that comes before.
"""

from datetime import datetime

from sqlalchemy import Connection

from seal_agent.ledger.adapters import learning_of, set_live
from seal_agent.ledger.facts import list_facts, set_fact_state
from seal_agent.types import FactState, ScopeId

STATES: dict[bool | None, FactState] = {True: "learned", False: "not_learned", None: "active"}
"""By what the adapter made of the fact; None where it was not trained on it."""


def promotion_reason(cycle_id: str) -> str:
    """The reason of a change that a cycle made: by it a promotion is told from what people do by hand."""
    return f"promoted by {cycle_id}"


def switch(conn: Connection, scope: ScopeId, name: str | None, at: datetime, reason: str) -> None:
    """Point `scope` at an adapter of its own, None for the base; raise what `set_live` raises.

    The scope's told facts become learned, not learned or active as `record_learning` noted for that adapter.
    """
    set_live(conn, scope, name, at, reason)
    outcomes = {} if name is None else learning_of(conn, name)
    for fact in list_facts(conn, scope, states=("active", "learned", "not_learned")):
        learned, probability = outcomes.get(fact.id, (None, None))
        state, learned_by = STATES[learned], name if learned else None
        if (fact.state, fact.learned_by, fact.probability) != (state, learned_by, probability):
            set_fact_state(conn, fact.id, state, learned_by=learned_by, probability=probability)
