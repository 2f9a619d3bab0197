"""What a dry run tells, and that it changes nothing and asks no model."""

from collections.abc import Sequence

import pytest
from sqlalchemy import select

from seal_agent.consolidation.planning import JUDGING_SHARE
from seal_agent.ledger import schema
from seal_agent.testing import InstantTrainer, ScriptedModel
from seal_agent.types import Example
from tests.consolidation.brains import ALLERGY, DIET, HOME, LISBON, Brain

TABLES = (schema.episodes, schema.entries, schema.facts, schema.cycles, schema.adapters, schema.live, schema.live_history)


def rows(brain: Brain) -> list[object]:
    """The whole content of the ledger."""
    with brain.backends.ledger.read() as conn:
        return [tuple(row) for table in TABLES for row in conn.execute(select(table))]


def test_a_plan_tells_what_is_new_and_how_much_it_is_without_writing_anything(brain: Brain) -> None:
    brain.hear(DIET)
    brain.night()
    brain.hear(LISBON, ALLERGY)
    before, folders = rows(brain), brain.folders()
    plan = brain.plan()
    assert [found.quote for found in plan.new_facts] == [LISBON, ALLERGY]
    assert [found.quote for found in plan.replayed_facts] == [DIET]
    assert (plan.episodes, plan.reason) == (1, "2 facts are new")
    assert plan.estimated_tokens > 100
    assert rows(brain) == before
    assert brain.folders() == folders


def test_a_plan_names_the_facts_that_would_no_longer_hold(brain: Brain) -> None:
    brain.hear(HOME)
    brain.night()
    brain.hear(LISBON)
    assert brain.plan().superseded == (brain.facts()[0].id,)


def test_a_plan_with_nothing_new_counts_nothing(brain: Brain) -> None:
    brain.hear(DIET)
    brain.night()
    plan = brain.plan()
    assert (plan.new_facts, plan.estimated_tokens, plan.reason) == ((), 0, "nothing new to learn")


def test_a_plan_asks_no_model(brain: Brain) -> None:
    model = ScriptedModel({})
    brain.hear(DIET, HOME)
    brain.with_parts(model=model).plan()
    assert model.calls == []


class Slow(InstantTrainer):
    """Says that training takes a hundred seconds."""

    def estimate(self, examples: Sequence[Example]) -> tuple[int, float]:
        return 1, 100.0


def test_the_time_of_a_plan_leaves_room_for_judging_what_was_trained(brain: Brain) -> None:
    brain.hear(DIET)
    slow = brain.with_parts(trainer=Slow())
    assert slow.plan().estimated_seconds == 100 + 100 * JUDGING_SHARE
    took = slow.night().seconds["evaluate"]
    assert took > 0
    brain.hear(LISBON)
    assert slow.plan().estimated_seconds == pytest.approx(100 + took)
