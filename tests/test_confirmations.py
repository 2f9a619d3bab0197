"""A plan is confirmed once, by who asked for it, and not for ever."""

import pytest

from seal_agent.confirmations import LIFETIME_SECONDS, MOST_PENDING, Confirmations
from seal_agent.errors import UsageError


class SetClock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_plan_is_given_back_once() -> None:
    pending = Confirmations[str]()
    token = pending.offer("ana", "all of it")
    assert pending.take("ana", token) == "all of it"
    with pytest.raises(UsageError, match="nothing to confirm"):
        pending.take("ana", token)


def test_another_owner_neither_gets_a_plan_nor_uses_it_up() -> None:
    pending = Confirmations[str]()
    token = pending.offer("ana", "all of it")
    with pytest.raises(UsageError, match="nothing to confirm"):
        pending.take("bruno", token)
    assert pending.take("ana", token) == "all of it"


def test_a_plan_ages() -> None:
    clock = SetClock()
    pending = Confirmations[str](clock)
    token = pending.offer("ana", "all of it")
    clock.now = LIFETIME_SECONDS
    with pytest.raises(UsageError, match="older than ten minutes"):
        pending.take("ana", token)


def test_plans_that_nobody_confirms_do_not_pile_up() -> None:
    pending = Confirmations[int]()
    tokens = [pending.offer("ana", number) for number in range(MOST_PENDING + 1)]
    with pytest.raises(UsageError, match="nothing to confirm"):
        pending.take("ana", tokens[0])
    assert pending.take("ana", tokens[-1]) == MOST_PENDING
