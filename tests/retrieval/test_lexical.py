"""Whatever people type becomes words that can be looked up."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal_agent.retrieval.lexical import MAX_TERMS, query_words, terms, text_key


@given(st.text(st.characters(codec=None), max_size=60) | st.text("\"'*^:(){}[]+-.,NEARANDORNOT text\x00\\_", max_size=40))
def test_every_word_holds_a_letter_or_a_digit(text: str) -> None:
    assert all(any(unicodedata.category(c)[0] in "LN" for c in word) for word in query_words(text))


@pytest.mark.parametrize("text", ["?!", "…", "🍕🍷", "   ", "\x00", '"', "'; --", "\u0301", "___", "* ^ : ( ) - +"])
def test_text_without_words_gives_none(text: str) -> None:
    assert query_words(text) == []


def test_a_compound_id_is_asked_for_by_its_parts() -> None:
    assert query_words("where is QX-4471?") == ["qx", "4471"]


def test_stop_words_are_left_out() -> None:
    assert query_words("What is the capital of the country?") == ["capital", "country"]


def test_stop_words_stay_when_there_is_nothing_else() -> None:
    assert query_words("Who are you?") == ["who", "are", "you"]


def test_a_long_query_keeps_its_longest_words() -> None:
    words = query_words(" ".join([f"w{number}" for number in range(200)] + ["rhododendron"]))
    assert len(words) == MAX_TERMS
    assert "rhododendron" in words


def test_vowel_signs_stay_in_their_word() -> None:
    assert terms("हिन्दी भाषा") == ["हिन्दी", "भाषा"]


def test_text_key_ignores_case_width_space_and_end_punctuation() -> None:
    assert text_key(" I'm  VEGETARIAN.\n") == text_key("i'm vegetarian") == text_key("i'm ｖegetarian!")
    assert text_key("I'm vegetarian") != text_key("I'm a vegetarian")
