"""Seven nights of made-up facts, some of which replace what an earlier night told. Same seed, same nights; nothing is trained here."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.made_up_facts import KINDS, NAMES, Kind
from seal_agent.chat import question_prompt
from seal_agent.types import Example, Question

PEOPLE = (*NAMES, "Ludmila", "Ravi")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One fact as one night tells it."""

    name: str
    kind: Kind
    value: str
    former: tuple[str, ...] = ()
    """Values that held before."""

    @property
    def id(self) -> str:
        return f"{self.name}-{KINDS.index(self.kind)}"

    @property
    def statement(self) -> str:
        return self.kind.statement.format(name=self.name, value=self.value)

    def examples(self) -> list[Example]:
        return [
            Example(prompt=question_prompt("", text.format(name=self.name)), answer=self.statement, fact_id=self.id, source=self.statement)
            for text in self.kind.taught
        ]

    def questions(self) -> list[Question]:
        """Held out; a former value in the reply is told as stale."""
        return [
            Question(
                id=f"{self.id}-{place}",
                text=text.format(name=self.name),
                answers=(self.value,),
                stale=self.former,
                fact_id=self.id,
                reference=self.statement,
            )
            for place, text in enumerate(self.kind.asked)
        ]


def make_nights(nights: int, per_night: int, seed: int) -> list[list[Told]]:
    """What each night tells: `per_night` new facts, and from the second night on a new value for one of an earlier night."""
    order = random.Random(seed)
    pairs = order.sample([(name, kind) for name in PEOPLE for kind in KINDS], nights * per_night)
    told: list[list[Told]] = []
    live: dict[str, Told] = {}
    for night in range(nights):
        new = [Told(name=n, kind=k, value=order.choice(k.values)) for n, k in pairs[night * per_night : (night + 1) * per_night]]
        if live:
            old = live[order.choice(sorted(fact for fact in live if not live[fact].former))]
            value = order.choice([value for value in old.kind.values if value != old.value])
            new.append(Told(name=old.name, kind=old.kind, value=value, former=(*old.former, old.value)))
        live |= {fact.id: fact for fact in new}
        told.append(new)
    return told


def live_after(told: Sequence[Sequence[Told]], night: int) -> list[Told]:
    """Every fact that holds after a night, counted from 0, with its value then."""
    live = {fact.id: fact for facts in told[: night + 1] for fact in facts}
    return list(live.values())
