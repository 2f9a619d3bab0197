"""Leases: one holder at a time, and a token by which one that was replaced is told from its successor."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection

from seal_agent.errors import CycleRunningError, LeaseLostError
from seal_agent.ledger import leases
from tests.ledger.records import ANA, BEN, NOW, minute


def test_a_lease_is_its_holder_s_until_it_runs_out(conn: Connection) -> None:
    first = leases.acquire(conn, ANA, "one", NOW, 60)
    with pytest.raises(CycleRunningError, match=r"still running \(one\)"):
        leases.acquire(conn, ANA, "two", NOW + timedelta(seconds=59), 60)
    assert leases.is_held(conn, ANA, NOW + timedelta(seconds=59))
    assert not leases.is_held(conn, ANA, minute(1))
    second = leases.acquire(conn, ANA, "two", minute(1), 60)
    assert second.token == first.token + 1


def test_another_scope_s_lease_is_another(conn: Connection) -> None:
    leases.acquire(conn, ANA, "one", NOW, 60)
    assert leases.acquire(conn, BEN, "two", NOW, 60).token == 1


def test_who_was_replaced_can_neither_act_nor_renew_nor_give_back(conn: Connection) -> None:
    first = leases.acquire(conn, ANA, "one", NOW, 60)
    second = leases.acquire(conn, ANA, "two", minute(2), 60)
    for act in (leases.check, lambda conn, lease: leases.renew(conn, lease, minute(2), 60)):
        with pytest.raises(LeaseLostError, match="taken over"):
            act(conn, first)
    leases.release(conn, first)
    assert leases.is_held(conn, ANA, minute(2))
    leases.check(conn, second)


def test_an_expired_lease_that_nobody_took_is_still_its_holder_s(conn: Connection) -> None:
    lease = leases.acquire(conn, ANA, "one", NOW, 60)
    leases.check(conn, lease)
    leases.renew(conn, lease, minute(9), 60)
    assert leases.is_held(conn, ANA, minute(9))


def test_a_lease_that_was_given_back_is_free_at_once(conn: Connection) -> None:
    lease = leases.acquire(conn, ANA, "one", NOW, 60)
    leases.release(conn, lease)
    assert leases.acquire(conn, ANA, "two", NOW, 60).token == lease.token + 1


def test_a_new_owner_of_the_ledger_takes_every_lease_from_whoever_held_it(conn: Connection) -> None:
    held = [leases.acquire(conn, scope, "one", NOW, 60) for scope in (ANA, BEN)]
    leases.release_all(conn)
    for lease in held:
        with pytest.raises(LeaseLostError):
            leases.check(conn, lease)
    assert leases.acquire(conn, ANA, "two", NOW, 60).token > held[0].token
