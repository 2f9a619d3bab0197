"""The gate, in a table: which figures are let through."""

import math

import pytest

from seal_agent.config import GateSettings
from seal_agent.consolidation.gate import decide, drifted
from seal_agent.types import Decision, Evaluation, Graded, Question, Sheet

SETTINGS = GateSettings(min_gain=0.2, max_general_drop=0.05, max_retention_drop=0.05, max_perplexity_ratio=1.10)


def graded(right: int, of: int) -> tuple[Graded, ...]:
    return tuple(
        Graded(question=Question(id=str(n), text="?", answers=("x",)), reply="x" if n < right else "", correct=n < right) for n in range(of)
    )


def sheet(
    held_out: tuple[int, int] = (0, 10), general: tuple[int, int] = (50, 60), perplexity: float = 20.0, retained: tuple[int, int] = (0, 0)
) -> Sheet:
    """(right, asked) of each."""
    return Sheet(adapter=None, held_out=graded(*held_out), retained=graded(*retained), general=graded(*general), perplexity=perplexity)


GOOD = sheet(held_out=(8, 10))


def judge(candidate: Sheet, baseline: Sheet | None = None, incumbent: Sheet | None = None) -> Decision:
    return decide(Evaluation(baseline=baseline or sheet(), candidate=candidate, incumbent=incumbent), SETTINGS)


def failed(decision: Decision) -> list[str]:
    return [check.name for check in decision.checks if not check.passed]


def test_a_candidate_that_learnt_and_harmed_nothing_is_promoted() -> None:
    decision = judge(GOOD)
    assert decision.verdict == "promote"
    assert decision.reasons == ()


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        pytest.param(sheet(held_out=(1, 10)), ["gain"], id="learnt too little"),
        pytest.param(sheet(held_out=(8, 10), general=(46, 60)), ["general"], id="forgot general knowledge"),
        pytest.param(sheet(held_out=(8, 10), perplexity=22.1), ["perplexity"], id="drifted"),
        pytest.param(sheet(held_out=(8, 10), perplexity=math.nan), ["perplexity"], id="perplexity is not a number"),
        pytest.param(sheet(held_out=(8, 10), perplexity=math.inf), ["perplexity"], id="perplexity is infinite"),
        pytest.param(sheet(held_out=(0, 0)), ["gain"], id="no held-out question"),
        pytest.param(sheet(held_out=(8, 10), general=(0, 0)), ["general"], id="no general question"),
        pytest.param(sheet(held_out=(0, 0), general=(0, 0)), ["gain", "general"], id="nothing was asked"),
        pytest.param(sheet(held_out=(0, 10), general=(0, 60), perplexity=99.0), ["gain", "general", "perplexity"], id="wrong in every way"),
    ],
)
def test_the_gate_rejects_and_names_every_reason(candidate: Sheet, why: list[str]) -> None:
    decision = judge(candidate)
    assert decision.verdict == "reject"
    assert failed(decision) == why
    assert len(decision.reasons) == len(why)


@pytest.mark.parametrize("perplexity", [math.nan, 0.0])
def test_a_baseline_that_can_not_be_measured_promotes_nothing(perplexity: float) -> None:
    baseline = sheet(perplexity=perplexity)
    if perplexity == 0.0:
        with pytest.raises(ZeroDivisionError):
            judge(GOOD, baseline)
    else:
        assert failed(judge(GOOD, baseline)) == ["perplexity"]


@pytest.mark.parametrize(
    "candidate",
    [
        pytest.param(sheet(held_out=(2, 10)), id="gain of exactly 20 points"),
        pytest.param(sheet(held_out=(8, 10), general=(47, 60)), id="3 of 60 general questions lost are exactly 5 points"),
        pytest.param(sheet(held_out=(8, 10), perplexity=22.0), id="perplexity of exactly 1.10"),
    ],
)
def test_a_figure_exactly_on_its_threshold_passes(candidate: Sheet) -> None:
    assert judge(candidate).verdict == "promote"


@pytest.mark.parametrize(("before", "after"), [((3, 10), (5, 10)), ((1, 10), (3, 10)), ((7, 10), (9, 10)), ((12, 20), (16, 20))])
def test_rounding_does_not_reject_a_gain_of_exactly_the_threshold(before: tuple[int, int], after: tuple[int, int]) -> None:
    assert judge(sheet(held_out=after), sheet(held_out=before)).verdict == "promote"


def test_gain_is_measured_against_what_the_base_knew_already() -> None:
    assert failed(judge(GOOD, sheet(held_out=(7, 10)))) == ["gain"]


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        pytest.param((18, 20), (17, 20), [], id="exactly 5 points lost"),
        pytest.param((18, 20), (16, 20), ["retention"], id="10 points lost"),
        pytest.param((10, 20), (20, 20), [], id="recalls more than the live adapter"),
    ],
)
def test_what_the_live_adapter_recalls_must_not_be_lost(before: tuple[int, int], after: tuple[int, int], why: list[str]) -> None:
    decision = judge(sheet(held_out=(8, 10), retained=after), incumbent=sheet(retained=before))
    assert failed(decision) == why


def test_a_first_night_has_nothing_to_retain() -> None:
    check = judge(GOOD).checks[-1]
    assert check.passed
    assert check.text == "no facts from earlier cycles"


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        pytest.param(sheet(held_out=(8, 10), perplexity=30.0), True, id="learnt, perplexity too high"),
        pytest.param(sheet(held_out=(8, 10), perplexity=math.nan), True, id="learnt, perplexity not a number"),
        pytest.param(sheet(held_out=(8, 10), general=(30, 60)), True, id="learnt, general questions lost"),
        pytest.param(sheet(held_out=(0, 10), perplexity=30.0), False, id="learnt nothing: a smaller scale would not help"),
        pytest.param(GOOD, False, id="harmed nothing"),
    ],
)
def test_only_a_candidate_that_learnt_and_harms_has_drifted(candidate: Sheet, expected: bool) -> None:
    assert drifted(Evaluation(baseline=sheet(), candidate=candidate), SETTINGS) is expected


def test_every_check_tells_its_figures_and_its_threshold() -> None:
    said = [check.text for check in judge(sheet(held_out=(1, 10), general=(40, 60), perplexity=30.0)).checks]
    assert said[0] == "held-out recall 0% -> 10% (at least +20%)"
    assert said[1] == "general questions 83.3% -> 66.7% (at most -5%)"
    assert said[2] == "perplexity on general text x1.500 (at most x1.10)"
