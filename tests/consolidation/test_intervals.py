"""Intervals of a change: they hold the truth about as often as they say, and narrow with the number of questions."""

import random

import pytest

from seal_agent.consolidation.intervals import change_interval
from seal_agent.types import Graded, Question


def graded(right: list[bool]) -> list[Graded]:
    return [Graded(question=Question(id=str(n), text="?", answers=("x",)), reply="", correct=one) for n, one in enumerate(right)]


def test_the_interval_holds_the_true_change_in_about_95_of_100_draws() -> None:
    order, held = random.Random(0), 0
    for _ in range(1000):
        before = [order.random() < 0.3 for _ in range(24)]
        after = [old or order.random() < 0.5 for old in before]
        low, high = change_interval(graded(before), graded(after)) or (2.0, 2.0)
        held += low <= 0.7 * 0.5 <= high
    assert 920 <= held <= 990


@pytest.mark.parametrize("count", [1, 8, 60])
def test_nothing_changed_is_an_interval_around_nothing(count: int) -> None:
    low, high = change_interval(graded([True] * count), graded([True] * count)) or (2.0, 2.0)
    assert low == pytest.approx(-high)
    assert 0 < high < 2 / count


def test_other_questions_have_no_interval() -> None:
    assert change_interval(graded([True]), graded([True, False])) is None
    assert change_interval([], []) is None
