"""Facts: attributed, searchable while told, superseded with a trail."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from sqlalchemy import Connection

from seal_agent.errors import UnknownRecordError, UsageError
from seal_agent.ledger.entries import entries_at, get_entries, missing_vectors
from seal_agent.ledger.episodes import add_episode
from seal_agent.ledger.facts import TOLD, add_fact, fact_vectors, get_fact, list_facts, set_fact_state, supersede
from seal_agent.ledger.postings import seqs_with
from seal_agent.types import Fact, FactState, ScopeId, Source
from tests.ledger.records import ANA, BEN, EMBEDDER, SUPPORT, TENANT, add_adapter, episode, fact, minute, vectors


def test_a_fact_comes_back_exactly_with_its_sources_in_order(conn: Connection) -> None:
    add_episode(conn, episode("e2", "one", "two"), None, None)
    add_episode(conn, episode("e1"), None, None)
    sources = (Source(episode_id="e2", turn=1), Source(episode_id="e1", turn=0), Source(episode_id="e2", turn=0))
    recorded = replace(fact("f1"), sources=sources, valid_to=minute(9), probability=0.25)
    assert add_fact(conn, recorded, vectors(1)[0], EMBEDDER)
    assert get_fact(conn, "f1") == recorded


def test_a_fact_is_recorded_once(conn: Connection) -> None:
    assert add_fact(conn, fact("f1"), None, None)
    assert not add_fact(conn, fact("f1"), None, None)
    assert len(list_facts(conn, ANA)) == 1


def test_a_fact_id_of_another_scope_is_taken(conn: Connection) -> None:
    add_fact(conn, fact("f1", scope=BEN), None, None)
    with pytest.raises(UsageError, match="'f1' is taken") as caught:
        add_fact(conn, fact("f1"), None, None)
    assert "ben" not in str(caught.value)


@pytest.mark.parametrize("source", [Source(episode_id="nope", turn=0), Source(episode_id="e1", turn=7), Source(episode_id="bens", turn=0)])
def test_a_source_must_be_a_turn_of_the_same_scope(conn: Connection, source: Source) -> None:
    add_episode(conn, episode("e1"), None, None)
    add_episode(conn, episode("bens", scope=BEN), None, None)
    with pytest.raises(UnknownRecordError, match=f"turn {source.turn} of an episode '{source.episode_id}'"):
        add_fact(conn, replace(fact("f1"), sources=(source,)), None, None)


@pytest.mark.parametrize(
    "broken",
    [
        fact("f1", "  "),
        fact("f1", "nul \x00"),
        replace(fact("f1"), quote="\ud800"),
        fact(""),
        replace(fact("f1"), probability=1.5),
        replace(fact("f1"), probability=float("nan")),
        replace(fact("f1"), state="learned"),
        replace(fact("f1"), valid_from=minute(0).replace(tzinfo=None)),
    ],
    ids=["blank", "nul", "surrogate", "no id", "probability", "nan", "learned by none", "naive time"],
)
def test_a_fact_that_is_not_whole_is_refused(conn: Connection, broken: Fact) -> None:
    with pytest.raises(UsageError):
        add_fact(conn, broken, None, None)


def test_facts_are_listed_in_recorded_order_by_state_and_scope(conn: Connection) -> None:
    for id, scope in (("z", ANA), ("tenants", TENANT), ("a", ANA), ("bens", BEN), ("shared", SUPPORT)):
        add_fact(conn, fact(id, scope=scope), None, None)
    add_fact(conn, fact("elsewhere", scope=ScopeId(agent="sales")), None, None)
    set_fact_state(conn, "a", "queued")
    assert [f.id for f in list_facts(conn, ANA)] == ["z", "a"]
    assert [f.id for f in list_facts(conn, ANA, inherit=True)] == ["z", "tenants", "a", "shared"]
    assert [f.id for f in list_facts(conn, ANA, states={"queued"}, inherit=True)] == ["a"]
    assert list_facts(conn, ANA, states=[]) == []


def test_fact_vectors_leaves_out_facts_without_one(conn: Connection) -> None:
    add_fact(conn, fact("f1"), vectors(1)[0], EMBEDDER)
    add_fact(conn, fact("f2"), None, None)
    found = fact_vectors(conn, ["f1", "f2", "nope"])
    assert set(found) == {"f1"}
    np.testing.assert_array_equal(found["f1"], vectors(1)[0])


@pytest.mark.parametrize("state", get_args(FactState))
def test_a_fact_has_an_entry_exactly_as_long_as_it_is_told(conn: Connection, state: FactState) -> None:
    adapter = add_adapter(conn)
    add_fact(conn, fact("f1"), None, None)
    set_fact_state(conn, "f1", state, learned_by=adapter.name if state == "learned" else None)
    assert get_fact(conn, "f1").state == state
    assert bool(get_entries(conn, ANA.key, ["f1"])) == (state in TOLD)
    assert bool(len(seqs_with(conn, "vegetarian", ANA.key))) == (state in TOLD)


def test_a_learned_fact_names_its_adapter_and_an_unlearned_one_none(conn: Connection) -> None:
    adapter = add_adapter(conn)
    add_fact(conn, fact("f1"), None, None)
    with pytest.raises(UsageError, match="learned_by"):
        set_fact_state(conn, "f1", "learned")
    set_fact_state(conn, "f1", "learned", learned_by=adapter.name, probability=0.75)
    assert (get_fact(conn, "f1").learned_by, get_fact(conn, "f1").probability) == (adapter.name, 0.75)
    with pytest.raises(UsageError, match="learned_by"):
        set_fact_state(conn, "f1", "active", learned_by=adapter.name)
    set_fact_state(conn, "f1", "not_learned", probability=0.1)
    assert (get_fact(conn, "f1").learned_by, get_fact(conn, "f1").probability) == (None, 0.1)
    with pytest.raises(UsageError, match="not in"):
        set_fact_state(conn, "f1", "not_learned", probability=-0.1)


def test_superseding_leaves_a_trail_and_takes_the_old_text_out_of_search(conn: Connection) -> None:
    add_fact(conn, fact("old", "Ana lives in Rome."), None, None)
    add_fact(conn, fact("new", "Ana lives in Oslo."), None, None)
    supersede(conn, "old", "new", minute(5))
    old = get_fact(conn, "old")
    assert (old.state, old.valid_to, old.superseded_by, old.text) == ("superseded", minute(5), "new", "Ana lives in Rome.")
    assert [one.id for one in entries_at(conn, seqs_with(conn, "Ana", ANA.key).tolist()).values()] == ["new"]
    supersede(conn, "old", "new", minute(9))
    assert get_fact(conn, "old").valid_to == minute(5)


def test_a_fact_of_another_scope_can_not_supersede(conn: Connection) -> None:
    add_fact(conn, fact("anas"), None, None)
    for id, scope in (("bens", BEN), ("shared", SUPPORT)):
        add_fact(conn, fact(id, scope=scope), None, None)
        for old, new in (("anas", id), (id, "anas")):
            with pytest.raises(UnknownRecordError, match="No fact"):
                supersede(conn, old, new, minute(1))
    with pytest.raises(UnknownRecordError, match="'nope'"):
        supersede(conn, "anas", "nope", minute(1))
    assert get_fact(conn, "anas").state == "active"


def test_supersession_can_not_run_in_a_circle(conn: Connection) -> None:
    add_fact(conn, fact("a"), None, None)
    add_fact(conn, fact("b"), None, None)
    with pytest.raises(UsageError):
        supersede(conn, "a", "a", minute(1))
    supersede(conn, "a", "b", minute(1))
    with pytest.raises(UsageError, match="must be told"):
        supersede(conn, "b", "a", minute(2))


def test_a_superseded_fact_told_again_waits_for_its_vector(conn: Connection) -> None:
    add_fact(conn, fact("a"), vectors(1)[0], EMBEDDER)
    add_fact(conn, fact("b"), vectors(1)[0], EMBEDDER)
    supersede(conn, "a", "b", minute(1))
    set_fact_state(conn, "a", "active")
    assert (get_fact(conn, "a").superseded_by, get_fact(conn, "a").valid_to) == (None, None)
    assert [(one.id, one.text) for one in missing_vectors(conn, EMBEDDER, 9)] == [("a", "Ana is vegetarian.")]
