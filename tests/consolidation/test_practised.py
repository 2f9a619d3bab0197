"""What practice came to is told and taken back; a round says how long it takes, why it stopped, and whom it let judge."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from seal_agent.consolidation.editor import editor_of, policy_of
from seal_agent.consolidation.pace import Pace
from seal_agent.consolidation.practised import drop, practised
from seal_agent.consolidation.practising import PRACTICE, Practice
from seal_agent.consolidation.rewards import JUDGE
from seal_agent.errors import CycleInterruptedError, UnknownRecordError
from seal_agent.testing import InstantTrainer, ScriptedModel
from seal_agent.types import Example, TrainingResult, Turn
from tests.consolidation.brains import ANA, BEN, SUPPORT, Brain
from tests.consolidation.test_outer_loop import SAID, SMALL, Author, asked_of, hold


@pytest.fixture
def told(brain: Brain) -> Brain:
    """Enough facts for two contexts to judge on, and a model whose editor would help."""
    for text in SAID:
        brain.state(text)
    small = brain.with_settings(practice=SMALL | {"facts_per_context": 1})
    return small.with_parts(model=Author(asked_of(small)), trainer=InstantTrainer())


def test_before_anybody_has_practised_there_is_nothing_to_tell_or_take_back(brain: Brain) -> None:
    found = practised(brain.backends.ledger, ANA)
    assert (found.policy, found.editor, found.gain) == (None, None, None)
    with pytest.raises(UnknownRecordError, match="Nobody has practised in"):
        drop(brain.backends.ledger, ANA)


@pytest.mark.slow
def test_what_was_practised_is_told_and_taken_back_with_its_files_and_its_notebook(told: Brain) -> None:
    report = hold(told)
    assert report.state == "promoted", report.reason
    found = practised(told.backends.ledger, ANA)
    assert (found.policy, found.policy_scope, found.editor) == (report.policy, ANA, report.editor)
    assert (found.gain_before, found.gain) == (report.gain_untrained, report.gain_trained)
    with pytest.raises(UnknownRecordError):
        drop(told.backends.ledger, SUPPORT)
    assert [editor.name for editor in drop(told.backends.ledger, ANA)] == [report.editor]
    assert told.folders() == []
    assert not (told.backends.folder / PRACTICE).exists()
    assert (policy_of(told.backends, ANA), editor_of(told.backends, ANA)) == (None, None)
    with pytest.raises(UnknownRecordError):
        drop(told.backends.ledger, ANA)
    assert hold(told).state == "promoted"
    assert practised(told.backends.ledger, BEN).editor is None


def marks(prompt: Sequence[Turn]) -> str:
    return "5" if "Question: Why" in prompt[-1].content else "2, I'd say"


@pytest.mark.slow
@pytest.mark.parametrize("passed_in", [True, False])
def test_the_judge_is_the_writer_passed_in_or_the_model_itself_and_its_mean_mark_chooses(told: Brain, passed_in: bool) -> None:
    class Judging(Author):
        def generate(self, prompts: Sequence[Sequence[Turn]], **given: Any) -> Any:  # Any: as the fake's own
            if prompts and prompts[0][0].content == JUDGE:
                assert not passed_in, "the writer is the judge"
                return ScriptedModel(marks).generate(prompts)
            return super().generate(prompts, **given)

    writer = ScriptedModel(marks, id="strong") if passed_in else None
    brain = told.with_settings(practice=SMALL | {"reward": "judge"})  # too few contexts to promote: the second round is the first again
    brain = brain.with_parts(model=Judging(asked_of(brain)), writer=writer)
    report = hold(brain)
    values = {one.choosing for one in report.tried}
    assert all(value is not None and 0.25 <= value <= 1.0 for value in values)
    assert len(values) > 1
    assert all(one.reporting is None for one in report.tried)
    asked = 0 if writer is None else len(writer.calls)
    hold(brain)
    assert (0 if writer is None else len(writer.calls)) == asked  # marks are kept, a judge may cost money


def test_the_time_left_is_that_of_the_stage_and_steps_found_done_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    told = Pace()
    assert told.seconds_left("sample", 0, 8) is None
    now += 500.0
    assert told.seconds_left("inner loops", 0, 48) is None
    now += 0.2
    assert told.seconds_left("inner loops", 40, 48) is None  # all from the notebook
    now += 30.0
    assert told.seconds_left("inner loops", 42, 48) == pytest.approx(6 * 15.0)


class Stopped(InstantTrainer):
    def train(self, examples: Sequence[Example], **_: Any) -> TrainingResult:
        raise CycleInterruptedError("Training was stopped on request; nothing was promoted.")


def test_whoever_is_stopped_in_training_is_told_why_and_that_it_goes_on(told: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = told.with_parts(trainer=Stopped())
    with pytest.raises(CycleInterruptedError, match=r"practice of .* was stopped; the same call goes on"):
        hold(stopped)
    monkeypatch.setattr(Practice, "is_spent", lambda self: True)
    with pytest.raises(CycleInterruptedError, match=r"used up practice.max_minutes=240; the same call goes on"):
        hold(stopped)
