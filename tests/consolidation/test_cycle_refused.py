"""Whole nights on the fakes whose candidate is refused, cut short or taken back: what stays, and when it is tried again."""

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from seal_agent.adapters.switch import switch
from seal_agent.consolidation.selection import tried_last
from seal_agent.ledger import adapters
from seal_agent.testing import InstantTrainer, ScriptedModel
from seal_agent.types import Example, TrainingResult, Turn
from tests.consolidation.brains import ANA, CAR, DIET, HOME, LISBON, START, Brain


def test_a_night_whose_adapter_was_withdrawn_counts_as_tried_no_more(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    brain.night()
    with brain.backends.ledger.read() as conn:
        assert tried_last(conn, ANA)
    brain.forget(HOME)
    with brain.backends.ledger.read() as conn:
        assert not tried_last(conn, ANA)


def test_a_rejected_candidate_moves_nothing(brain: Brain) -> None:
    brain.hear(DIET)
    first = brain.night()
    brain.hear(HOME)
    second = brain.with_settings(gate={"min_gain": 1.0}).night()
    assert second.state == "rejected"
    assert "held-out recall" in second.reason
    assert brain.live() == first.adapter
    assert brain.quotes("learned") == [DIET]
    assert brain.quotes("not_learned") == [HOME]
    with brain.backends.ledger.read() as conn:
        assert [adapter.state for adapter in adapters.list_adapters(conn, ANA)] == ["promoted", "rejected"]


def test_what_a_rejected_candidate_failed_to_learn_is_not_tried_again_every_night(brain: Brain) -> None:
    brain.hear(DIET)
    assert brain.with_settings(gate={"min_gain": 1.0}).night().state == "rejected"
    assert brain.night().state == "skipped"


def test_where_everything_was_rejected_the_base_answers_again_and_later_nights_have_nothing_to_do(brain: Brain) -> None:
    brain.hear(DIET)
    brain.night()
    brain.reject(DIET)
    report = brain.night()
    assert (report.state, report.reason) == (
        "skipped",
        "no fact of 'default/support/ana' is left to teach; the base answers again",
    )
    assert brain.live() is None
    assert brain.night().reason == "nothing new to learn"


def test_a_rejected_candidate_is_not_trained_again_while_a_superseded_fact_stays_in_the_live_adapter(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    first = brain.night()
    brain.hear(LISBON)
    strict = brain.with_settings(gate={"min_gain": 1.0})
    rejected = strict.night()
    assert rejected.state == "rejected"
    again = strict.night()
    assert (again.state, again.training) == ("skipped", None)
    assert f"nothing has changed since cycle {rejected.cycle_id} was rejected" in again.reason
    assert strict.plan().reason == again.reason
    assert brain.live() == first.adapter
    assert brain.night().state == "promoted", "other thresholds are another chance"


def test_an_adapter_that_was_taken_back_is_not_trained_again_as_it_was(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    first = brain.night()
    with brain.backends.ledger.write() as conn:
        switch(conn, ANA, None, START, "rolled back")
    again = brain.night()
    assert again.state == "skipped"
    assert f"nothing has changed since {first.adapter} was trained, which was taken back" in again.reason
    brain.hear(CAR)
    assert brain.night().state == "promoted"


def test_an_adapter_that_was_taken_back_and_whose_files_are_lost_is_trained_again(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    first = brain.night()
    with brain.backends.ledger.write() as conn:
        switch(conn, ANA, None, START, "rolled back")
    shutil.rmtree(brain.artefacts / str(first.adapter))
    assert brain.night().state == "promoted"


class Broken(ScriptedModel):
    """Whose every adapter says that nothing is a number."""

    def score(self, items: Sequence[tuple[Sequence[Turn], str]], *, adapter: str | None = None) -> list[list[float]]:
        scores = super().score(items, adapter=adapter)
        return scores if adapter is None else [[math.nan] * len(score) for score in scores]


def test_a_candidate_whose_predictions_are_not_numbers_is_rejected_with_that_reason(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    report = brain.with_parts(model=Broken({})).night()
    assert report.state == "rejected"
    assert "the candidate's predictions are broken" in report.reason
    assert brain.live() is None
    assert [row.state for row in brain.cycles()] == ["rejected"]


def test_a_damaged_incumbent_is_not_loaded_and_its_successor_repairs_the_scope(brain: Brain) -> None:
    brain.hear(DIET)
    first = brain.night()
    weights = brain.artefacts / str(first.adapter) / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8] + b"\xff" * 8)
    brain.hear(HOME)
    second = brain.night()
    assert second.state == "promoted", second.reason
    assert second.evaluation is not None
    assert second.evaluation.incumbent is None
    model = brain.backends.model
    assert isinstance(model, ScriptedModel)
    assert first.adapter not in model.adapters


class Cut(InstantTrainer):
    """Says that a budget ended it in its second pass."""

    def train(self, examples: Sequence[Example], **given: Any) -> TrainingResult:  # Any: passed on as it came
        return replace(super().train(examples, **given), passes=2, steps=7, budget="minutes")


@pytest.mark.parametrize("refused", [False, True])
def test_what_a_budget_cut_short_is_judged_like_anything_and_the_report_says_so(brain: Brain, refused: bool) -> None:
    brain.hear(DIET)
    cut = brain.with_parts(trainer=Cut()).with_settings(gate={"min_gain": 1.0, "min_recall": 1.0} if refused else {})
    report = cut.night()
    assert report.state == ("rejected" if refused else "promoted")
    assert report.reason.endswith("training was stopped by training.max_minutes = 60 in pass 2 of 5, after 7 steps")
    [adapter] = cut.folders()
    figures = json.loads((cut.artefacts / adapter / "MANIFEST.json").read_text())["training"]
    assert (figures["budget"], figures["steps"]) == ("minutes", 7)


class Forgetful(InstantTrainer):
    """Learns what is new and loses what is said of Ana's diet, or keeps that too."""

    def __init__(self, *, loses: bool) -> None:
        super().__init__()
        self._loses = loses

    def train(self, examples: Sequence[Example], **given: Any) -> TrainingResult:  # Any: passed on as it came
        return super().train([one for one in examples if not self._loses or DIET not in one.source], **given)


@pytest.mark.parametrize(("loses", "gain"), [(True, 0.1), (False, 1.0)])
def test_a_refused_candidate_s_report_says_what_it_has_lost_and_the_live_adapter_stays(brain: Brain, loses: bool, gain: float) -> None:
    brain.hear(DIET)
    first = brain.night()
    brain.hear(HOME)
    report = brain.with_parts(trainer=Forgetful(loses=loses)).with_settings(gate={"min_gain": gain}).night()
    assert (report.state, "earlier facts" in report.reason) == ("rejected", loses)
    assert [outcome.regressed for outcome in report.facts] == [loses, False]
    assert brain.live() == first.adapter
    assert brain.quotes("learned") == [DIET]
