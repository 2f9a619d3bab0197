"""What is held to be true, and what became of it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from seal_agent.types.scopes import ScopeId

FactKind = Literal["preference", "procedure", "correction", "profile", "knowledge", "event"]
FactState = Literal["active", "queued", "learned", "not_learned", "superseded", "rejected", "expired"]
FactChange = Literal[
    "recorded", "superseded", "corrected", "rejected", "expired", "pinned", "unpinned", "told_again", "learned", "not_learned"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a fact rests: a turn of an episode (`turn` is its position, from 0)."""

    episode_id: str
    turn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One atomic, attributed statement in the third person, with the user's own words beside it."""

    id: str
    scope: ScopeId
    kind: FactKind
    text: str
    quote: str
    """The user's own words that it was drawn from; for a fact stated outright, the statement."""
    state: FactState = "active"
    sources: tuple[Source, ...] = ()
    valid_from: datetime
    valid_to: datetime | None = None
    """Since when it no longer holds; of a fact that is told, when it will expire."""
    superseded_by: str | None = None
    learned_by: str | None = None
    """Name of the adapter that learnt it, when `state` is "learned"."""
    probability: float | None = None
    """Geometric mean probability of the answer's tokens on held-out questions, closed book, by `learned_by` or the last candidate."""
    pinned: bool = False
    """Always in the profile, first; neither expires nor is superseded by what is merely said."""
    recorded_at: datetime | None = field(default=None, compare=False)
    """When the ledger took it in; `valid_from` is since when it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactEvent:
    """One thing that happened to a fact."""

    fact_id: str
    at: datetime
    change: FactChange
    text: str
    """What the fact says."""
    note: str = ""
    """The reason given, the fact that took its place, or the adapter that learnt it."""
