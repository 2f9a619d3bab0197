"""What is practised on: the facts of a scope in small groups, each with questions held out, some groups kept apart to judge the editor.

The same facts and seed give the same groups. Changes nothing, trains nothing.
"""

import hashlib
import random
from dataclasses import dataclass

from seal_agent.config import PracticeSettings
from seal_agent.consolidation.asking import ASKED_PER_FACT, Asked, Topics
from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.questions import hold_out
from seal_agent.consolidation.selection import select
from seal_agent.errors import UsageError
from seal_agent.protocols import Vectors
from seal_agent.types import Fact, Question, ScopeId

FEWEST = 3
"""Contexts: two to choose on and one to judge on."""
JUDGED_SHARE = 3
"""At most one context in so many is kept apart."""


@dataclass(frozen=True, slots=True)
class Context:
    """A few facts, their vectors, how each may be asked for in training, and the questions held out."""

    facts: tuple[Fact, ...]
    vectors: tuple[Vectors, ...]
    asked: tuple[tuple[Asked, ...], ...]
    questions: tuple[Question, ...]

    @property
    def id(self) -> str:
        """The same for the same facts."""
        return hashlib.sha256("\n".join(f"{fact.id} {fact.text}" for fact in self.facts).encode()).hexdigest()[:16]


def contexts_of(backends: Backends, scope: ScopeId, settings: PracticeSettings, seed: int) -> tuple[list[Context], list[Context]]:
    """Return (to practise on, to judge on); raise `UsageError` where there are too few facts."""
    told = list(select(backends, scope).told)
    needed = FEWEST * settings.facts_per_context
    if len(told) < needed:
        raise UsageError(
            f"{scope.key!r} holds {len(told)} facts that may be learnt, practice needs {needed}: add more, or lower"
            f" practice.facts_per_context={settings.facts_per_context}."
        )
    random.Random(seed).shuffle(told)
    size = settings.facts_per_context
    groups = [told[first : first + size] for first in range(0, len(told) - size + 1, size)]
    topics = Topics(backends.embedder, backends.folder / "cache")
    found = [one for group in groups if (one := context_of(backends, topics, group)).questions]
    if len(found) < FEWEST:
        raise UsageError(f"Only {len(found)} groups of facts of {scope.key!r} can be asked for, practice needs {FEWEST}; add more facts.")
    apart = min(settings.unseen, max(1, len(found) // JUDGED_SHARE))
    return found[apart : apart + settings.contexts], found[:apart]


def context_of(backends: Backends, topics: Topics, group: list[tuple[Fact, Vectors]]) -> Context:
    facts = [fact for fact, _ in group]
    ways = topics.questions(facts, ASKED_PER_FACT)
    questions: list[Question] = []
    left: list[tuple[Asked, ...]] = []
    for fact, asked in zip(facts, ways, strict=True):
        held_out, rest = hold_out(fact, asked, backends.settings.self_edit.held_out_per_fact)
        questions += held_out
        left.append(tuple(rest))
    return Context(tuple(facts), tuple(vector for _, vector in group), tuple(left), tuple(questions))
