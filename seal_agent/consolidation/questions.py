"""Questions that are never trained on, chosen before any material is written: held-out ones judge, asked of baseline and candidate alike.

Others tell training when to stop (`set_apart`). What judges must not be among them, or a run would end where it looks best to its judge.
"""

from collections.abc import Sequence

from seal_agent.consolidation.asking import Asked
from seal_agent.consolidation.self_edit import LEAK, overlap
from seal_agent.types import Fact, Question, SelfEdit

GRADED_WORDS = 12
"""Words of a fact that a reply must convey: they tell which fact was recalled, and short replies are quick to generate."""
APART = 1
"""Place of the way to ask that training stops by: not the best one, which teaches most."""


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


def set_apart(fact: Fact, asked: Sequence[Asked]) -> tuple[list[Question], list[Asked]]:
    """Split off one way to ask, in both persons, that training stops by; with fewer than three, none."""
    if len(asked) < 3:
        return [], list(asked)
    way = asked[APART]
    texts = dict.fromkeys((way.third, way.first))
    questions = [
        Question(id=f"{fact.id}:apart:{number}", text=text, answers=(graded_words(fact),), fact_id=fact.id, reference=fact.text)
        for number, text in enumerate(texts)
    ]
    return questions, [item for item in asked if item is not way]


def without_leaks(items: Sequence[SelfEdit], unseen: Sequence[Question]) -> list[SelfEdit]:
    """Drop study material that asks an unseen question in nearly the same words."""
    texts = [question.text for question in unseen]
    return [item for item in items if all(overlap(item.prompt, text) < LEAK for text in texts)]
