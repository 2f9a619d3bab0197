"""What a night works on: the episodes not read yet, and the facts that the next adapter must know.

An adapter is trained on every fact that is told, its own scope's and the shared ones of agent and tenant: old ones are replayed, so that
nothing is lost and the order of nights does not matter. It changes nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import Connection

from seal_agent.config import Settings
from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.facts import Draft
from seal_agent.consolidation.trust import refusal
from seal_agent.ledger import adapters, cycles, episodes, facts
from seal_agent.privacy.screen import kinds_in
from seal_agent.protocols import Vectors
from seal_agent.types import Adapter, Episode, Fact, ScopeId

NO_VECTOR: Vectors = np.zeros(0, dtype=np.float32)
"""Where only the facts count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A snapshot: what came later belongs to the next night."""

    episodes: tuple[Episode, ...]
    told: tuple[tuple[Fact, Vectors], ...]
    """Facts that hold now and may be learnt, with their vectors."""
    live: Adapter | None
    tried: frozenset[str]
    """Ids of the facts that the scope's last whole cycle worked with."""


def select(backends: Backends, scope: ScopeId) -> Selection:
    with backends.ledger.read() as conn:
        told = [fact for fact in facts.list_facts(conn, scope, states=facts.TOLD, inherit=True) if may_be_learnt(fact, backends.settings)]
        return Selection(
            episodes=tuple(episodes.list_episodes(conn, scope, unextracted_only=True)),
            told=tuple(with_vectors(conn, backends, told)),
            live=adapters.live_adapter(conn, scope),
            tried=tried_last(conn, scope),
        )


def again(backends: Backends, scope: ScopeId, before: Selection) -> Selection:
    """The same selection as it stands now: without what is gone, and without the episodes that came since."""
    now, known = select(backends, scope), {episode.id for episode in before.episodes}
    return replace(now, episodes=tuple(episode for episode in now.episodes if episode.id in known))


def may_be_learnt(fact: Fact, settings: Settings) -> bool:
    """Whether a fact may become study material: one with a secret, personal data or an order in it is told only."""
    return not kinds_in(fact, settings.privacy) and refusal(fact.quote) is None and refusal(fact.text) is None


def tried_last(conn: Connection, scope: ScopeId) -> frozenset[str]:
    report = cycles.last_report(conn, scope)
    return frozenset() if report is None else frozenset(outcome["fact_id"] for outcome in json.loads(report)["facts"])


def with_vectors(conn: Connection, backends: Backends, told: list[Fact]) -> list[tuple[Fact, Vectors]]:
    """Facts whose vector is missing, or was made by another embedder, are embedded here."""
    stored = facts.fact_vectors(conn, [fact.id for fact in told], backends.embedder.id)
    missing = [fact for fact in told if fact.id not in stored]
    stored |= dict(zip([fact.id for fact in missing], backends.embedder.embed([fact.quote for fact in missing]), strict=True))
    return [(fact, stored[fact.id]) for fact in told]


def told_after(selection: Selection, drafts: Sequence[Draft]) -> list[tuple[Fact, Vectors]]:
    """The facts that hold once the drafts are recorded, with their vectors."""
    gone = {old for draft in drafts for old in draft.supersedes}
    both = [*selection.told, *((draft.fact, draft.vector) for draft in drafts)]
    return [(fact, vector) for fact, vector in both if fact.id not in gone]


def is_due(scope: ScopeId, selection: Selection, told: Sequence[tuple[Fact, Vectors]]) -> bool:
    """Whether there is a fact that no cycle has tried yet, or the live adapter still tells one that no longer holds."""
    return bool(untried(scope, selection, told)) or must_unlearn(selection, told)


def untried(scope: ScopeId, selection: Selection, told: Sequence[tuple[Fact, Vectors]]) -> list[Fact]:
    """The facts that are new to this scope's adapter.

    A fact that was tried and not learned is not new: the same material and seed give the same result. The state of a shared fact tells
    what its own scope's adapter knows, so there the last cycle's report is asked; and shared facts alone are no reason for an adapter of
    one's own, since the nearest scope's answers.
    """
    taught = set(selection.live.fact_ids) if selection.live else set()
    own = [fact for fact, _ in told if fact.scope == scope and fact.state in ("active", "queued") and fact.id not in taught]
    if selection.live is None and not any(fact.scope == scope for fact, _ in told):
        return []
    shared = [fact for fact, _ in told if fact.scope != scope and fact.id not in taught and fact.id not in selection.tried]
    return [*own, *shared]


def must_unlearn(selection: Selection, told: Sequence[tuple[Fact, Vectors]]) -> bool:
    """Whether the live adapter tells something that no longer holds."""
    return selection.live is not None and not {fact.id for fact, _ in told}.issuperset(selection.live.fact_ids)


def is_too_little(scope: ScopeId, selection: Selection, told: Sequence[tuple[Fact, Vectors]], least: int) -> bool:
    """Whether the news is not worth a night yet; what must be unlearnt always is."""
    return len(untried(scope, selection, told)) < least and not must_unlearn(selection, told)


def has_work(conn: Connection, scope: ScopeId) -> bool:
    """Whether a cycle might find something to do: a quick look that loads no model, and may say yes in vain."""
    if episodes.list_episodes(conn, scope, unextracted_only=True):
        return True
    told = tuple((fact, NO_VECTOR) for fact in facts.list_facts(conn, scope, states=facts.TOLD, inherit=True))
    seen = Selection(episodes=(), told=told, live=adapters.live_adapter(conn, scope), tried=tried_last(conn, scope))
    unfinished = any(row.state == "running" for row in cycles.list_cycles(conn, scope))
    return unfinished or is_due(scope, seen, told)
