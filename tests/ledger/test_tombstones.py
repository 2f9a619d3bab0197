"""Forgetting: the rows go, the bytes go, the hash stays."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection

from seal_agent.errors import UnknownRecordError
from seal_agent.ledger.entries import entries_at, get_entries
from seal_agent.ledger.episodes import add_episode, get_episode
from seal_agent.ledger.facts import add_fact, get_fact, list_facts
from seal_agent.ledger.ledger import Ledger
from seal_agent.ledger.postings import seqs_with
from seal_agent.ledger.tombstones import forget_episode, forget_fact, is_forgotten
from seal_agent.types import Source
from tests.ledger.records import ANA, BEN, NOW, episode, fact


def test_a_forgotten_fact_is_known_again_by_its_statement_and_scope_alone(conn: Connection) -> None:
    add_fact(conn, fact("f1"), None, None)
    forget_fact(conn, "f1", NOW)
    forget_fact(conn, "f1", NOW)
    assert get_fact(conn, "f1").state == "forgotten"
    assert is_forgotten(conn, fact("drawn-again"))
    assert not is_forgotten(conn, fact("f1", scope=BEN))
    assert not is_forgotten(conn, fact("f1", "Ana eats meat."))


def test_a_forgotten_episode_takes_the_facts_that_rest_on_it(conn: Connection) -> None:
    for id in ("e1", "e2"):
        add_episode(conn, episode(id), None, None)
    both = (Source(episode_id="e1", turn=0), Source(episode_id="e2", turn=0))
    for id, sources in (("on-both", both), ("on-e2", both[1:]), ("on-none", ())):
        add_fact(conn, replace(fact(id), sources=sources), None, None)
    assert forget_episode(conn, "e1", NOW) == ["on-both"]
    assert [(f.id, f.state) for f in list_facts(conn, ANA)] == [("on-both", "forgotten"), ("on-e2", "active"), ("on-none", "active")]
    with pytest.raises(UnknownRecordError):
        get_episode(conn, "e1")
    assert get_entries(conn, ["e1:0", "on-both"]) == {}
    assert {one.id for one in entries_at(conn, seqs_with(conn, "vegetarian", ANA.key).tolist()).values()} == {"e2:0", "on-e2", "on-none"}


def test_after_scrubbing_no_byte_of_forgotten_text_is_left_in_the_folder(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        with ledger.write() as conn:
            add_episode(conn, episode("e1", "my passport is xq77zebra"), None, None)
            add_episode(conn, episode("e2", "something else"), None, None)
            add_fact(conn, replace(fact("f1", "Ana's passport is xq77zebra."), sources=(Source(episode_id="e1", turn=0),)), None, None)
        ledger.scrub()
        assert b"xq77zebra" in everything(tmp_path)
        with ledger.write() as conn:
            forget_episode(conn, "e1", NOW)
        ledger.scrub()
        assert b"xq77zebra" not in everything(tmp_path)
        assert b"something else" in everything(tmp_path)


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
