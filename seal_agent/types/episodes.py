"""What was said: turns, and the interactions that they make up."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from seal_agent.types.scopes import ScopeId

Role = Literal["system", "user", "assistant", "tool"]
MetadataValue = str | int | float | bool
"""What a host may note beside an episode, under a key of its own."""
REDACTED = re.compile(r"\[redacted: (\w+)\]")


def redaction_mark(kind: str) -> str:
    """What stands in a recorded text where a secret or personal data stood."""
    return f"[redacted: {kind}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message of an interaction, and one message of a prompt."""

    role: Role
    content: str
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One recorded interaction. Append-only; `id` is its scope's own, and the caller's where one was given."""

    id: str
    scope: ScopeId
    session: str | None
    at: datetime
    turns: tuple[Turn, ...]
    source: str = "agent"
    outcome: str | None = None
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    """The host's own notes, to filter a search by."""
    redacted: tuple[str, ...] = field(init=False, default=())
    """Kinds of what was taken out of the turns before they were recorded, in order; a mark stands in each place."""

    def __post_init__(self) -> None:
        kinds = tuple(kind for turn in self.turns if "[redacted: " in turn.content for kind in REDACTED.findall(turn.content))
        object.__setattr__(self, "redacted", kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """One interaction to be recorded, for `Scope.add_many`; the fields are the arguments of `Scope.add`."""

    messages: str | Turn | Sequence[Turn | Mapping[str, str]]
    session: str | None = None
    at: datetime | None = None
    source: str = "agent"
    outcome: str | None = None
    id: str | None = None
    metadata: Mapping[str, MetadataValue] | None = None
