"""What search is asked and what it returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from seal_agent.types.episodes import MetadataValue, Role
from seal_agent.types.scopes import ScopeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which entries a search may return. Every condition must hold; of several values, any. No condition, everything."""

    since: datetime | None = None
    """Said or true from then on, inclusive."""
    until: datetime | None = None
    """Said or true before then, exclusive."""
    fields: Mapping[str, tuple[MetadataValue, ...]] = field(default_factory=dict)
    """Conditions on an episode or turn: session, source, outcome, author, role; or on the entry: kind ("turn" or "fact")."""
    metadata: Mapping[str, tuple[MetadataValue, ...]] = field(default_factory=dict)
    """Conditions on the host's own notes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One search result. `score` is fused and only comparable within one search."""

    text: str
    score: float
    source: Literal["turn", "fact"]
    episode_id: str | None
    fact_id: str | None
    role: Role | None
    at: datetime
    scope: ScopeId
    turn: int | None = None
    """Position of the turn in its episode, from 0."""
    name: str | None = None
    """Who said it, where the turn was given a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The block for a prompt: fenced, cited, within its token budget."""

    text: str
    tokens: int
    cited: tuple[str, ...]
    """Fact and episode ids, in order of appearance."""
    estimated: bool = False
    """Whether tokens were estimated from the words, because the model's tokenizer is not on this machine."""
