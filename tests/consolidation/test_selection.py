"""What a night works on, and whether there is anything to do."""

import numpy as np
import pytest

from seal_agent.consolidation.facts import Draft
from seal_agent.consolidation.selection import is_due, select, told_after
from seal_agent.ledger import episodes, facts
from seal_agent.types import Progress
from tests.consolidation.brains import ANA, BEN, CAR, DIET, HASHED, HOME, START, SUPPORT, Brain, fact


def due(brain: Brain) -> bool:
    selection = select(brain.backends, ANA)
    return is_due(ANA, selection, told_after(selection, []))


def test_episodes_that_were_read_and_those_of_others_are_left_out(brain: Brain) -> None:
    read, unread = brain.hear(DIET), brain.hear(HOME)
    brain.hear(CAR, scope=BEN)
    brain.hear(CAR, scope=SUPPORT)
    with brain.backends.ledger.write() as conn:
        episodes.mark_extracted(conn, ANA, [read.id], START)
    assert [episode.id for episode in select(brain.backends, ANA).episodes] == [unread.id]


def test_own_and_shared_facts_that_hold_are_taught_and_nobody_else_s(brain: Brain) -> None:
    own, shared, _ = brain.state(DIET, ANA), brain.state(HOME, SUPPORT), brain.state(CAR, BEN)
    brain.forget(brain.state("Old.", ANA).quote)
    assert [found.id for found, _ in select(brain.backends, ANA).told] == [own.id, shared.id]


@pytest.mark.parametrize(
    ("embedder", "numbers"), [(None, 0), ("another", 3), ("another", HASHED.dim)], ids=["missing", "shorter", "as long"]
)
def test_a_vector_that_is_of_no_use_is_made_here(brain: Brain, embedder: str | None, numbers: int) -> None:
    stated = fact(HOME)
    vector = None if embedder is None else np.ones(numbers, dtype=np.float32)
    with brain.backends.ledger.write() as conn:
        facts.add_fact(conn, stated, vector, embedder)
    [(_, found)] = select(brain.backends, ANA).told
    np.testing.assert_array_equal(found, HASHED.embed([HOME])[0])


def test_what_a_draft_replaces_is_no_longer_told(brain: Brain) -> None:
    old, kept = brain.state(HOME), brain.state(DIET)
    new = Draft(fact=fact("I live in Lisbon."), vector=HASHED.embed(["I live in Lisbon."])[0], supersedes=(old.id,))
    assert [found.id for found, _ in told_after(select(brain.backends, ANA), [new])] == [kept.id, new.fact.id]


def test_nothing_told_is_no_reason(brain: Brain) -> None:
    assert not due(brain)


def test_a_fact_that_nobody_tried_is_a_reason(brain: Brain) -> None:
    brain.state(HOME)
    assert due(brain)
    brain.night()
    assert not due(brain)


def test_a_shared_fact_that_this_scope_did_not_try_is_a_reason(brain: Brain) -> None:
    brain.hear(HOME, DIET)
    brain.night()
    brain.state(CAR, SUPPORT)
    assert due(brain)
    brain.night()
    assert not due(brain)


def test_another_user_s_fact_is_no_reason(brain: Brain) -> None:
    brain.state(CAR, BEN)
    assert not due(brain)


def test_a_fact_that_a_failed_night_did_not_get_to_is_still_a_reason(brain: Brain) -> None:
    brain.hear(HOME)

    def interrupt(step: Progress) -> None:
        if step.stage == "train":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        brain.night(progress=interrupt)
    assert due(brain)
