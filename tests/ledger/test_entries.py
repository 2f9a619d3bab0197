"""Entries: what retrieval reads - vectors, the lexical index, and which texts still exist."""

import numpy as np
import pytest
from sqlalchemy import Connection, text

from seal_agent.errors import EmbeddingError, IntegrityError, UnknownRecordError, UsageError
from seal_agent.ledger.encoding import decode_vectors
from seal_agent.ledger.entries import (
    MISSING,
    count_vectors,
    get_entries,
    large_scopes,
    missing_vectors,
    scope_vectors_after,
    seqs_of,
    set_vector,
    vectors_of,
)
from seal_agent.ledger.episodes import add_episode
from seal_agent.ledger.facts import add_fact
from seal_agent.ledger.postings import seqs_with
from tests.ledger.records import ANA, EMBEDDER, NOW, episode, fact, vectors


def test_vectors_of_unequal_length_are_an_integrity_error() -> None:
    with pytest.raises(IntegrityError, match="differ in length"):
        decode_vectors([b"\0" * 8, b"\0" * 4], "x")


def test_get_entries_says_what_each_text_is_and_leaves_out_what_is_gone(conn: Connection) -> None:
    add_episode(conn, episode("e1", "one"), None, None)
    add_fact(conn, fact("f1"), None, None)
    found = get_entries(conn, ANA.key, ["f1", "gone", "e1:0"])
    assert set(found) == {"f1", "e1:0"}
    turn, told = found["e1:0"], found["f1"]
    assert (turn.kind, turn.episode_id, turn.turn, turn.fact_id, turn.role, turn.text) == ("turn", "e1", 0, None, "user", "one")
    assert (told.kind, told.episode_id, told.fact_id, told.role, told.at) == ("fact", None, "f1", None, NOW)
    assert turn.scope_key == told.scope_key == ANA.key


def test_a_scopes_vectors_after_a_watermark_come_in_order_at_most_limit_and_no_further_than_told(conn: Connection) -> None:
    add_episode(conn, episode("e1", "one", "two", "three"), vectors(3), EMBEDDER)
    seqs, ids, first = scope_vectors_after(conn, ANA.key, EMBEDDER, 0, 2)
    assert (ids, first.shape) == (["e1:0", "e1:1"], (2, vectors(3).shape[1]))
    rest, ids, found = scope_vectors_after(conn, ANA.key, EMBEDDER, seqs[-1], 2)
    assert ids == ["e1:2"]
    np.testing.assert_array_equal(found[0], vectors(3)[2])
    assert scope_vectors_after(conn, ANA.key, EMBEDDER, rest[-1], 2)[1] == []
    assert scope_vectors_after(conn, ANA.key, EMBEDDER, 0, 9, up_to=seqs[0])[1] == ["e1:0"]
    assert scope_vectors_after(conn, "default/default/nobody", EMBEDDER, 0, 9)[1] == []
    assert scope_vectors_after(conn, ANA.key, "another", 0, 9)[1] == []


def test_vectors_are_looked_up_by_id(conn: Connection) -> None:
    add_episode(conn, episode("e1", "one", "two"), vectors(2), EMBEDDER)
    add_episode(conn, episode("e2", "never embedded"), None, EMBEDDER)
    ids, found = vectors_of(conn, ANA.key, ["e1:1", "e2:0", "nobody"], EMBEDDER)
    assert ids == ["e1:1"]
    np.testing.assert_array_equal(found[0], vectors(2)[1])
    assert vectors_of(conn, ANA.key, [], EMBEDDER)[0] == []


def test_a_scope_is_large_by_the_vectors_it_has(conn: Connection) -> None:
    add_episode(conn, episode("e1", "one", "two"), vectors(2), EMBEDDER)
    assert large_scopes(conn, EMBEDDER, 2) == [ANA.key]
    assert large_scopes(conn, EMBEDDER, 3) == []
    assert large_scopes(conn, "another", 1) == []


def test_a_seq_is_never_used_twice_so_a_watermark_skips_nothing(conn: Connection) -> None:
    add_episode(conn, episode("e1"), vectors(1), EMBEDDER)
    watermark = scope_vectors_after(conn, ANA.key, EMBEDDER, 0, 9)[0][-1]
    conn.execute(text("DELETE FROM entries"))
    add_episode(conn, episode("e2"), vectors(1), EMBEDDER)
    assert scope_vectors_after(conn, ANA.key, EMBEDDER, watermark, 9)[1] == ["e2:0"]


def test_entries_without_a_vector_of_this_embedder_are_missing_until_set(conn: Connection) -> None:
    add_episode(conn, episode("e1", "never embedded"), None, EMBEDDER)
    for embedder in ("before", "zzz"):
        add_episode(conn, episode(embedder, f"by {embedder}"), vectors(1, dim=9), embedder)
    add_episode(conn, episode("e3", "done"), vectors(1), EMBEDDER)
    missing = missing_vectors(conn, EMBEDDER, 9)
    assert [(one.id, one.text) for one in missing] == [("e1:0", "never embedded"), ("before:0", "by before"), ("zzz:0", "by zzz")]
    assert missing_vectors(conn, EMBEDDER, 1) == missing[:1]
    for one in missing:
        set_vector(conn, one.seq, EMBEDDER, vectors(1)[0])
    assert missing_vectors(conn, EMBEDDER, 9) == []
    assert count_vectors(conn, [ANA.key], EMBEDDER) == 4


def test_looking_for_what_is_not_embedded_reads_no_row(conn: Connection) -> None:
    plan = conn.execute(text(f"EXPLAIN QUERY PLAN {MISSING.text}"), {"embedder": EMBEDDER, "limit": 9}).all()
    reads = [row.detail for row in plan if "entries" in row.detail]
    assert len(reads) == 3
    assert all("USING COVERING INDEX entries_by_embedder" in read for read in reads)


def test_setting_a_vector_leaves_the_lexical_index_alone(conn: Connection) -> None:
    add_episode(conn, episode("e1", "tofu"), None, None)
    set_vector(conn, seqs_of(conn, ANA.key, ["e1:0"])["e1:0"], EMBEDDER, vectors(1)[0])
    assert len(seqs_with(conn, "tofu", ANA.key)) == 1
    conn.execute(text("INSERT INTO entries_fts(entries_fts, rank) VALUES ('integrity-check', 1)"))


def test_a_vector_for_an_unknown_entry_or_of_a_wrong_length_is_refused(conn: Connection) -> None:
    with pytest.raises(UnknownRecordError, match="number 77"):
        set_vector(conn, 77, EMBEDDER, vectors(1)[0])
    add_episode(conn, episode("e1", "one", "two"), vectors(2), EMBEDDER)
    with pytest.raises(EmbeddingError, match="9 numbers where it gave 4"):
        set_vector(conn, seqs_of(conn, ANA.key, ["e1:0"])["e1:0"], EMBEDDER, vectors(1, dim=9)[0])


def test_a_fact_id_that_looks_like_a_turn_is_refused(conn: Connection) -> None:
    add_episode(conn, episode("e1"), None, None)
    with pytest.raises(UsageError, match="'e1:0' is taken"):
        add_fact(conn, fact("e1:0"), None, None)
