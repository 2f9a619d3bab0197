"""A match lends part of its score to the turns around it, and to nothing else."""

from typing import TYPE_CHECKING

import pytest

from seal_agent.retrieval.neighbours import lend
from seal_agent.types import ScopeId

if TYPE_CHECKING:
    from tests.retrieval.conftest import Brain


def test_two_turns_on_either_side_get_a_share() -> None:
    assert lend([("e:3", 1.0)], {"e:3": ("e", 3)}) == [("e:3", 1.0), ("e:4", 0.5), ("e:2", 0.5), ("e:5", 0.25), ("e:1", 0.25)]


def test_there_is_nothing_before_the_first_turn() -> None:
    assert [entry_id for entry_id, _ in lend([("e:0", 1.0)], {"e:0": ("e", 0)})] == ["e:0", "e:1", "e:2"]


def test_turns_that_match_beside_each_other_rise_together() -> None:
    ranking = [("a:9", 1.0), ("b:0", 0.8), ("b:1", 0.7)]
    lent = lend(ranking, {"a:9": ("a", 9), "b:0": ("b", 0), "b:1": ("b", 1)})
    assert [entry_id for entry_id, _ in lent][:3] == ["b:0", "b:1", "a:9"]
    assert dict(lent)["b:0"] == pytest.approx(0.8 + 0.5 * 0.7)


def test_facts_lend_nothing_and_keep_their_order() -> None:
    assert lend([("f2", 1.0), ("f1", 1.0)], {}) == [("f2", 1.0), ("f1", 1.0)]


def test_search_finds_the_answer_beside_the_matching_question(brain: "Brain") -> None:
    ana, ben = ScopeId(user="ana"), ScopeId(user="ben")
    brain.record(ana, "good morning", "where will you move to?", "Ghent, in May", "how nice", "see you", "unrelated chatter")
    brain.record(ana, *[f"small talk number {number}" for number in range(20)])
    brain.record(ben, "Ghent is where ben lives")
    found = [hit.text for hit in brain.searcher(dense_weight=0.0).search(ana, "where does she move?")]
    assert found == ["where will you move to?", "Ghent, in May", "good morning", "how nice"]  # see you: three turns away
