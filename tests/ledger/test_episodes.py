"""Episodes: recorded once, told back whole, kept apart by scope."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Connection, text

from seal_agent.errors import EmbeddingError, IntegrityError, InvalidTurnError, UnknownRecordError, UsageError
from seal_agent.ledger.entries import get_entries, seqs_of
from seal_agent.ledger.episodes import (
    add_episode,
    add_episodes,
    count_episodes,
    get_episode,
    list_episodes,
    mark_extracted,
    scopes,
    unextracted_ids,
)
from seal_agent.ledger.facts import add_fact
from seal_agent.ledger.ledger import Ledger
from seal_agent.ledger.postings import placed_after, vectors_after
from seal_agent.types import Episode, ScopeId, Turn
from tests.ledger.records import ANA, BEN, EMBEDDER, NOW, SUPPORT, TENANT, episode, fact, minute, vectors


def test_an_episode_comes_back_exactly_as_it_was_recorded(tmp_path: Path) -> None:
    turns = (Turn(role="user", content="Grüße 🌱\n'; DROP TABLE episodes; --"), Turn(role="tool", content="", name="search"))
    recorded = Episode(id="e1", scope=ANA, session=None, at=NOW, turns=turns, source="import", outcome="solved")
    with Ledger.open(tmp_path) as ledger, ledger.write() as conn:
        assert add_episode(conn, recorded, vectors(2), EMBEDDER)
    with Ledger.open(tmp_path) as ledger, ledger.read() as conn:
        assert get_episode(conn, ANA, "e1") == recorded


def test_the_same_episode_is_recorded_once_even_when_stamped_later(conn: Connection) -> None:
    assert add_episode(conn, episode("e1"), vectors(1), EMBEDDER)
    assert not add_episode(conn, episode("e1", at=minute(5)), vectors(1), EMBEDDER)
    assert count_episodes(conn, ANA) == 1
    assert get_episode(conn, ANA, "e1").at == NOW


@pytest.mark.parametrize(
    "other",
    [
        episode("e1", "I eat meat."),
        replace(episode("e1"), outcome="failed"),
        replace(episode("e1"), session=None),
        replace(episode("e1"), turns=(Turn(role="assistant", content="I'm vegetarian."),)),
    ],
    ids=["text", "outcome", "session", "role"],
)
def test_an_id_that_is_taken_by_another_content_is_refused(conn: Connection, other: Episode) -> None:
    add_episode(conn, episode("e1"), None, None)
    with pytest.raises(InvalidTurnError, match="'e1' is taken"):
        add_episode(conn, other, None, None)


def test_an_id_is_a_scope_s_own(conn: Connection) -> None:
    said = {ANA: "I'm vegetarian.", BEN: "I eat meat."}
    both = [(episode("e1", words, scope=scope), vectors(1)) for scope, words in said.items()]
    assert add_episodes(conn, both, EMBEDDER) == [one for one, _ in both]
    assert add_episodes(conn, both, EMBEDDER) == [None, None]
    for scope, words in said.items():
        assert get_episode(conn, scope, "e1").turns[0].content == words
        assert get_entries(conn, scope.key, ["e1:0"])["e1:0"].text == words
        assert [placed.thread for placed in placed_after(conn, scope.key, 0)] == ["s:s1"]
    mark_extracted(conn, BEN, ["e1"], NOW)
    assert [one.id for one in list_episodes(conn, ANA, unextracted_only=True)] == ["e1"]
    assert unextracted_ids(conn, ANA) == ["e1"]
    with pytest.raises(UnknownRecordError, match="'e1' in 'default/support'"):
        get_episode(conn, SUPPORT, "e1")


@pytest.mark.parametrize("bad", ["nul \x00 inside", "half a pair \ud83d"])
def test_text_that_no_database_keeps_faithfully_is_refused(conn: Connection, bad: str) -> None:
    for broken in (episode("e1", bad), replace(episode("e1"), session=bad), replace(episode("e1"), outcome=bad), episode(bad)):
        with pytest.raises(InvalidTurnError, match=r"NUL|surrogate"):
            add_episode(conn, broken, None, None)
    assert count_episodes(conn, None) == 0


def test_an_episode_without_turns_is_refused(conn: Connection) -> None:
    with pytest.raises(InvalidTurnError, match="at least one turn"):
        add_episode(conn, replace(episode("e1"), turns=()), None, None)


def test_a_naive_time_is_refused_and_another_zone_is_stored_as_utc(conn: Connection) -> None:
    with pytest.raises(UsageError, match="no time zone"):
        add_episode(conn, episode("e1", at=datetime(2026, 3, 1)), None, None)
    add_episode(conn, episode("e2", at=datetime(2026, 3, 1, 14, tzinfo=timezone(timedelta(hours=2)))), None, None)
    assert get_episode(conn, ANA, "e2").at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert get_episode(conn, ANA, "e2").at.tzinfo is UTC


def test_a_wrong_number_of_vectors_or_a_vector_not_finite_is_refused(ledger: Ledger) -> None:
    for wrong in (vectors(2), np.full((1, 4), np.nan, dtype=np.float32), np.zeros((1, 0), dtype=np.float32)):
        with pytest.raises(EmbeddingError), ledger.write() as conn:
            add_episode(conn, episode("e1"), wrong, EMBEDDER)
    with pytest.raises(EmbeddingError, match="embedder id"), ledger.write() as conn:
        add_episode(conn, episode("e1"), vectors(1), None)
    with ledger.read() as conn:
        assert count_episodes(conn, None) == 0


def test_a_vector_of_another_length_under_the_same_embedder_is_refused(conn: Connection) -> None:
    add_episode(conn, episode("e1"), vectors(1, dim=4), EMBEDDER)
    with pytest.raises(EmbeddingError, match="5 numbers where it gave 4"):
        add_episode(conn, episode("e2"), vectors(1, dim=5), EMBEDDER)


def test_episodes_are_listed_oldest_first_by_their_time_not_their_arrival(conn: Connection) -> None:
    for id, at in (("late", minute(9)), ("early", minute(1)), ("second", minute(1))):
        add_episode(conn, episode(id, at=at), None, None)
    assert [e.id for e in list_episodes(conn, ANA)] == ["early", "second", "late"] == unextracted_ids(conn, ANA)


def test_extracted_episodes_are_left_out_on_request(conn: Connection) -> None:
    for id in ("e1", "e2"):
        add_episode(conn, episode(id), None, None)
    mark_extracted(conn, ANA, ["e1", "e1"], minute(1))
    assert [e.id for e in list_episodes(conn, ANA, unextracted_only=True)] == ["e2"]
    assert [e.id for e in list_episodes(conn, ANA)] == ["e1", "e2"]


def test_unknown_ids_are_named(conn: Connection) -> None:
    add_episode(conn, episode("e1"), None, None)
    with pytest.raises(UnknownRecordError, match="'nope'"):
        mark_extracted(conn, ANA, ["e1", "nope"], NOW)
    with pytest.raises(UnknownRecordError, match="'nope'"):
        get_episode(conn, ANA, "nope")


def test_an_episode_altered_behind_our_back_is_not_told_as_true(conn: Connection) -> None:
    add_episode(conn, episode("e1"), None, None)
    conn.execute(text("UPDATE entries SET text = 'I eat meat.'"))
    with pytest.raises(IntegrityError, match="'e1'"):
        get_episode(conn, ANA, "e1")
    with pytest.raises(IntegrityError, match="'e1:0'"):
        get_entries(conn, ANA.key, ["e1:0"])


def test_more_episodes_than_one_in_list_holds_come_back_whole(conn: Connection) -> None:
    for n in range(1101):
        add_episode(conn, episode(f"e{n}", f"text {n}", at=minute(n)), None, None)
    listed = list_episodes(conn, ANA)
    assert [e.turns[0].content for e in listed] == [f"text {n}" for n in range(1101)]
    mark_extracted(conn, ANA, [e.id for e in listed], NOW)
    assert list_episodes(conn, ANA, unextracted_only=True) == []


def test_two_users_a_and_capital_a_never_see_each_others_rows(conn: Connection) -> None:
    lower, upper = ScopeId(user="a"), ScopeId(user="A")
    add_episode(conn, episode("e-lower", "lower secret", scope=lower), vectors(1), EMBEDDER)
    add_episode(conn, episode("e-upper", "upper secret", scope=upper), vectors(1), EMBEDDER)
    for scope, own in ((lower, "e-lower"), (upper, "e-upper")):
        assert [e.id for e in list_episodes(conn, scope)] == [own]
        assert count_episodes(conn, scope) == 1
        seq = seqs_of(conn, scope.key, [f"{own}:0"])[f"{own}:0"]
        assert vectors_after(conn, scope.key, EMBEDDER, 0)[0].tolist() == [seq]
        assert [placed.seq for placed in placed_after(conn, scope.key, 0)] == [seq]
    assert set(scopes(conn)) == {lower, upper}


def test_scopes_lists_every_scope_with_episodes_or_facts_once(conn: Connection) -> None:
    add_episode(conn, episode("e1"), None, None)
    add_fact(conn, fact("f1"), None, None)
    add_fact(conn, fact("f2", scope=TENANT), None, None)
    add_fact(conn, fact("f3", scope=SUPPORT), None, None)
    assert scopes(conn) == [TENANT, SUPPORT, ANA]


def test_a_reader_never_sees_half_a_write(ledger: Ledger) -> None:
    with ledger.write() as writing:
        add_episode(writing, episode("e1"), None, None)
        with ledger.read() as reading:
            assert count_episodes(reading, None) == 0
    with ledger.read() as reading:
        assert count_episodes(reading, None) == 1
