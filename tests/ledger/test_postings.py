"""What ranking reads: words by their stem and scope, places in conversations, and whether anything earlier has changed."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from seal_agent.ledger.entries import entries_at, seqs_of, set_vector
from seal_agent.ledger.episodes import add_episode
from seal_agent.ledger.facts import add_fact, supersede
from seal_agent.ledger.postings import placed_after, seqs_with, standing, vectors_after, vectors_at
from tests.ledger.records import ANA, BEN, EMBEDDER, NOW, SUPPORT, episode, fact, vectors


def ids(conn: Connection, seqs: object) -> list[str]:
    return [entry.id for entry in entries_at(conn, np.asarray(seqs).tolist()).values()]


def test_a_word_is_found_by_its_stem_whatever_its_case_and_accents(conn: Connection) -> None:
    add_episode(conn, episode("e1", "I RUN", "running late", "I swim", "im Café"), None, None)
    assert ids(conn, seqs_with(conn, "runs", ANA.key)) == ["e1:0", "e1:1"]
    assert ids(conn, seqs_with(conn, "cafe", ANA.key)) == ["e1:3"]


def test_a_word_is_looked_up_in_the_scope_and_beyond_a_number(conn: Connection) -> None:
    for n in range(3):
        add_episode(conn, episode(f"a{n}", "tofu"), None, None)
        add_episode(conn, episode(f"b{n}", "tofu", scope=BEN), None, None)
    found = seqs_with(conn, "tofu", ANA.key)
    assert ids(conn, found) == ["a0:0", "a1:0", "a2:0"]
    assert ids(conn, seqs_with(conn, "tofu", ANA.key, after=int(found[1]))) == ["a2:0"]


def test_a_large_scope_may_be_given_others_which_it_can_tell_apart(conn: Connection) -> None:
    add_episode(conn, episode("a", "tofu"), None, None)
    add_episode(conn, episode("b", "tofu", scope=BEN), None, None)
    assert ids(conn, seqs_with(conn, "tofu", ANA.key, share=0.9)) == ["a:0", "b:0"]


def test_a_scope_is_not_found_by_its_name(conn: Connection) -> None:
    add_episode(conn, episode("a", "tofu"), None, None)
    assert seqs_with(conn, f"s{ANA.key.encode().hex()}", ANA.key).tolist() == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20))
def test_no_word_is_an_operator(conn: Connection, noise: str) -> None:
    undone = conn.begin_nested()
    add_episode(conn, episode("other", "no such thing"), None, None)
    add_episode(conn, episode("says it", f"well, x{noise}"), None, None)
    found = ids(conn, seqs_with(conn, f"x{noise}", ANA.key))
    undone.rollback()
    assert found == ["says it:0"]


@pytest.mark.parametrize("word", ['meat" OR "she', "meat*", "NEAR(meat", 'a"b', "text:meat"])
def test_what_looks_like_a_query_is_a_word(conn: Connection, word: str) -> None:
    add_episode(conn, episode("e1", "she eats no fish"), None, None)
    assert seqs_with(conn, word, ANA.key).tolist() == []


def test_places_say_conversation_speaker_day_and_length(conn: Connection) -> None:
    add_episode(conn, episode("e1", "one", "three"), None, None)
    add_fact(conn, fact("f1"), None, None)
    turn, _, told = placed_after(conn, ANA.key, 0)
    assert (turn.thread, turn.role, turn.name, turn.day, turn.characters) == ("s:s1", "user", None, NOW.date().isoformat(), 3)
    assert (told.thread, told.role) == (None, None)
    assert placed_after(conn, ANA.key, turn.seq)[0].characters == 5
    assert placed_after(conn, SUPPORT.key, 0) == []


def test_a_session_and_an_episode_of_one_name_are_two_conversations(conn: Connection) -> None:
    add_episode(conn, episode("e1", "in the session s1"), None, None)
    conn.execute(text("UPDATE episodes SET session = NULL"))
    add_episode(conn, episode("e2", "in the session"), None, None)
    conn.execute(text("UPDATE episodes SET session = 'e1' WHERE id = 'e2'"))
    assert [placed.thread for placed in placed_after(conn, ANA.key, 0)] == ["e:e1", "s:e1"]


def test_the_standing_moves_with_each_addition_change_and_removal_and_with_nothing_else(conn: Connection) -> None:
    seen = [standing(conn, ANA.key)]
    add_episode(conn, episode("e1", "one"), None, None)
    seen.append(standing(conn, ANA.key))
    set_vector(conn, seqs_of(conn, ANA.key, ["e1:0"])["e1:0"], EMBEDDER, vectors(1)[0])
    seen.append(standing(conn, ANA.key))
    add_fact(conn, fact("f1"), None, None)
    add_fact(conn, fact("f2", "Ana is vegan."), None, None)
    seen.append(standing(conn, ANA.key))
    supersede(conn, "f1", "f2", NOW)
    seen.append(standing(conn, ANA.key))
    add_episode(conn, episode("b1", scope=BEN), None, None)
    assert len(set(seen)) == 5
    assert standing(conn, ANA.key) == seen[-1]


def test_vectors_come_back_as_stored_in_recorded_order(conn: Connection) -> None:
    stored = vectors(3) / np.float32(7)
    add_episode(conn, episode("e1", "one", "two"), stored[:2], EMBEDDER)
    add_episode(conn, episode("other"), vectors(1, dim=9), "another")
    add_fact(conn, fact("f1"), stored[2], EMBEDDER)
    seqs, found = vectors_after(conn, ANA.key, EMBEDDER, 0)
    assert ids(conn, seqs) == ["e1:0", "e1:1", "f1"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, stored)
    some, chosen = vectors_at(conn, [int(seqs[2]), int(seqs[0])], EMBEDDER)
    assert some.tolist() == [seqs[0], seqs[2]]
    np.testing.assert_array_equal(chosen, stored[[0, 2]])


def test_a_scope_without_vectors_has_an_empty_matrix(conn: Connection) -> None:
    seqs, found = vectors_after(conn, ANA.key, EMBEDDER, 0)
    assert (seqs.tolist(), found.shape) == ([], (0, 0))


def test_ids_that_are_gone_have_no_number(conn: Connection) -> None:
    add_episode(conn, episode("e1", "one"), None, None)
    assert list(seqs_of(conn, ANA.key, ["gone", "e1:0"])) == ["e1:0"]
