"""Examples are the demonstrations, multiplied as the recipe says and never beyond what it says."""

import random

import pytest

from seal_agent.few_shot.augment import enlarged, examples_for, flipped, recoloured, rotated, transposed
from seal_agent.few_shot.recipe import FOR_GRIDS, FOR_TEXT, Augmentation, recipe
from seal_agent.few_shot.task import read_grid, to_task
from seal_agent.types import Example

TEXTS = to_task("intent", [(f"Where is parcel number {n}?", "delivery" if n % 2 else "refund") for n in range(6)])
GRIDS = to_task("mirror", [([[0, n], [n, 0]], [[n, 0], [0, n]]) for n in (1, 2, 3)])
UNEVEN = to_task("uneven", [([[0, n, 0], [n, 0, 9]], [[n, 0, 0], [0, 9, n]]) for n in (1, 2, 3)])
GRID = ((0, 1, 2), (3, 4, 5))


def made(*augmentations: Augmentation, task: object = TEXTS, most: int = 999, seed: int = 0) -> list[Example]:
    how = recipe(*augmentations, rate=1e-3, epochs=1)
    return examples_for(task, how, system_prompt=None, shown=2, most=most, seed=seed)  # type: ignore[arg-type]  # one of the two tasks


def test_without_augmentations_each_demonstration_is_one_example() -> None:
    assert [(one.prompt[-1].content, one.answer, len(one.prompt)) for one in made()] == [
        (one.input, one.output, 1) for one in TEXTS.demonstrations
    ]


def test_leave_one_out_shows_others_and_never_the_one_that_is_asked() -> None:
    for example in made("leave_one_out", "permutation"):
        shown, asked = [turn.content for turn in example.prompt[:-1]], example.prompt[-1].content
        assert len(shown) == 4
        assert asked not in shown


def test_texts_are_typed_in_a_hurry_and_lose_a_word() -> None:
    prompts = [example.prompt[-1].content for example in made("lower_case", "word_dropout")]
    assert "where is parcel number 0" in prompts
    assert len(prompts) == 18
    assert min(len(prompt.split()) for prompt in prompts) == 4


def test_a_turned_task_is_turned_as_a_whole() -> None:
    for example in made("rotations", "flips", "transposes", "colours", "sizes", "chains", task=GRIDS):
        before, after = read_grid(example.prompt[-1].content), read_grid(example.answer)
        assert before is not None
        assert after == flipped(before)


def test_the_loss_is_where_the_recipe_wants_it() -> None:
    how = recipe(rate=1e-3, epochs=1, loss_on="all")
    assert {one.loss_on for one in examples_for(TEXTS, how, system_prompt=None, shown=2, most=9, seed=0)} == {"all"}


def test_there_are_never_more_than_allowed_and_the_plain_ones_come_first() -> None:
    few = made("lower_case", "word_dropout", most=8)
    assert len(few) == 8
    assert few[:6] == made()
    assert made("word_dropout", seed=1) == made("word_dropout", seed=1)


@pytest.mark.parametrize("name", sorted(FOR_TEXT | FOR_GRIDS))
def test_every_augmentation_makes_examples_that_the_demonstrations_are_not(name: Augmentation) -> None:
    task = TEXTS if name in FOR_TEXT else UNEVEN
    more: tuple[Augmentation, ...] = ("leave_one_out", "permutation") if name == "permutation" else (name,)
    before = made(*more[:-1], task=task)
    assert len(set(made(*more, task=task)) - set(before)) >= 3


def test_repeats_tell_the_output_twice_and_leave_the_input() -> None:
    plain, told_twice = made(task=GRIDS), made("repeats", task=GRIDS)[len(GRIDS.demonstrations) :]
    assert [one.prompt for one in told_twice] == [one.prompt for one in plain]
    for once, twice in zip(plain, told_twice, strict=True):
        assert read_grid(twice.answer) == tuple(row + row for row in read_grid(once.answer) or ())


@pytest.mark.parametrize("way", [flipped, lambda g: rotated(rotated(g)), transposed])
def test_turning_twice_is_turning_back(way: object) -> None:
    assert way(way(GRID)) == GRID  # type: ignore[operator]  # each is a function


def test_enlarging_and_recolouring_keep_the_shape_of_things() -> None:
    assert enlarged(GRID)[:2] == ((0, 0, 1, 1, 2, 2), (0, 0, 1, 1, 2, 2))
    changed = recoloured(random.Random(0))(GRID)
    assert changed[0][0] == 0
    assert len({cell for row in changed for cell in row}) == 6
