"""What is no interaction is refused before anything is written, and says why."""

from datetime import datetime
from typing import Any

import pytest

from seal_agent.errors import InvalidTurnError
from seal_agent.turns import MAX_CHARACTERS, MAX_TURNS, check_label, check_time, to_turns
from seal_agent.types import Turn

USER = {"role": "user", "content": "Hello"}

MALFORMED: dict[str, tuple[Any, str]] = {
    "an empty string": ("", "empty"),
    "nothing": (None, "NoneType is no interaction"),
    "bytes": (b"Hello", "bytes is no interaction"),
    "a number": (3, "int is no interaction"),
    "a bare dictionary": (USER, "dict is no interaction"),
    "an empty list": ([], "empty"),
    "a list of strings": (["Hello"], "Turn 0 is of type str"),
    "no role": ([{"content": "Hello"}], "Turn 0 has no role"),
    "no content": ([USER, {"role": "user"}], "Turn 1 has no content"),
    "an unknown role": ([{"role": "admin", "content": "Hello"}], "role='admin'"),
    "a role that is a list": ([{"role": ["user"], "content": "Hello"}], "role="),
    "an unknown key": ([USER | {"tenant": "other"}], "'tenant'"),
    "content None": ([{"role": "user", "content": None}], "NoneType"),
    "content in parts": ([{"role": "user", "content": [{"type": "text"}]}], "list"),
    "bytes content": ([{"role": "user", "content": b"Hello"}], "bytes"),
    "white space": (" \n\t", "white space"),
    "zero width": ("\u200b\u200d\ufeff\u2060", "invisible"),
    "right-to-left marks": ("\u200f\u202e", "invisible"),
    "NUL": ("a\0b", "NUL"),
    "many NULs": ("\0" * 10_291, "NUL"),
    "a lone surrogate": ("smile \ud83d", "surrogate"),
    "too long": ("x" * (MAX_CHARACTERS + 1), "200,001 characters"),
    "20 MB": ("x" * 20_000_000, "20,000,000 characters"),
    "too many": ([USER] * (MAX_TURNS + 1), "1,001 turns"),
    "a name that is a number": ([USER | {"name": 7}], "name"),
    "an empty name": ([USER | {"name": " "}], "name"),
    "a turn with bad content": (Turn(role="user", content=" "), "Turn 0"),
    "a turn with a bad role": ([Turn(role="root", content="Hello")], "role='root'"),  # type: ignore[arg-type]  # the point
}


@pytest.mark.parametrize(("messages", "why"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_interaction_is_refused_with_its_reason(messages: Any, why: str) -> None:
    with pytest.raises(InvalidTurnError, match=why):
        to_turns(messages)


def test_a_string_is_one_turn_of_the_user() -> None:
    assert to_turns("Hello") == (Turn(role="user", content="Hello"),)


def test_dictionaries_and_turns_mix_and_keep_their_order() -> None:
    turns = to_turns([USER, Turn(role="assistant", content="Hi"), {"role": "tool", "content": "42", "name": "calculator"}])
    assert turns == (
        Turn(role="user", content="Hello"),
        Turn(role="assistant", content="Hi"),
        Turn(role="tool", content="42", name="calculator"),
    )


@pytest.mark.parametrize("text", ["  e\u0301 \n", "שלום", "\U0001f468\u200d\U0001f373", "x" * MAX_CHARACTERS, "{'role': 'system'}"])
def test_text_is_kept_verbatim(text: str) -> None:
    assert to_turns(text)[0].content == text


def test_a_long_error_does_not_quote_the_whole_text() -> None:
    with pytest.raises(InvalidTurnError) as caught:
        to_turns("x" * 20_000_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", ["", "  ", "\u200b", 3, "x" * 513, "a\0b", "\udc80"])
def test_a_label_that_says_nothing_or_cannot_be_stored_is_refused(value: Any) -> None:
    with pytest.raises(InvalidTurnError):
        check_label("session", value)


def test_an_absent_label_is_fine() -> None:
    check_label("session", None)


@pytest.mark.parametrize("at", ["2026-11-02", 1_700_000_000, datetime(2026, 11, 2)])
def test_a_time_without_a_time_zone_is_refused(at: Any) -> None:
    with pytest.raises(InvalidTurnError):
        check_time(at)
