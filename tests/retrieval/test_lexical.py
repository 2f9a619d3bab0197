"""Whatever people type becomes a query that FTS5 accepts."""

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seal_agent.retrieval.lexical import MAX_TERMS, fts_query, terms, text_key


@pytest.fixture(scope="module")
def table() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE entries USING fts5(text, tokenize='porter unicode61')")
    connection.execute("INSERT INTO entries VALUES ('The order QX-4471 ships to Rotterdam'), ('she eats no meat'), ('im Café')")
    yield connection
    connection.close()


def matches(table: sqlite3.Connection, text: str) -> list[str]:
    query = fts_query(text)
    return [row[0] for row in table.execute("SELECT text FROM entries WHERE entries MATCH ?", [query])] if query else []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(st.text(st.characters(codec=None), max_size=60) | st.text("\"'*^:(){}[]+-.,NEARANDORNOT text\x00\\_", max_size=40))
def test_no_text_is_a_syntax_error(table: sqlite3.Connection, text: str) -> None:
    matches(table, text)


@pytest.mark.parametrize("text", ["?!", "…", "🍕🍷", "   ", "\x00", '"', "'; --", "\u0301", "___", "* ^ : ( ) - +"])
def test_text_without_words_gives_no_query(text: str) -> None:
    assert fts_query(text) == ""


@pytest.mark.parametrize("text", ["meat AND NOT", "NEAR(meat, 2)", "text:meat", '"meat', "meat*)", "^meat OR", "{text} : meat", "-meat"])
def test_operators_are_words_or_nothing(table: sqlite3.Connection, text: str) -> None:
    assert matches(table, text) == ["she eats no meat"]


def test_each_term_matches_alone(table: sqlite3.Connection) -> None:
    assert matches(table, "Which order goes to Berlin?") == ["The order QX-4471 ships to Rotterdam"]


def test_a_compound_id_is_found_by_its_parts(table: sqlite3.Connection) -> None:
    assert matches(table, "where is qx-4471?") == ["The order QX-4471 ships to Rotterdam"]


def test_accents_and_word_forms_do_not_matter(table: sqlite3.Connection) -> None:
    assert matches(table, "CAFE") == matches(table, "cafe\u0301") == ["im Café"]
    assert matches(table, "eating") == ["she eats no meat"]


def test_stop_words_are_left_out() -> None:
    assert fts_query("What is the capital of the country?") == '"capital" OR "country"'


def test_stop_words_stay_when_there_is_nothing_else() -> None:
    assert fts_query("Who are you?") == '"who" OR "are" OR "you"'


def test_a_long_query_keeps_its_longest_words() -> None:
    query = fts_query(" ".join([f"w{number}" for number in range(200)] + ["rhododendron"]))
    assert query.count(" OR ") == MAX_TERMS - 1
    assert '"rhododendron"' in query


def test_the_longest_query_allowed_is_still_answered(table: sqlite3.Connection) -> None:
    assert matches(table, "a b c d " * 5_000) == []


def test_vowel_signs_stay_in_their_word() -> None:
    assert terms("हिन्दी भाषा") == ["हिन्दी", "भाषा"]


def test_text_key_ignores_case_width_space_and_end_punctuation() -> None:
    assert text_key(" I'm  VEGETARIAN.\n") == text_key("i'm vegetarian") == text_key("i'm ｖegetarian!")
    assert text_key("I'm vegetarian") != text_key("I'm a vegetarian")
