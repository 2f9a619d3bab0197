"""Tokens in shared beginnings are counted once for each row that could do without them, and answers never."""

from collections.abc import Sequence

import pytest

from benchmarks.prefixes import header, one_pass, repeated, shared
from seal_agent.models.local import LocalModel
from seal_agent.trainers import frozen, layout
from seal_agent.trainers.frozen import Item
from tests.chat_models import FACTS


def row(prompt: list[int], answer: list[int]) -> Item:
    return Item(ids=prompt + answer, start=len(prompt), weight=1.0, fact="f")


def test_a_beginning_that_an_earlier_row_has_counts_for_every_later_row() -> None:
    assert shared([row([1, 2, 3], [9]), row([1, 2, 4], [9]), row([1, 5], [9])]) == 2 + 1


def test_what_follows_a_difference_and_answers_are_not_shared() -> None:
    assert shared([row([1, 2, 3], [9, 9]), row([7, 2, 3], [9, 9])]) == 0
    assert shared([row([1], [2, 3]), row([1, 2], [3])]) == 1


def test_a_prompt_is_repeated_where_a_whole_one_was_there_before() -> None:
    assert repeated([row([1, 2], [3]), row([1, 2], [4]), row([1], [2])]) == 1


def test_the_header_is_what_all_prompts_begin_with() -> None:
    assert header([row([1, 2, 3], [9]), row([1, 2], [3]), row([1, 2, 4], [9])]) == 2
    assert header([row([1], [9]), row([2], [9])]) == 0


@pytest.mark.parametrize("name", ["packed", "padded"])
def test_a_pass_is_timed_as_it_says(name: str, chat_model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    other = "padded" if name == "packed" else "packed"

    def not_this_one(batch: Sequence[Item]) -> layout.Layout:
        pytest.fail(f"{other} while {name} was to be timed")

    monkeypatch.setattr(frozen, other, not_this_one)
    assert one_pass(chat_model, FACTS, padded=name == "padded") > 0
