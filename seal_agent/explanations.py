"""Why something is believed: the facts behind a question, what they were drawn from, their history, and the adapter that learnt them.

Deliberately changes nothing: stating and correcting is `beliefs.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, tuple_

from seal_agent.beliefs import Place, visible
from seal_agent.ledger import fact_history
from seal_agent.ledger.adapters import get_adapter, nearest_live
from seal_agent.ledger.episodes import get_episode
from seal_agent.ledger.facts import TOLD, get_fact
from seal_agent.ledger.schema import fact_sources
from seal_agent.parts import Parts
from seal_agent.types import Adapter, Fact, FactEvent, Hit, ScopeId

MOST_BELIEFS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A turn that a fact was drawn from, word for word."""

    episode_id: str
    turn: int
    at: datetime
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """A fact with everything that stands behind it."""

    fact: Fact
    said: tuple[Said, ...]
    events: tuple[FactEvent, ...]
    """Its history, and that of what it replaced or was replaced by, oldest first."""
    adapter: Adapter | None
    """The adapter that learnt it; None where only the text knows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Which facts, episodes and adapter stand behind an answer."""

    question: str
    beliefs: tuple[Belief, ...]
    episodes: tuple[Hit, ...]
    """What was said that is relevant and that no fact rests on."""
    adapter: str | None
    """What is live in the scope; None is the base."""


def explain(parts: Parts, scope: ScopeId, question: str, hits: Sequence[Hit]) -> Explanation:
    """Put behind the question what was found for it: facts first, those too that were drawn from a turn that was found."""
    with parts.ledger.read() as conn:
        ids = [hit.fact_id for hit in hits if hit.fact_id is not None]
        spoken = [(hit.scope.key, hit.episode_id) for hit in hits if hit.episode_id is not None]
        resting = drawn_from(conn, spoken)
        ids += [id for place in spoken for id in resting.get(place, ())]
        found = [get_fact(conn, id) for id in dict.fromkeys(ids)]
        told = [fact for fact in found if fact.state in TOLD][:MOST_BELIEFS]
        live = nearest_live(conn, scope)
        return Explanation(
            question=question,
            beliefs=tuple(belief_of(conn, fact) for fact in told),
            episodes=tuple(hit for hit in hits if hit.episode_id is not None and (hit.scope.key, hit.episode_id) not in resting),
            adapter=None if live is None else live.name,
        )


def explain_fact(parts: Parts, scope: ScopeId, fact_id: str) -> Explanation:
    """The same for one fact, told or not."""
    with parts.ledger.read() as conn:
        fact = visible(conn, scope, fact_id)
        live = nearest_live(conn, scope)
        beliefs = (belief_of(conn, fact),)
        return Explanation(question=fact.text, beliefs=beliefs, episodes=(), adapter=None if live is None else live.name)


def drawn_from(conn: Connection, places: Sequence[Place]) -> dict[Place, list[str]]:
    """Ids of the facts that rest on each of these episodes."""
    where = tuple_(fact_sources.c.scope_key, fact_sources.c.episode_id).in_(places)
    found: dict[Place, list[str]] = {}
    for scope_key, episode_id, fact_id in conn.execute(
        select(fact_sources.c.scope_key, fact_sources.c.episode_id, fact_sources.c.fact_id).where(where)
    ):
        found.setdefault((scope_key, episode_id), []).append(fact_id)
    return found


def belief_of(conn: Connection, fact: Fact) -> Belief:
    said = []
    for source in fact.sources:
        episode = get_episode(conn, fact.scope, source.episode_id)
        said.append(Said(episode_id=episode.id, turn=source.turn, at=episode.at, text=episode.turns[source.turn].content))
    return Belief(
        fact=fact,
        said=tuple(said),
        events=fact_history.line_of(conn, fact.id).events,
        adapter=None if fact.learned_by is None else get_adapter(conn, fact.learned_by),
    )
