"""What a task is: its name and its demonstrations, checked; texts and grids alike, a grid being a text of one line per row.

Deliberately knows nothing of training, and of what a task means.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from seal_agent.errors import InvalidTaskError

Grid = tuple[tuple[int, ...], ...]
Value = str | Sequence[Sequence[int]]
"""What goes into a task and comes out of it."""
Given = Mapping[str, Value] | tuple[Value, Value]
"""One demonstration as a caller writes it: (input, output), or {"input": ..., "output": ...}."""
Kind = Literal["text", "grid"]

FEWEST = 3
"""Demonstrations: with one held out, two are left to learn from."""
MAX_CHARACTERS = 20_000
MAX_NAME = 64
NAME = re.compile(r"[\w][\w .-]*")
COLOURS = 10
MAX_SIDE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """One worked case, spelt as texts."""

    input: str
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A name and at least three demonstrations of one kind, no two of which contradict each other."""

    name: str
    kind: Kind
    demonstrations: tuple[Demonstration, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Every different output, in order of appearance."""
        return tuple(dict.fromkeys(one.output for one in self.demonstrations))


def to_task(name: str, given: Sequence[Given]) -> Task:
    """Check what a caller wrote; raise `InvalidTaskError` naming the demonstration, from 1. The same one twice counts once."""
    check_name(name)
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise InvalidTaskError(f"Task {name!r} takes a list of (input, output) pairs, not {type(given).__name__}.")
    pairs = [to_pair(place, one) for place, one in enumerate(given, start=1)]
    kinds = {kind_of(value) for pair in pairs for value in pair}
    if len(kinds) > 1:
        raise InvalidTaskError(f"Task {name!r} mixes texts and grids; make a task of each.")
    kept: dict[str, str] = {}
    for place, (asked, answer) in enumerate(pairs, start=1):
        before = kept.setdefault(asked_as(asked, place), answered_as(answer, place))
        if before != answered_as(answer, place):
            raise InvalidTaskError(
                f"Demonstration {place} of {name!r} answers {short(spell(asked))!r} with {short(spell(answer))!r}, an earlier one with"
                f" {short(before)!r}; keep the one that is right."
            )
    if len(kept) < FEWEST:
        raise InvalidTaskError(f"Task {name!r} has {len(kept)} different demonstrations; at least {FEWEST} are needed, ten teach more.")
    demonstrations = tuple(Demonstration(input=asked, output=answer) for asked, answer in kept.items())
    return Task(name=name, kind=kinds.pop(), demonstrations=demonstrations)


def check_name(name: str) -> str:
    """Return the name; raise `InvalidTaskError` for one that could not be told apart from another, or typed."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or len(name) > MAX_NAME or unicodedata.normalize("NFKC", name) != name:
        raise InvalidTaskError(
            f"{name!r} can't name a task: give 1 to {MAX_NAME} letters, digits, spaces and . _ -, beginning with a letter or digit."
        )
    return name


def to_pair(place: int, one: Given) -> tuple[Value, Value]:
    if isinstance(one, Mapping):
        if set(one) != {"input", "output"}:
            raise InvalidTaskError(f'Demonstration {place} has the keys {sorted(one)}; it takes exactly "input" and "output".')
        return one["input"], one["output"]
    if isinstance(one, str) or not isinstance(one, Sequence) or len(one) != 2:
        raise InvalidTaskError(f"Demonstration {place} is no (input, output) pair.")
    return one[0], one[1]


def kind_of(value: Value) -> Kind:
    return "text" if isinstance(value, str) else "grid"


def asked_as(value: Value, place: int) -> str:
    return checked(value, f"The input of demonstration {place}")


def answered_as(value: Value, place: int) -> str:
    return checked(value, f"The output of demonstration {place}")


def checked(value: Value, label: str) -> str:
    """Return the value's text, without surrounding white space; raise `InvalidTaskError` for nothing, too much, or what is no grid."""
    if not isinstance(value, str):
        check_grid(value, label)
    text = spell(value).strip()
    if not text:
        raise InvalidTaskError(f"{label} is empty; there is nothing to learn from it.")
    if len(text) > MAX_CHARACTERS:
        raise InvalidTaskError(f"{label} has {len(text):,} characters; at most {MAX_CHARACTERS:,} are taken.")
    if "\x00" in text or any(unicodedata.category(character) == "Cs" for character in text):
        raise InvalidTaskError(f"{label} holds a NUL or a lone surrogate; decode the text properly first.")
    return text


def check_grid(value: Sequence[Sequence[int]], label: str) -> None:
    whole = isinstance(value, Sequence) and len(value) > 0 and all(isinstance(row, Sequence) and not isinstance(row, str) for row in value)
    if not whole or len({len(row) for row in value}) != 1 or not 0 < len(value[0]) <= MAX_SIDE or len(value) > MAX_SIDE:
        raise InvalidTaskError(f"{label} is neither a text nor a grid: rows of equal length, 1 to {MAX_SIDE} of each.")
    if not all(type(cell) is int and 0 <= cell < COLOURS for row in value for cell in row):
        raise InvalidTaskError(f"{label} is a grid whose cells are not all whole numbers from 0 to {COLOURS - 1}.")


def spell(value: Value) -> str:
    """A text as it is; a grid as its rows of digits, one per line."""
    return value if isinstance(value, str) else "\n".join("".join(str(cell) for cell in row) for row in value)


def read_grid(text: str) -> Grid | None:
    """The grid that a text spells; None for what is none."""
    rows = text.strip().split("\n")
    if not all(re.fullmatch(r"[0-9]+", row) for row in rows) or len({len(row) for row in rows}) != 1:
        return None
    return tuple(tuple(int(cell) for cell in row) for row in rows)


def same(one: str, other: str) -> bool:
    """Whether two outputs are the same but for case, white space and a full stop at the end."""
    return normal(one) == normal(other)


def normal(text: str) -> str:
    return " ".join(text.lower().split()).removesuffix(".")


def short(text: str, most: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}…"
