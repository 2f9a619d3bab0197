"""Whom a question speaks of, by its words alone: the user, perhaps the user, others. Deliberately compares no meanings.

English only: of a question in another language nothing is read out of words that are missing.
"""

import re
from typing import Literal

from seal_agent.types import ScopeId

Whose = Literal["user", "perhaps", "others", "unknown"]

ONESELF = frozenset({"i", "me", "my", "mine", "myself"})
SHARED = frozenset({"we", "us", "our", "ours"})
"""A couple, a firm, or everybody: "Where do we live?", "What do we know about black holes?"."""
OF_THESE_TWO = re.compile(r"\b(?:did|were|had|will|shall|are)\s+we\b", re.IGNORECASE)
"""What happened or is planned happens to somebody; what we all know, call and breathe is told in the simple present."""
QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”")
ENGLISH = frozenset({"what", "which", "who", "whose", "where", "when", "why", "how", "is", "are", "does", "do", "the", "of"})
"""By these an English question is known."""


def whose(question: str, scope: ScopeId) -> Whose:
    """Say whom a question in this scope speaks of; in a scope without a user it never speaks of others."""
    words = words_of(question)
    if words & ONESELF or OF_THESE_TWO.search(question) or (scope.user is not None and set(scope.subject.lower().split()) <= words):
        return "user"
    if words & SHARED:
        return "perhaps"
    return "others" if scope.user is not None and words & ENGLISH else "unknown"


def words_of(question: str) -> set[str]:
    """In lower case, without what is quoted, such as titles; "US" is a country."""
    return {word.lower() for word in re.findall(r"\w+", QUOTED.sub(" ", question)) if word != "US"}
