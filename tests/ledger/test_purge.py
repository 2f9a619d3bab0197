"""Removal in the ledger: the rows go with everything that names them, the bytes go, what had been superseded is told again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection

from seal_agent.errors import UnknownRecordError
from seal_agent.ledger.cycles import end_cycle, list_cycles, start_cycle
from seal_agent.ledger.entries import entries_at, get_entries
from seal_agent.ledger.episodes import add_episode, get_episode
from seal_agent.ledger.facts import add_fact, get_fact, supersede
from seal_agent.ledger.ledger import Ledger
from seal_agent.ledger.postings import seqs_with
from seal_agent.ledger.purge import (
    begin_erasure,
    cut_episode,
    end_erasure,
    facts_resting_on,
    remove_episodes,
    remove_facts,
    remove_scope,
    scrub_reports,
    unfinished_erasures,
)
from seal_agent.ledger.tombstones import FORGOTTEN_TURN, is_buried
from seal_agent.types import ScopeId, Source
from tests.ledger.records import ANA, BEN, NOW, SUPPORT, TENANT, add_adapter, episode, fact, minute


def test_a_removed_fact_leaves_no_row_and_is_known_again(conn: Connection) -> None:
    add_fact(conn, fact("f1"), None, None)
    add_adapter(conn, fact_ids=("f1",))
    assert remove_facts(conn, ["f1"], NOW) == []
    with pytest.raises(UnknownRecordError):
        get_fact(conn, "f1")
    assert get_entries(conn, ANA.key, ["f1"]) == {}
    assert conn.exec_driver_sql("SELECT count(*) FROM adapter_facts").scalar_one() == 0
    assert is_buried(conn, ANA, "Ana is vegetarian.")


def chain(conn: Connection) -> None:
    for number, place in enumerate(("Oslo", "Rome", "Lyon")):
        add_fact(conn, replace(fact(f"f{number}", f"Ana lives in {place}."), quote=f"I live in {place}."), None, None)
    supersede(conn, "f0", "f1", minute(1))
    supersede(conn, "f1", "f2", minute(2))


def test_what_a_removed_fact_had_superseded_is_told_again(conn: Connection) -> None:
    chain(conn)
    assert remove_facts(conn, ["f2"], NOW) == ["f1"]
    assert (get_fact(conn, "f1").state, get_fact(conn, "f1").valid_to) == ("active", None)
    assert get_fact(conn, "f0").state == "superseded"


def test_a_gap_in_a_line_of_facts_is_closed(conn: Connection) -> None:
    chain(conn)
    assert remove_facts(conn, ["f1"], NOW) == []
    assert (get_fact(conn, "f0").superseded_by, get_fact(conn, "f0").state) == ("f2", "superseded")


def test_a_whole_line_can_go_and_so_can_its_end(conn: Connection) -> None:
    chain(conn)
    assert remove_facts(conn, ["f2", "f1"], NOW) == ["f0"]
    assert remove_facts(conn, ["f0"], NOW) == []


def test_a_turn_is_replaced_and_the_original_comes_back_neither_by_retry_nor_anew(conn: Connection) -> None:
    original = episode("e1", "My passport is XQ-77. I drink tea.", "Do you ship on Mondays?")
    add_episode(conn, original, None, None)
    cut_episode(conn, original, {0: "I drink tea."}, (None, {}), NOW)
    assert [turn.content for turn in get_episode(conn, ANA, "e1").turns] == ["I drink tea.", "Do you ship on Mondays?"]
    assert seqs_with(conn, "passport", ANA.key).tolist() == []
    assert not add_episode(conn, original, None, None)
    add_episode(conn, replace(original, id="e2"), None, None)
    assert get_episode(conn, ANA, "e2").turns[0].content == FORGOTTEN_TURN


def test_an_episode_goes_with_its_turns_after_the_facts_that_rest_on_it(conn: Connection) -> None:
    for id in ("e1", "e2"):
        add_episode(conn, episode(id), None, None)
    both = (Source(episode_id="e1", turn=0), Source(episode_id="e2", turn=0))
    add_fact(conn, replace(fact("f1"), sources=both), None, None)
    assert facts_resting_on(conn, ANA, ["e1", "e2"]) == ["f1"]
    remove_facts(conn, ["f1"], NOW)
    remove_episodes(conn, ANA, ["e1"], NOW)
    with pytest.raises(UnknownRecordError):
        get_episode(conn, ANA, "e1")
    assert {one.id for one in entries_at(conn, seqs_with(conn, "vegetarian", ANA.key).tolist()).values()} == {"e2:0"}


def test_reports_lose_the_fact_what_was_asked_of_it_and_every_reply(conn: Connection) -> None:
    report = {
        "facts": [{"fact_id": "f1", "text": "Ana is vegetarian."}, {"fact_id": "f2", "text": "Ana sails."}],
        "evaluation": {"held_out": [{"question": {"fact_id": "f1"}, "reply": "x"}, {"question": {"fact_id": "f2"}, "reply": 'no "meat"'}]},
    }
    for id, text in (("c1", json.dumps(report)), ("c2", "{}")):
        start_cycle(conn, id, ANA, 0, NOW)
        end_cycle(conn, id, "promoted", f"as for f1 in {id}" if id == "c1" else "fine", text, NOW)
    assert scrub_reports(conn, ANA, ["f1"], ["Ana is vegetarian."]) == 1
    kept = {row.id: row for row in list_cycles(conn, ANA)}
    assert json.loads(kept["c1"].report or "") == {
        "facts": [{"fact_id": "f2", "text": "Ana sails."}],
        "evaluation": {"held_out": [{"question": {"fact_id": "f2"}, "reply": ""}]},
    }
    assert "f1" not in (kept["c1"].reason or "")
    assert (kept["c2"].reason, kept["c2"].report) == ("fine", "{}")


def test_a_text_that_json_spells_otherwise_is_found_in_a_report(conn: Connection) -> None:
    start_cycle(conn, "c1", ANA, 0, NOW)
    end_cycle(conn, "c1", "promoted", "fine", json.dumps({"note": 'Ana said: "no meat"'}), NOW)
    assert scrub_reports(conn, ANA, [], ['Ana said: "no meat"']) == 1
    assert json.loads(list_cycles(conn, ANA)[0].report or "") == {"note": FORGOTTEN_TURN}


def test_another_scope_s_reports_are_left_alone_and_those_that_inherit_are_not(conn: Connection) -> None:
    upper = ScopeId(agent="Support", user="ana")
    for number, scope in enumerate((SUPPORT, ANA, BEN, TENANT, upper)):
        start_cycle(conn, f"c{number}", scope, 0, NOW)
        end_cycle(conn, f"c{number}", "promoted", "as for e1", "{}", NOW)
    assert scrub_reports(conn, ANA, ["e1"], []) == 1
    assert scrub_reports(conn, SUPPORT, ["e1"], []) == 2
    assert [row.reason for row in list_cycles(conn, None) if row.scope in (TENANT, upper)] == ["as for e1", "as for e1"]


def test_a_scope_goes_from_every_table_and_leaves_the_others(conn: Connection) -> None:
    for scope in (ANA, BEN):
        add_adapter(conn, scope)
        add_episode(conn, episode(scope.key, scope=scope), None, None)
    remove_episodes(conn, ANA, [ANA.key], NOW)
    remove_scope(conn, ANA)
    dump = "\n".join(
        str(tuple(row)) for table in ("adapters", "cycles", "episodes", "entries") for row in conn.exec_driver_sql(f"SELECT * FROM {table}")
    )
    assert ANA.key not in dump
    assert BEN.key in dump


def test_an_erasure_is_unfinished_until_it_is_ended(conn: Connection) -> None:
    begin_erasure(conn, "r1", NOW, ["ana-v1"], {"facts": 1})
    assert unfinished_erasures(conn) == {"r1": ["ana-v1"]}
    end_erasure(conn, "r1", NOW)
    assert unfinished_erasures(conn) == {}
    assert "ana-v1" not in str(conn.exec_driver_sql("SELECT * FROM erasures").all())


def test_after_scrubbing_no_byte_of_removed_text_is_left_in_the_folder(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        with ledger.write() as conn:
            add_episode(conn, episode("e1", "my passport is xq77zebra"), None, None)
            add_episode(conn, episode("e2", "something else"), None, None)
        assert ledger.scrub()
        assert b"xq77zebra" in everything(tmp_path)
        with ledger.write() as conn:
            remove_episodes(conn, ANA, ["e1"], NOW)
        assert ledger.scrub()
        assert b"xq77zebra" not in everything(tmp_path)
        assert ledger.vacuum()
        assert b"something else" in everything(tmp_path)


def test_scrubbing_beside_a_reader_says_that_the_log_is_still_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(tmp_path) as ledger:
        with ledger.write() as conn:
            add_episode(conn, episode("e1"), None, None)
            conn.exec_driver_sql("PRAGMA busy_timeout=10")  # the writer's one connection: not half a minute in a test
        with ledger.read() as reader:
            reader.exec_driver_sql("SELECT count(*) FROM episodes").scalar_one()
            with ledger.write() as conn:
                add_episode(conn, episode("e2"), None, None)
            assert not ledger.scrub()
        assert ledger.scrub()


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
