"""Adapters: registered once, bound to what their scope may see, banned for good."""

from dataclasses import replace

import pytest
from sqlalchemy import Connection, text

from seal_agent.errors import UnknownRecordError, UsageError
from seal_agent.ledger.adapters import (
    get_adapter,
    learned_facts,
    list_adapters,
    next_version,
    record_learning,
    register_adapter,
    set_adapter_state,
    set_live,
)
from seal_agent.ledger.facts import add_fact
from seal_agent.types import ScopeId
from tests.ledger.records import ANA, BEN, NOW, SUPPORT, TENANT, add_adapter, fact


def test_an_adapter_comes_back_exactly_with_its_facts_in_order(conn: Connection) -> None:
    for id, scope in (("z", ANA), ("a", ANA), ("shared", SUPPORT), ("all", TENANT)):
        add_fact(conn, fact(id, scope=scope), None, None)
    adapter = add_adapter(conn, fact_ids=("z", "shared", "a", "all"))
    assert get_adapter(conn, adapter.name) == adapter
    assert list_adapters(conn, ANA) == [adapter]


def test_versions_count_up_per_exact_scope(conn: Connection) -> None:
    assert next_version(conn, ANA) == 1
    add_adapter(conn)
    add_adapter(conn, BEN)
    assert (next_version(conn, ANA), next_version(conn, BEN), next_version(conn, SUPPORT)) == (2, 2, 1)
    assert next_version(conn, ScopeId(agent="support", user="Ana")) == 1


def test_a_name_or_a_version_is_used_once(conn: Connection) -> None:
    adapter = add_adapter(conn)
    for again in (adapter, replace(adapter, name="another"), replace(adapter, version=9), replace(adapter, version=0, name="n")):
        with pytest.raises(UsageError):
            register_adapter(conn, again)


def test_an_adapter_trained_on_another_users_fact_is_refused(conn: Connection) -> None:
    add_fact(conn, fact("bens", scope=BEN), None, None)
    with pytest.raises(UnknownRecordError, match="sees no fact 'bens'"):
        add_adapter(conn, ANA, ("bens",))


def test_an_adapter_of_a_shared_scope_holds_no_users_fact(conn: Connection) -> None:
    add_fact(conn, fact("anas"), None, None)
    with pytest.raises(UnknownRecordError, match="sees no fact 'anas'"):
        add_adapter(conn, SUPPORT, ("anas",))


def test_an_unknown_cycle_or_a_parent_of_another_scope_is_refused(conn: Connection) -> None:
    adapter, bens = add_adapter(conn), add_adapter(conn, BEN)
    second = replace(adapter, name="second", version=2)
    with pytest.raises(UnknownRecordError, match="no cycle 'nope'"):
        register_adapter(conn, replace(second, cycle_id="nope"))
    with pytest.raises(UnknownRecordError, match="no parent"):
        register_adapter(conn, replace(second, parent=bens.name))
    register_adapter(conn, replace(second, parent=adapter.name))


def test_the_live_flag_is_the_pointers_not_the_records(conn: Connection) -> None:
    first, second = add_adapter(conn), add_adapter(conn)
    set_live(conn, ANA, second.name, NOW, "promoted")
    assert [(a.name, a.live) for a in list_adapters(conn, None)] == [(first.name, False), (second.name, True)]


def test_a_live_adapter_can_not_be_banned_and_a_quarantine_is_for_good(conn: Connection) -> None:
    adapter = add_adapter(conn)
    set_live(conn, ANA, adapter.name, NOW, "promoted")
    with pytest.raises(UsageError, match="roll back first"):
        set_adapter_state(conn, adapter.name, "quarantined")
    set_live(conn, ANA, None, NOW, "rolled back")
    set_adapter_state(conn, adapter.name, "quarantined")
    with pytest.raises(UsageError, match="for good"):
        set_adapter_state(conn, adapter.name, "promoted")
    assert get_adapter(conn, adapter.name).state == "quarantined"


def test_learning_is_noted_per_fact_of_the_adapter(conn: Connection) -> None:
    for id in ("f1", "f2", "f3"):
        add_fact(conn, fact(id), None, None)
    adapter = add_adapter(conn, fact_ids=("f1", "f2"))
    record_learning(conn, adapter.name, [("f1", False, 0.1), ("f2", True, 0.9)])
    rows = conn.execute(text("SELECT fact_id, learned, probability FROM adapter_facts ORDER BY fact_id")).all()
    assert [tuple(row) for row in rows] == [("f1", 0, 0.1), ("f2", 1, 0.9)]
    assert learned_facts(conn, adapter.name) == ["f2"]
    with pytest.raises(UnknownRecordError, match="not trained on a fact 'f3'"):
        record_learning(conn, adapter.name, [("f3", True, None)])
    with pytest.raises(UsageError, match="not in"):
        record_learning(conn, adapter.name, [("f1", True, 1.1)])


def test_an_unknown_name_is_named(conn: Connection) -> None:
    with pytest.raises(UnknownRecordError, match="'nope'"):
        get_adapter(conn, "nope")
    with pytest.raises(UnknownRecordError, match="'nope'"):
        set_adapter_state(conn, "nope", "promoted")
