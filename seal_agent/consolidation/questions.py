"""Held-out questions: chosen before any material is written, never trained on, asked of baseline and candidate alike."""

from collections.abc import Sequence

from seal_agent.consolidation.asking import Asked
from seal_agent.consolidation.self_edit import LEAK, overlap
from seal_agent.types import Fact, Question, SelfEdit

GRADED_WORDS = 12
"""Words of a fact that a reply must convey: they tell which fact was recalled, and short replies are quick to generate."""


def hold_out(fact: Fact, asked: Sequence[Asked], count: int) -> tuple[list[Question], list[Asked]]:
    """Split the ways to ask for a fact; return (held-out questions, what is left for training).

    Every third way is held out, up to `count`, in alternating persons; at least two stay for training, or nothing is held out.
    """
    count = min(count, max(len(asked) - 2, 0))
    places = [1 + 3 * number for number in range(count) if 1 + 3 * number < len(asked)]
    questions = [
        Question(
            id=f"{fact.id}:{number}",
            text=asked[place].third if number % 2 == 0 else asked[place].first,
            answers=(graded_words(fact),),
            fact_id=fact.id,
            reference=fact.text,
        )
        for number, place in enumerate(places)
    ]
    return questions, [item for place, item in enumerate(asked) if place not in places]


def graded_words(fact: Fact) -> str:
    """What a reply must convey: the beginning of what was said, or of what a writer made of it, which is what is taught."""
    return " ".join((fact.quote if fact.text.endswith(fact.quote) else fact.text).split()[:GRADED_WORDS])


def without_leaks(items: Sequence[SelfEdit], held_out: Sequence[Question]) -> list[SelfEdit]:
    """Drop study material that asks a held-out question in nearly the same words."""
    texts = [question.text for question in held_out]
    return [item for item in items if all(overlap(item.prompt, text) < LEAK for text in texts)]
