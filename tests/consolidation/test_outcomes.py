"""What a cycle made of each fact."""

import math
from dataclasses import replace

import pytest

from seal_agent.consolidation.outcomes import outcomes_of
from seal_agent.consolidation.preparing import Lesson
from seal_agent.consolidation.self_edit import Material
from seal_agent.types import Evaluation, Fact, FactOutcome, FactState, Graded, Question, SelfEdit, Sheet
from tests.consolidation.brains import HOME
from tests.consolidation.brains import fact as made

PORTO = made(HOME)


def outcome(
    answers: list[bool], *, logprobs: list[float | None] | None = None, promoted: bool = True, documents: int = 5, fact: Fact = PORTO
) -> FactOutcome:
    graded = tuple(
        Graded(
            question=Question(id=f"q{n}", text="?", answers=("Porto",), fact_id=PORTO.id),
            reply="",
            correct=right,
            logprob=logprobs[n] if logprobs else None,
        )
        for n, right in enumerate(answers)
    )
    other = Graded(question=Question(id="x", text="?", answers=("a",), fact_id="another"), reply="a", correct=True, logprob=0.0)
    sheet = Sheet(adapter=None, held_out=(*graded, other), retained=(), general=(), perplexity=1.0)
    item = SelfEdit(fact_id=PORTO.id, kind="question", prompt="?", answer="a", writer="floor")
    lesson = Lesson(
        facts=(fact,),
        taught=(PORTO.id,),
        material=Material(items=(item,) * documents, refused={}),
        held_out=(),
        earlier=(),
        examples=(),
        probes=(),
    )
    [found] = outcomes_of(lesson, Evaluation(baseline=sheet, candidate=sheet), promoted=promoted)
    return found


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ([True, True], "learned"),
        ([True, False], "learned"),
        ([False, False], "not_learned"),
        ([True, False, False], "not_learned"),
        ([True], "learned"),
        ([], "not_learned"),
    ],
)
def test_a_fact_is_learned_when_half_of_its_own_questions_are_answered(answers: list[bool], state: str) -> None:
    found = outcome(answers)
    assert (found.state, found.recalled, found.asked) == (state, sum(answers), len(answers))


def test_nothing_is_learned_from_a_candidate_that_was_not_promoted() -> None:
    found = outcome([True, True], promoted=False)
    assert (found.state, found.recalled) == ("not_learned", 2)


def test_the_probability_is_the_geometric_mean_over_its_questions() -> None:
    assert outcome([True, True], logprobs=[math.log(0.5), math.log(0.125)]).probability == pytest.approx(0.25)
    assert outcome([True, True], logprobs=[math.log(0.5), None]).probability == pytest.approx(0.5)


def test_a_fact_that_was_not_asked_for_has_no_probability() -> None:
    assert outcome([]).probability is None


@pytest.mark.parametrize("documents", [0, 1, 7])
def test_an_outcome_counts_the_material_of_its_fact(documents: int) -> None:
    assert outcome([True], documents=documents).documents == documents


@pytest.mark.parametrize(
    ("state", "answers", "regressed"),
    [("learned", [False, False], True), ("learned", [True], False), ("not_learned", [False], False), ("queued", [False], False)],
)
@pytest.mark.parametrize("promoted", [True, False])
def test_a_fact_that_an_earlier_cycle_had_learned_and_this_candidate_has_not_has_regressed(
    state: FactState, answers: list[bool], regressed: bool, promoted: bool
) -> None:
    assert outcome(answers, fact=replace(PORTO, state=state), promoted=promoted).regressed is regressed


def test_an_outcome_tells_how_often_the_rarest_part_of_its_fact_is_taught() -> None:
    found = outcome([True], documents=5)
    assert (found.rarest, found.diversity) == (0, 0.0)  # the material says "a" only, in the same words each time
