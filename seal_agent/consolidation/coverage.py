"""How well study material covers a fact: how often each part of its answer occurs, and how different the prompts are.

A fact is learnt from repetition in different words: each answer string should occur in four documents at least, better in eight to ten
(EntiGraph, arXiv 2409.07431; Active Reading, arXiv 2508.09494). Counting costs nothing, so it stands in for the reward that a trial
training would give; `likelihood` is the continuous one between the two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from seal_agent.chat import question_prompt
from seal_agent.consolidation.self_edit import overlap
from seal_agent.consolidation.sentences import content_spans
from seal_agent.protocols import Model
from seal_agent.types import Fact, Question, SelfEdit

LEAST = 4
"""Documents in which each answer string must occur, or more is written."""
ENOUGH = 10
"""More repetitions count for nothing."""


Reward = Callable[[Fact, Sequence[SelfEdit]], float]
"""How good a set of items of one fact is: higher is better, comparable between sets of the same fact only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The material of one fact, counted."""

    documents: int
    """Items that state it, wholly or in part."""
    rarest: int
    """Documents that hold the answer string which occurs least often."""
    diversity: float
    """1 less the mean share of words that two prompts have in common."""


def coverage(fact: Fact, items: Sequence[SelfEdit]) -> Coverage:
    spans = [span.lower() for span in dict.fromkeys(content_spans(fact.quote))] or [fact.quote.lower()]
    texts = [f"{item.prompt} {item.answer}".lower() for item in items if item.kind != "unknown"]
    pairs = list(combinations((item.prompt for item in items), 2))
    return Coverage(
        documents=sum(any(span in text for span in spans) for text in texts),
        rarest=min(sum(span in text for text in texts) for span in spans),
        diversity=1.0 - fmean(overlap(one, other) for one, other in pairs) if pairs else float(bool(items)),
    )


def is_short(fact: Fact, items: Sequence[SelfEdit]) -> bool:
    return coverage(fact, items).rarest < LEAST


def reward_by_coverage(fact: Fact, items: Sequence[SelfEdit]) -> float:
    """Between 0 and 1: repetition up to what is enough, times diversity."""
    found = coverage(fact, items)
    return min(found.rarest, ENOUGH) / ENOUGH * found.diversity


def reward_by_likelihood(
    model: Model, system_prompt: str | None, unseen: Sequence[Question]
) -> Callable[[Fact, Sequence[SelfEdit]], float]:
    """Reward a set by how probable it makes the answers to unseen questions on the fact when read as context.

    In nats per token, so it is continuous where right or wrong would mostly tie; nothing is trained for it, and the writer never sees the
    questions. 0 for a fact without any, and the worst there is for an empty set.
    """

    def reward(fact: Fact, items: Sequence[SelfEdit]) -> float:
        if not items:
            return -float("inf")
        notes = "\n".join(dict.fromkeys(f"{item.prompt} {item.answer}" for item in items if item.kind != "unknown"))
        own = [question for question in unseen if question.fact_id == fact.id]
        asked = [(question_prompt(system_prompt, question.text, notes), question.reference or question.answers[0]) for question in own]
        scores = [fmean(score) for score in model.score(asked) if score] if asked else []
        return fmean(scores) if scores else 0.0

    return reward


def best_of(sets: Sequence[list[SelfEdit]], reward: Callable[[list[SelfEdit]], float]) -> list[SelfEdit]:
    """The set with the highest reward, the first of equals."""
    return max(sets, key=reward) if len(sets) > 1 else sets[0]
