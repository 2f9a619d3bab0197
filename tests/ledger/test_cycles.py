"""Cycles: begun once, ended once, and never left running by a process that died."""

import pytest
from sqlalchemy import Connection

from seal_agent.errors import UnknownRecordError, UsageError
from seal_agent.ledger.cycles import CycleRow, end_cycle, fail_running, list_cycles, start_cycle
from seal_agent.ledger.facts import add_fact, get_fact, set_fact_state
from tests.ledger.records import ANA, BEN, NOW, SUPPORT, fact, minute


def test_a_cycle_comes_back_with_how_it_ended(conn: Connection) -> None:
    start_cycle(conn, "c1", ANA, 7, NOW)
    end_cycle(conn, "c1", "rejected", "it forgets", '{"gain": 0.1}', minute(3))
    assert list_cycles(conn, ANA) == [
        CycleRow(
            id="c1", scope=ANA, state="rejected", seed=7, started_at=NOW, ended_at=minute(3), reason="it forgets", report='{"gain": 0.1}'
        )
    ]


def test_cycles_are_listed_by_scope_in_the_order_they_began(conn: Connection) -> None:
    for id, scope in (("c2", ANA), ("c1", BEN), ("c3", ANA)):
        start_cycle(conn, id, scope, 0, NOW)
        end_cycle(conn, id, "skipped", "nothing new", "{}", NOW)
    assert [c.id for c in list_cycles(conn, ANA)] == ["c2", "c3"]
    assert [c.id for c in list_cycles(conn, None)] == ["c2", "c1", "c3"]
    assert list_cycles(conn, SUPPORT) == []


def test_one_cycle_per_scope_runs_at_a_time(conn: Connection) -> None:
    start_cycle(conn, "c1", ANA, 0, NOW)
    start_cycle(conn, "other", BEN, 0, NOW)
    with pytest.raises(UsageError, match=r"'c1' of .* still running"):
        start_cycle(conn, "c2", ANA, 0, NOW)
    end_cycle(conn, "c1", "failed", "out of memory", "null", NOW)
    start_cycle(conn, "c2", ANA, 0, NOW)
    with pytest.raises(UsageError, match="taken"):
        start_cycle(conn, "c1", SUPPORT, 0, NOW)


def test_a_cycle_ends_once_with_a_report_that_is_json(conn: Connection) -> None:
    start_cycle(conn, "c1", ANA, 0, NOW)
    with pytest.raises(UsageError, match="not JSON"):
        end_cycle(conn, "c1", "failed", "why", "{", NOW)
    with pytest.raises(UsageError, match="can't end as 'running'"):
        end_cycle(conn, "c1", "running", "why", "{}", NOW)
    end_cycle(conn, "c1", "promoted", "why", "{}", NOW)
    with pytest.raises(UsageError, match="already ended as 'promoted'"):
        end_cycle(conn, "c1", "failed", "why", "{}", NOW)
    with pytest.raises(UnknownRecordError, match="'nope'"):
        end_cycle(conn, "nope", "failed", "why", "{}", NOW)


def test_failing_what_runs_frees_its_queued_facts_and_nothing_else(conn: Connection) -> None:
    start_cycle(conn, "done", ANA, 0, NOW)
    end_cycle(conn, "done", "promoted", "it helps", "{}", NOW)
    start_cycle(conn, "c1", ANA, 0, NOW)
    for id, state in (("f1", "queued"), ("f2", "not_learned")):
        add_fact(conn, fact(id), None, None)
        set_fact_state(conn, id, state)  # type: ignore[arg-type]  # both are states
    assert fail_running(conn, minute(1), "killed") == ["c1"]
    assert [(c.id, c.state, c.reason) for c in list_cycles(conn, ANA)] == [("done", "promoted", "it helps"), ("c1", "failed", "killed")]
    assert get_fact(conn, "f1").state == "active"
    assert get_fact(conn, "f2").state == "not_learned"
    assert fail_running(conn, minute(2), "again") == []
