"""Live pointers: promotion, the way back, the way forward, and whose adapter a scope answers with."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from seal_agent.errors import UnknownRecordError, UsageError
from seal_agent.ledger.adapters import live_adapter, nearest_live, next_live, previous_live, set_adapter_state, set_live
from seal_agent.ledger.ledger import Ledger
from seal_agent.types import ScopeId
from tests.ledger.records import ANA, BEN, NOW, SUPPORT, TENANT, add_adapter, minute


def live_name(conn: Connection) -> str | None:
    adapter = live_adapter(conn, ANA)
    return adapter.name if adapter else None


def roll_back(conn: Connection) -> bool:
    possible, name = previous_live(conn, ANA)
    if possible:
        set_live(conn, ANA, name, NOW, "rolled back")
    return possible


def roll_forward(conn: Connection) -> bool:
    possible, name = next_live(conn, ANA)
    if possible:
        set_live(conn, ANA, name, NOW, "rolled forward")
    return possible


def test_a_scope_begins_with_the_base_and_nothing_to_undo(conn: Connection) -> None:
    assert live_adapter(conn, ANA) is None
    assert previous_live(conn, ANA) == (False, None)
    assert next_live(conn, ANA) == (False, None)


def test_rolling_back_goes_step_by_step_to_the_base_and_forward_again(conn: Connection) -> None:
    names = [add_adapter(conn).name for _ in range(3)]
    for name in names:
        set_live(conn, ANA, name, NOW, "promoted")
    back = []
    while roll_back(conn):
        back.append(live_name(conn))
    assert back == [names[1], names[0], None]
    forward = []
    while roll_forward(conn):
        forward.append(live_name(conn))
    assert forward == names


def test_a_promotion_after_a_roll_back_returns_to_what_was_live_not_to_what_was_undone(conn: Connection) -> None:
    a, b, c = (add_adapter(conn).name for _ in range(3))
    for name in (a, b):
        set_live(conn, ANA, name, NOW, "promoted")
    roll_back(conn)
    set_live(conn, ANA, c, NOW, "promoted")
    assert next_live(conn, ANA) == (False, None)
    assert previous_live(conn, ANA) == (True, a)


def test_a_banned_adapter_is_passed_over_on_the_way_back_and_forward(conn: Connection) -> None:
    a, b, c = (add_adapter(conn).name for _ in range(3))
    for name in (a, b, c):
        set_live(conn, ANA, name, NOW, "promoted")
    set_adapter_state(conn, b, "quarantined")
    assert previous_live(conn, ANA) == (True, a)
    roll_back(conn)
    roll_back(conn)
    assert live_name(conn) is None
    assert next_live(conn, ANA) == (True, a)
    set_adapter_state(conn, a, "quarantined")
    assert next_live(conn, ANA) == (True, c)


def test_the_base_is_where_back_leads_when_every_predecessor_is_banned(conn: Connection) -> None:
    a, b = (add_adapter(conn).name for _ in range(2))
    for name in (a, b):
        set_live(conn, ANA, name, NOW, "promoted")
    set_adapter_state(conn, a, "quarantined")
    assert previous_live(conn, ANA) == (True, None)
    roll_back(conn)
    assert (live_name(conn), previous_live(conn, ANA)) == (None, (False, None))


def test_setting_what_is_live_already_changes_nothing(conn: Connection) -> None:
    a, b = (add_adapter(conn).name for _ in range(2))
    for name in (a, b, b):
        set_live(conn, ANA, name, NOW, "promoted")
    assert previous_live(conn, ANA) == (True, a)
    assert conn.execute(text("SELECT count(*) FROM live_history")).scalar_one() == 2


def test_history_keeps_every_change_with_its_time_and_reason(conn: Connection) -> None:
    a = add_adapter(conn).name
    set_live(conn, ANA, a, minute(1), "cycle c1 promoted it")
    set_live(conn, ANA, None, minute(2), "customer complained")
    rows = conn.execute(text("SELECT adapter, reason FROM live_history ORDER BY seq")).all()
    assert [tuple(row) for row in rows] == [(a, "cycle c1 promoted it"), (None, "customer complained")]


@pytest.mark.parametrize("state", ["rejected", "quarantined"])
def test_a_banned_adapter_never_becomes_live(conn: Connection, state: str) -> None:
    adapter = add_adapter(conn)
    set_adapter_state(conn, adapter.name, state)  # type: ignore[arg-type]  # both are states
    with pytest.raises(UsageError, match=f"is {state} and can't be live"):
        set_live(conn, ANA, adapter.name, NOW, "promoted")
    assert live_adapter(conn, ANA) is None


def test_an_adapter_is_live_in_its_own_scope_only(conn: Connection) -> None:
    adapter = add_adapter(conn)
    for other in (BEN, SUPPORT, TENANT, ScopeId(agent="support", user="ANA")):
        with pytest.raises(UsageError, match="can't be live there"):
            set_live(conn, other, adapter.name, NOW, "promoted")
    with pytest.raises(UnknownRecordError, match="'nope'"):
        set_live(conn, ANA, "nope", NOW, "promoted")


def test_a_request_uses_the_nearest_scope_that_has_a_live_adapter(conn: Connection) -> None:
    assert nearest_live(conn, ANA) is None
    for scope in (TENANT, SUPPORT, ANA):
        adapter = add_adapter(conn, scope)
        set_live(conn, scope, adapter.name, NOW, "promoted")
        found = nearest_live(conn, ANA)
        assert found is not None
        assert (found.name, found.live) == (adapter.name, True)
    set_live(conn, ANA, None, NOW, "rolled back")
    found = nearest_live(conn, ANA)
    assert found is not None
    assert found.scope == SUPPORT
    assert live_adapter(conn, ANA) is None
    bens = nearest_live(conn, BEN)
    assert bens is not None
    assert bens.scope == SUPPORT


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """One ledger for all examples: opening one for each would cost most of the time."""
    with Ledger.open(tmp_path_factory.mktemp("live") / "brain") as ledger:
        yield ledger


@settings(max_examples=60, deadline=None)
@given(moves=st.lists(st.sampled_from(["promote", "back", "forward"]), max_size=14))
def test_any_run_of_promotions_and_rolls_behaves_like_an_undo_list(shared: Ledger, moves: list[str]) -> None:
    undo: list[str | None] = [None]
    redo: list[str | None] = []
    with shared.write() as conn, conn.begin_nested() as savepoint:
        for move in moves:
            if move == "promote":
                undo.append(add_adapter(conn).name)
                redo.clear()
                set_live(conn, ANA, undo[-1], NOW, "promoted")
            elif move == "back":
                assert roll_back(conn) == (len(undo) > 1)
                if len(undo) > 1:
                    redo.append(undo.pop())
            else:
                assert roll_forward(conn) == bool(redo)
                if redo:
                    undo.append(redo.pop())
            assert live_name(conn) == undo[-1]
        savepoint.rollback()
