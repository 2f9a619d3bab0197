"""What can be a task, and what is refused with the place named."""

from typing import Any

import pytest

from seal_agent.errors import InvalidTaskError
from seal_agent.few_shot.task import read_grid, same, spell, to_task

GOOD = [("I want my money", "refund"), ("where is it", "delivery"), ("broken", "repair")]
GRIDS = [([[0, n]], [[n, 0]]) for n in (1, 2, 3)]


def test_texts_and_grids_are_spelt_alike() -> None:
    assert to_task("mirror", GRIDS).kind == "grid"
    assert to_task("mirror", GRIDS).demonstrations[0].input == "01"
    assert to_task("intent", [{"input": a, "output": b} for a, b in GOOD]).outputs == ("refund", "delivery", "repair")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (GOOD[:2], "2 different demonstrations; at least 3"),
        ([*GOOD[:2], GOOD[0], GOOD[0]], "2 different demonstrations"),
        ([*GOOD, ("broken", "refund")], "Demonstration 4 .* an earlier one with 'repair'"),
        ([*GOOD, ("hello", "  ")], "The output of demonstration 4 is empty"),
        ([*GOOD, ("", "refund")], "The input of demonstration 4 is empty"),
        ([*GOOD, ("hello", [[1]])], "mixes texts and grids"),
        ([*GRIDS, ([[1, 2], [3]], [[1]])], "neither a text nor a grid"),
        ([*GRIDS, ([[1, 10]], [[1]])], "whole numbers from 0 to 9"),
        ([*GRIDS, ([[True]], [[1]])], "whole numbers from 0 to 9"),
        ([*GRIDS, (5, [[1]])], "neither a text nor a grid"),
        ([*GOOD, "hello"], "Demonstration 4 is no"),
        ([*GOOD, {"input": "x"}], "it takes exactly"),
        ([*GOOD, ("a\x00b", "refund")], "NUL"),
        ("text", "takes a list"),
    ],
)
def test_what_can_not_be_learnt_from_is_named(given: Any, said: str) -> None:
    with pytest.raises(InvalidTaskError, match=said):
        to_task("intent", given)


@pytest.mark.parametrize("name", ["", " x", "a/b", "x" * 65, "ﬁ", "a\nb"])
def test_a_name_that_could_be_confused_is_refused(name: str) -> None:
    with pytest.raises(InvalidTaskError, match="can't name a task"):
        to_task(name, GOOD)


def test_outputs_are_the_same_but_for_case_and_white_space() -> None:
    assert same(" Refund.", "refund")
    assert not same("refunds", "refund")


def test_a_grid_is_read_back_and_what_is_none_is_not() -> None:
    assert read_grid(spell(((1, 2), (3, 4)))) == ((1, 2), (3, 4))
    assert [read_grid(text) for text in ("12\n3", "a", "")] == [None, None, None]
