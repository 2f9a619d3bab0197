"""What stands in a prompt beside the weights: the few lines that complete them, fenced and cited like every context.

The router says which facts and unread turns these are (`routing.Shown`); other turns are shown if they are beyond doubt about the question.
What is pinned goes with them, but makes no block by itself. Deliberately decides nothing.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from seal_agent.ledger.entries import get_entries, vectors_of
from seal_agent.ledger.facts import TOLD, list_facts
from seal_agent.parts import Parts
from seal_agent.protocols import Vectors
from seal_agent.retrieval.context import EMPTY, build_context
from seal_agent.retrieval.lexical import text_key
from seal_agent.retrieval.search import hit, text_keys
from seal_agent.routing import Place, Shown
from seal_agent.types import Context, Hit, ScopeId


def complement(parts: Parts, scope: ScopeId, question: str, shown: Shown, search: Callable[[str], list[Hit]]) -> Context:
    """Write the block, of at most `retrieval.k` lines beside what is pinned; empty where nothing is to be shown."""
    others = [found for found in search(question) if found.source == "turn"] if shown.question is not None else []
    most = parts.settings.retrieval.k
    with parts.ledger.read() as connection:
        hits, said = nearest(connection, scope, shown.entries[:most])
        if shown.question is not None:
            near = as_near(connection, parts.embedder.id, others, shown.question, shown.others_from)
            hits += [turn for turn in near if not any(words in text_key(turn.text) for words in said)]
        pinned = [fact for fact in list_facts(connection, scope, states=TOLD, inherit=True) if fact.pinned] if hits else []
    if not hits:
        return EMPTY
    return build_context(scope, question, hits[:most], pinned, parts.settings.retrieval.context_tokens, parts.model.count_tokens)


def nearest(connection: Connection, scope: ScopeId, places: Sequence[Place]) -> tuple[list[Hit], set[str]]:
    """Return the entries as hits, in their order, and what they say: a turn that a fact was drawn from says it again."""
    hits: dict[Place, Hit] = {}
    said: set[str] = set()
    for seen in (scope, *scope.ancestors):
        ids = [entry for key, entry in places if key == seen.key]
        for entry in get_entries(connection, seen.key, ids).values():
            hits[seen.key, entry.id] = hit(entry, 0.0, seen)
            said |= text_keys(entry)
    return [hits[place] for place in places if place in hits], said


def as_near(connection: Connection, embedder_id: str, turns: Sequence[Hit], question: Vectors, least: float) -> list[Hit]:
    """Return the turns whose cosine to the question is at least so high, the nearest first."""
    cosines: dict[Place, float] = {}
    for key in {turn.scope.key for turn in turns}:
        ids, vectors = vectors_of(connection, key, [entry_id(turn) for turn in turns if turn.scope.key == key], embedder_id)
        cosines.update(((key, id), float(vector @ question)) for id, vector in zip(ids, vectors, strict=True))
    placed = [(cosines.get((turn.scope.key, entry_id(turn)), -1.0), turn) for turn in turns]
    return [turn for cosine, turn in sorted(placed, key=lambda one: -one[0]) if cosine >= least]


def entry_id(turn: Hit) -> str:
    return f"{turn.episode_id}:{turn.turn}"
