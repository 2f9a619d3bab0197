"""Who said it and when, in words: part of what a turn is found by.

A vector made of "[8 May 2023] Caroline: I went to the group" instead of the bare sentence raises recall@10 of the vectors alone from 31 to
45 % on LoCoMo. Only what is embedded carries the label; what is stored stays verbatim.
"""

from datetime import date, datetime
from functools import lru_cache

from seal_agent.types import Role, ScopeId

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
"""Written out here, because strftime's depend on the machine's language."""


def embedded_text(text: str, scope: ScopeId, role: Role | None, name: str | None, at: datetime) -> str:
    """Return what the embedder is given for a turn; a fact, which has no role, names its subject and is given as it is."""
    if role is None:
        return text
    return f"[{at.day} {MONTHS[at.month - 1]} {at.year}] {author(scope, role, name) or role}: {text}"


def author(scope: ScopeId, role: Role | None, name: str | None) -> str:
    """Who said it, in words that a question may name; empty for an unnamed part of speech such as "assistant"."""
    if name is not None:
        return name
    return scope.subject if role == "user" and scope.user is not None else ""


@lru_cache(maxsize=4096)
def day_words(day: str) -> tuple[str, ...]:
    """Return the words for an ISO date: "2023-05-08" is 8, may, 2023."""
    at = date.fromisoformat(day)
    return str(at.day), MONTHS[at.month - 1].lower(), str(at.year)
