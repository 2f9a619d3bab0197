"""Sentences, the words that carry meaning, and runs of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal_agent.consolidation.sentences import clauses, content_spans, content_words, leans_on_context, split_sentences, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'm vegan. I live in Porto!", ["I'm vegan.", "I live in Porto!"]),
        ("no meat\nno fish", ["no meat", "no fish"]),
        ("Ask Mr. Tan about it. He knows.", ["Ask Mr. Tan about it.", "He knows."]),
        ("Use a sans font, e.g. Inter.", ["Use a sans font, e.g. Inter."]),
        ("Version 3.5 is fine", ["Version 3.5 is fine"]),
        ('She said "no." Then she left.', ['She said "no."', "Then she left."]),
        ("(It leaks.) It's new.", ["(It leaks.)", "It's new."]),
        ("Not no. 7, no. 17!", ["Not no. 7, no. 17!"]),
        ("I said no. Ask again.", ["I said no.", "Ask again."]),
        ("Well... it works", ["Well...", "it works"]),
        ("", []),
        (" \n\t ", []),
    ],
)
def test_a_message_is_cut_where_a_sentence_or_a_line_ends(text: str, expected: list[str]) -> None:
    assert split_sentences(text) == expected


TYPED = st.text(alphabet=st.sampled_from("ab1 .!?\"')]\n…’"))


@settings(deadline=None)  # the machine may be busy
@given(st.text() | TYPED)
def test_cutting_keeps_every_character_but_white_space(text: str) -> None:
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


@settings(deadline=None)  # the machine may be busy
@given(st.text())
def test_no_sentence_is_empty_or_padded(text: str) -> None:
    assert all(sentence and sentence == sentence.strip() for sentence in split_sentences(text))


@pytest.mark.parametrize(
    "sentence", ["He's a parrot.", "And it leaks.", "that's the old one", "Their shop is closed.", "Oh, this one.", "Well, they did."]
)
def test_a_sentence_about_something_named_before_leans_on_it(sentence: str) -> None:
    assert leans_on_context(sentence)


@pytest.mark.parametrize("sentence", ["I'm vegan.", "Theirs truly", "Thatcher was here", "Item 4 is missing.", "My parrot has a cold.", ""])
def test_a_sentence_that_names_its_subject_stands_alone(sentence: str) -> None:
    assert not leans_on_context(sentence)


def test_content_words_are_those_that_carry_meaning_in_order() -> None:
    assert content_words("Please don’t ever ring me at the Leeds office before 9") == ["ring", "leeds", "office", "9"]


def test_words_are_lower_case_with_straight_apostrophes() -> None:
    assert words("Don’t SHOUT, QX-4471!") == ["don't", "shout", "qx-4471"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'm a court interpreter in Leeds", ["court interpreter", "Leeds"]),
        ("red, green and blue", ["red", "green", "blue"]),
        ("one two three four five six", ["two three four five", "six"]),
        ("it is what it is", []),
        ("", []),
    ],
)
def test_spans_are_runs_of_content_words(text: str, expected: list[str]) -> None:
    assert content_spans(text) == expected


@settings(deadline=None)  # the machine may be busy
@given(st.text(), st.integers(min_value=1, max_value=6))
def test_every_span_is_a_part_of_the_text_within_its_length(text: str, longest: int) -> None:
    spans = content_spans(text, longest)
    assert all(span in text and 1 <= len(words(span)) <= longest for span in spans)


@settings(deadline=None)  # the machine may be busy
@given(st.text())
def test_spans_hold_all_content_words_and_nothing_else(text: str) -> None:
    assert [word for span in content_spans(text) for word in words(span)] == content_words(text)


def test_clauses_are_the_text_and_its_parts_where_it_has_several() -> None:
    assert clauses("we're on the fourth floor and the lift is tiny, so tell the driver") == [
        "we're on the fourth floor and the lift is tiny, so tell the driver",
        "we're on the fourth floor",
        "the lift is tiny",
        "tell the driver",
    ]
    assert clauses("I live in Lisbon.") == ["I live in Lisbon."]
    assert clauses("Bread, milk and eggs") == ["Bread, milk and eggs"]
