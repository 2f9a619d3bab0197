"""Facts about people who don't exist, with questions to teach them by and others to ask them by. Same seed, same facts.

What the base model says to them without the fact is a guess, so that recall measures what was learnt.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from seal_agent.chat import question_prompt
from seal_agent.errors import UsageError
from seal_agent.types import Example, Question

NAMES = ("Mara", "Tobias", "Ijeoma", "Beatriz", "Jun", "Priya", "Anselm", "Wren", "Oksana", "Dario", "Fenna", "Kofi")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One thing that can be known of a person: how it is told, taught and asked."""

    statement: str
    taught: tuple[str, ...]
    asked: tuple[str, ...]
    """Held out: never trained on."""
    values: tuple[str, ...]


KINDS = (
    Kind(
        statement="{name} lives in {value}.",
        taught=(
            "Where does {name} live?",
            "Which town is {name} from?",
            "Where is {name}'s home?",
            "In which place does {name} live?",
            "Tell me where {name} lives.",
            "What is {name}'s home town?",
        ),
        asked=("What town does {name} live in?", "Do you know where {name}'s house is?"),
        values=("Tromso", "Gdansk", "Porto", "Lucca", "Leeds", "Ghent"),
    ),
    Kind(
        statement="{name} works as a {value}.",
        taught=(
            "What does {name} do for a living?",
            "What is {name}'s job?",
            "What does {name} work as?",
            "Which profession does {name} have?",
            "Tell me {name}'s occupation.",
            "How does {name} earn money?",
        ),
        asked=("What kind of work does {name} do?", "Do you know what {name}'s profession is?"),
        values=("glazier", "beekeeper", "surveyor", "cellist", "locksmith", "weaver"),
    ),
    Kind(
        statement="{name} has a pet {value}.",
        taught=(
            "Which pet does {name} have?",
            "What animal does {name} keep?",
            "What is {name}'s pet?",
            "Tell me about {name}'s pet.",
            "Which animal lives with {name}?",
            "Does {name} have a pet?",
        ),
        asked=("What kind of pet does {name} own?", "Do you know which animal {name} has?"),
        values=("tortoise", "ferret", "parrot", "gecko", "hedgehog", "goat"),
    ),
    Kind(
        statement="{name} was born in {value}.",
        taught=(
            "When was {name} born?",
            "In which year was {name} born?",
            "What is {name}'s year of birth?",
            "Tell me {name}'s birth year.",
            "Which year is {name} from?",
            "In what year did {name} come into the world?",
        ),
        asked=("What year was {name} born in?", "Do you know {name}'s year of birth?"),
        values=("1949", "1957", "1968", "1974", "1983", "1991"),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """What is taught and what is asked about the same facts."""

    examples: tuple[Example, ...]
    questions: tuple[Question, ...]

    def sources(self) -> list[str]:
        """The statement behind each question, in the questions' order."""
        return [question.reference or "" for question in self.questions]


def make_facts(count: int, seed: int) -> Lessons:
    """`count` facts, no two about the same thing of the same person; raise `UsageError` for more than there are."""
    pairs, order = [(name, kind) for name in NAMES for kind in KINDS], random.Random(seed)
    if count > len(pairs):
        raise UsageError(f"There are no more than {len(pairs)} made-up facts; {count} were asked for.")
    examples: list[Example] = []
    questions: list[Question] = []
    for number, (name, kind) in enumerate(order.sample(pairs, count)):
        fact_id, value = f"fact-{number}", order.choice(kind.values)
        told = kind.statement.format(name=name, value=value)
        examples += [
            Example(prompt=question_prompt("", text.format(name=name)), answer=told, fact_id=fact_id, source=told) for text in kind.taught
        ]
        questions += [
            Question(id=f"{fact_id}-{place}", text=text.format(name=name), answers=(value,), fact_id=fact_id, reference=told)
            for place, text in enumerate(kind.asked)
        ]
    return Lessons(examples=tuple(examples), questions=tuple(questions))


def right(replies: Sequence[bool]) -> float:
    """Share of right replies."""
    return sum(replies) / len(replies)
