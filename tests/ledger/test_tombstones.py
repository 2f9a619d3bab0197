"""Tombstones: what was forgotten is known again, in whatever spelling, in its own scope, and is written nowhere."""

from dataclasses import replace

import pytest
from sqlalchemy import Connection

from seal_agent.errors import ForgottenError
from seal_agent.ledger.episodes import add_episode, get_episode
from seal_agent.ledger.facts import add_fact
from seal_agent.ledger.tombstones import (
    FORGOTTEN_TURN,
    admit,
    bury,
    bury_episode,
    count_tombstones,
    is_buried,
    is_telling,
    lift,
    value_of,
)
from seal_agent.types import Turn
from tests.ledger.records import ANA, BEN, NOW, episode, fact, vectors

PASSPORT = "My passport is XQ-77."


@pytest.mark.parametrize("spelt", [PASSPORT, "my  passport is xq 77", "MY PASSPORT IS XQ-77!", "Ｍy passport is XQ-77"])
def test_a_forgotten_text_is_known_in_every_spelling(conn: Connection, spelt: str) -> None:
    bury(conn, ANA, [PASSPORT], NOW)
    assert is_buried(conn, ANA, spelt)
    assert not is_buried(conn, BEN, spelt)
    assert not is_buried(conn, ANA, "My passport is XQ-78.")


def test_a_tombstone_holds_neither_the_text_nor_a_hash_that_can_be_guessed(conn: Connection) -> None:
    from seal_agent.ledger.encoding import hash_text

    bury(conn, ANA, [PASSPORT], NOW)
    (row,) = conn.exec_driver_sql("SELECT * FROM tombstones").all()
    assert "passport" not in str(row)
    assert row.digest not in {hash_text(text) for text in (PASSPORT, value_of(PASSPORT))}


def test_two_ledgers_have_tombstones_that_can_not_be_compared(conn: Connection, tmp_path_factory: pytest.TempPathFactory) -> None:
    from seal_agent.ledger.ledger import Ledger

    with Ledger.open(tmp_path_factory.mktemp("other")) as other, other.write() as second:
        for one in (conn, second):
            bury(one, ANA, [PASSPORT], NOW)
        digests = {one.exec_driver_sql("SELECT digest FROM tombstones").scalar_one() for one in (conn, second)}
    assert len(digests) == 2


def test_burying_again_adds_nothing_and_lifting_lets_it_back(conn: Connection) -> None:
    for _ in range(2):
        bury(conn, ANA, [PASSPORT], NOW)
    assert count_tombstones(conn) == 1
    assert lift(conn, ANA, "my passport is xq 77")
    assert not lift(conn, ANA, PASSPORT)
    assert not is_buried(conn, ANA, PASSPORT)


def test_where_nothing_was_ever_forgotten_nothing_is_withheld(conn: Connection) -> None:
    assert not lift(conn, ANA, PASSPORT)
    assert admit(conn, episode("e1", PASSPORT), []) == episode("e1", PASSPORT)


@pytest.mark.parametrize(("text", "telling"), [("yes please", False), ("Thanks!", False), ("room 7", True), ("I drink tea.", True)])
def test_only_what_says_something_of_its_own_counts(text: str, telling: bool) -> None:
    assert is_telling(text) is telling


def test_an_episode_does_not_come_back_under_its_id_nor_under_another(conn: Connection) -> None:
    bury_episode(conn, episode("e1", PASSPORT, "and more"), NOW)
    for back in (episode("e1", "something else"), episode("e2", "my passport is xq-77", "And more.")):
        with pytest.raises(ForgottenError):
            add_episode(conn, back, None, None)
    assert add_episode(conn, episode("e3", "and more"), None, None)


def test_a_forgotten_turn_is_withheld_with_its_vector(conn: Connection) -> None:
    bury(conn, ANA, [PASSPORT], NOW)
    add_episode(conn, episode("e1", PASSPORT, "I drink tea."), vectors(2), "hash-4")
    assert [turn.content for turn in get_episode(conn, ANA, "e1").turns] == [FORGOTTEN_TURN, "I drink tea."]
    held = conn.exec_driver_sql("SELECT turn, vector IS NULL FROM entries ORDER BY turn").all()
    assert [tuple(row) for row in held] == [(0, 1), (1, 0)]
    assert not add_episode(conn, episode("e1", PASSPORT, "I drink tea."), None, None)


def test_an_episode_of_nothing_but_forgotten_words_is_refused(conn: Connection) -> None:
    bury(conn, ANA, [PASSPORT], NOW)
    with pytest.raises(ForgottenError, match="allow_again"):
        add_episode(conn, replace(episode("e1"), turns=(Turn(role="user", content=PASSPORT),)), None, None)


def test_a_forgotten_statement_is_not_recorded_as_a_fact(conn: Connection) -> None:
    bury(conn, ANA, ["Ana is vegetarian."], NOW)
    with pytest.raises(ForgottenError):
        add_fact(conn, fact("f1"), None, None)
    assert add_fact(conn, fact("f2", scope=BEN), None, None)
