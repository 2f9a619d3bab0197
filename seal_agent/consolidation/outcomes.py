"""Per fact: how much material it had, how often its held-out questions were answered right, and so whether the weights know it."""

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import mean

from seal_agent.consolidation.coverage import coverage
from seal_agent.consolidation.preparing import Lesson
from seal_agent.types import Evaluation, Fact, FactOutcome, FactState, Graded, SelfEdit


def outcomes_of(lesson: Lesson, evaluation: Evaluation, *, promoted: bool) -> tuple[FactOutcome, ...]:
    """One outcome per fact that holds; nothing is learned from a candidate that was not promoted."""
    graded: dict[str, list[Graded]] = defaultdict(list)
    for result in evaluation.candidate.held_out:
        if result.question.fact_id is not None:
            graded[result.question.fact_id].append(result)
    return tuple(outcome(fact, lesson.material.of(fact.id), graded[fact.id], promoted) for fact in lesson.facts)


def outcome(fact: Fact, items: Sequence[SelfEdit], graded: list[Graded], promoted: bool) -> FactOutcome:
    """Learned means: at least half of its held-out questions are answered right, closed book."""
    recalled = sum(result.correct for result in graded)
    known = bool(graded) and recalled * 2 >= len(graded)
    state: FactState = "learned" if promoted and known else "not_learned"
    covered = coverage(fact, items)
    logprobs = [result.logprob for result in graded if result.logprob is not None]
    return FactOutcome(
        fact_id=fact.id,
        text=fact.text,
        state=state,
        documents=len(items),
        rarest=covered.rarest,
        diversity=covered.diversity,
        probability=math.exp(mean(logprobs)) if logprobs else None,
        recalled=recalled,
        asked=len(graded),
        regressed=fact.state == "learned" and not known,
    )
