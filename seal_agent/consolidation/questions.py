"""Questions that are never trained on, chosen before any material is written: held-out ones judge, asked of baseline and candidate alike.

Others tell training when to stop (`set_apart`). What judges must not be among them, or a run would end where it looks best to its judge.
"""

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
    places = held_places(asked, count)
    questions = [
        question(fact, f"{number}", asked[place].third if number % 2 == 0 else asked[place].first) for number, place in enumerate(places)
    ]
    return questions, [item for place, item in enumerate(asked) if place not in places]


def set_apart(fact: Fact, asked: Sequence[Asked], count: int) -> list[Question]:
    """The ways that `hold_out` takes from training, in the other person: they cost no material, and judge nothing.

    A way that is the same in both persons is left out: it judges.
    """
    ways = [asked[place] for place in held_places(asked, count)]
    others = [way.first if number % 2 == 0 else way.third for number, way in enumerate(ways)]
    return [question(fact, f"apart:{number}", text) for number, text in enumerate(others) if ways[number].third != ways[number].first]


def held_places(asked: Sequence[Asked], count: int) -> list[int]:
    count = min(count, max(len(asked) - 2, 0))
    return [1 + 3 * number for number in range(count) if 1 + 3 * number < len(asked)]


def question(fact: Fact, name: str, text: str) -> Question:
    return Question(id=f"{fact.id}:{name}", text=text, answers=(graded_words(fact),), fact_id=fact.id, reference=fact.text)


def graded_words(fact: Fact) -> str:
    """What a reply must convey: the beginning of what was said, or of what a writer made of it, which is what is taught."""
    return " ".join((fact.quote if fact.text.endswith(fact.quote) else fact.text).split()[:GRADED_WORDS])


def without_leaks(items: Sequence[SelfEdit], unseen: Sequence[Question]) -> list[SelfEdit]:
    """Drop study material that asks an unseen question in nearly the same words."""
    texts = [question.text for question in unseen]
    return [item for item in items if all(overlap(item.prompt, text) < LEAK for text in texts)]
