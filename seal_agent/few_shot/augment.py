"""Training examples of a task's demonstrations, as a recipe says. A task that is turned stays a task: all of it is turned alike.

Grid augmentations after SEAL's few-shot tools and test-time training for ARC (arXiv 2411.07279). Pure functions of (task, recipe, seed).
"""

import random
from collections.abc import Callable, Sequence

from seal_agent.chat import chat_prompt
from seal_agent.few_shot.recipe import Recipe
from seal_agent.few_shot.task import COLOURS, Demonstration, Grid, Task, read_grid, spell
from seal_agent.types import Example, Turn

Cases = tuple[Demonstration, ...]
Turned = Callable[[Grid], Grid]

ORDERS = 2
"""Orders of the shown demonstrations that `permutation` adds."""
REDRAWN = 2
"""Permutations of the colours that `colours` adds."""
LONG_WORD = 3
"""Letters above which `word_dropout` may leave a word out."""


def prompt_for(system_prompt: str | None, asked: str, shown: Sequence[Demonstration]) -> tuple[Turn, ...]:
    """The chat that a task is asked in: the demonstrations shown as earlier turns, then the input."""
    turns: list[Turn] = []
    for one in shown:
        turns += [Turn(role="user", content=one.input), Turn(role="assistant", content=one.output)]
    return chat_prompt(system_prompt, (*turns, Turn(role="user", content=asked)))


def to_show(cases: Sequence[Demonstration], kind: str, most: int) -> list[Demonstration]:
    """Which of the demonstrations stand in a prompt: all of a grid task's; of a text task at most `most`, one of each output first."""
    if kind == "grid" or len(cases) <= most:
        return list(cases)
    first = list({one.output: one for one in reversed(cases)}.values())[::-1]
    rest = [one for one in cases if one not in first]
    return [*first, *rest][:most]


def examples_for(task: Task, how: Recipe, *, system_prompt: str | None, shown: int, most: int, seed: int) -> list[Example]:
    """Every example that the recipe makes, at most `most`: the demonstrations as they are first, the others drawn with the seed."""
    order = random.Random(seed)
    made: list[Example] = []
    for cases in variants(task, how, order):
        for place, case in enumerate(cases):
            others = [*cases[:place], *cases[place + 1 :]]
            for view in views(others, task.kind, how, shown, order):
                made.append(
                    Example(
                        prompt=prompt_for(system_prompt, case.input, view),
                        answer=case.output,
                        fact_id=f"demonstration-{place}",
                        loss_on=how.loss_on,
                    )
                )
    made = list(dict.fromkeys(made))
    kept, more = made[: len(task.demonstrations)], made[len(task.demonstrations) :]
    room = max(most - len(kept), 0)
    return [*kept[:most], *(more if len(more) <= room else order.sample(more, room))]


def views(others: Sequence[Demonstration], kind: str, how: Recipe, shown: int, order: random.Random) -> list[list[Demonstration]]:
    """What stands in the prompt, once per example to be made."""
    if not how.shows:
        return [[]]
    found = [to_show(others, kind, shown)]
    if "permutation" in how.augmentations:
        found += [to_show(order.sample(list(others), len(others)), kind, shown) for _ in range(ORDERS)]
    return found


def variants(task: Task, how: Recipe, order: random.Random) -> list[Cases]:
    """The task as it is, and turned in each way that the recipe asks for."""
    cases = task.demonstrations
    if task.kind == "text":
        return [cases, *text_variants(cases, how, order)]
    grids = [turned(cases, way) for way in ways(how, order)]
    return [cases, *(found for found in grids if found is not None)]


def text_variants(cases: Cases, how: Recipe, order: random.Random) -> list[Cases]:
    found: list[Cases] = []
    if "lower_case" in how.augmentations:
        found.append(tuple(Demonstration(input=plain(one.input), output=one.output) for one in cases))
    if "word_dropout" in how.augmentations:
        found.append(tuple(Demonstration(input=without_a_word(one.input, order), output=one.output) for one in cases))
    return found


def plain(text: str) -> str:
    """As people type in a hurry: lower case, no full stops or commas."""
    return text.lower().translate(str.maketrans("", "", ".,!?;:'\""))


def without_a_word(text: str, order: random.Random) -> str:
    words = text.split()
    able = [place for place, word in enumerate(words) if len(word) > LONG_WORD]
    if len(words) <= LONG_WORD or not able:
        return text
    gone = order.choice(able)
    return " ".join(word for place, word in enumerate(words) if place != gone)


def ways(how: Recipe, order: random.Random) -> list[tuple[Turned, Turned]]:
    """How inputs and outputs are turned, one pair per way."""
    alike: list[Turned] = []
    wanted = set(how.augmentations)
    if "rotations" in wanted:
        alike += [rotated, lambda grid: rotated(rotated(grid)), lambda grid: rotated(rotated(rotated(grid)))]
    if "flips" in wanted:
        alike += [flipped, lambda grid: grid[::-1]]
    if "transposes" in wanted:
        alike += [transposed, lambda grid: rotated(rotated(transposed(grid)))]
    if "colours" in wanted:
        alike += [recoloured(order) for _ in range(REDRAWN)]
    if "sizes" in wanted:
        alike += [enlarged]
    if "chains" in wanted:
        colour = recoloured(order)
        alike += [lambda grid: colour(rotated(grid)), lambda grid: transposed(flipped(grid))]
    found = [(way, way) for way in alike]
    if "repeats" in wanted:  # of the output alone: what comes out is told twice, side by side
        found.append((lambda grid: grid, lambda grid: tuple(row + row for row in grid)))
    return found


def turned(cases: Cases, way: tuple[Turned, Turned]) -> Cases | None:
    """None where a demonstration is no grid, which an output of ours never is."""
    made = []
    for one in cases:
        before, after = read_grid(one.input), read_grid(one.output)
        if before is None or after is None:
            return None
        made.append(Demonstration(input=spell(way[0](before)), output=spell(way[1](after))))
    return tuple(made)


def rotated(grid: Grid) -> Grid:
    """A quarter turn clockwise."""
    return tuple(zip(*grid[::-1], strict=True))


def flipped(grid: Grid) -> Grid:
    return tuple(row[::-1] for row in grid)


def transposed(grid: Grid) -> Grid:
    return tuple(zip(*grid, strict=True))


def enlarged(grid: Grid) -> Grid:
    """Each cell as two by two."""
    return tuple(wide for row in grid for wide in [tuple(cell for cell in row for _ in range(2))] * 2)


def recoloured(order: random.Random) -> Turned:
    """Other colours for all but 0, which is the background."""
    changed = (0, *order.sample(range(1, COLOURS), COLOURS - 1))
    return lambda grid: tuple(tuple(changed[cell] for cell in row) for row in grid)
