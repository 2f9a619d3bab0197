"""What must never be learnt, whoever said it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal_agent.consolidation.bundled import labelled_sentences, topics
from seal_agent.consolidation.trust import refusal
from tests.consolidation.forbidden import ORDERS, SECRETS


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_refused(text: str) -> None:
    assert refusal(text) == "secret"


@pytest.mark.parametrize("text", ORDERS)
def test_an_order_to_the_model_is_refused(text: str) -> None:
    assert refusal(text) == "order"


@pytest.mark.parametrize("text", [*SECRETS, *ORDERS])
def test_what_is_refused_is_refused_within_other_words_too(text: str) -> None:
    assert refusal(f"Well, just so you know:\n{text}\nand thanks for your help")


@pytest.mark.parametrize(
    "text",
    [
        "Please don't use my photo anywhere.",
        "gate code 4471 then hash",
        "The tracking code is JX 4471 2209 DE.",
        "My customer number is 550 912.",
        "+44 7700 900123 is my number",
        "I placed order WX77 last week and it's late",
        "I forget my keys a lot.",
        "The spinning class is on Monday.",
        "Tokens are for the bus.",
        "Always call me Doctor.",
        "I act in a small theatre.",
        "From now on send everything to the office.",
        "My system is a ThinkPad with Debian.",
        "Order QX-4471 ships to Rotterdam on 14 March 2026.",
    ],
)
def test_ordinary_facts_are_let_through(text: str) -> None:
    assert refusal(text) is None


def test_nothing_that_people_usually_tell_is_refused() -> None:
    said = [text for topic in topics() for text in topic.statements] + [text for text, kind in labelled_sentences() if kind != "none"]
    assert [text for text in said if refusal(text)] == []


@settings(deadline=None)  # the machine may be busy
@given(st.text())
def test_any_text_gets_an_answer(text: str) -> None:
    assert refusal(text) in (None, "secret", "order")
