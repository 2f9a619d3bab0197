"""What is left of a cycle that was stopped or failed: nothing, and the next run succeeds."""

import errno
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from seal_agent.consolidation import settling
from seal_agent.errors import CycleInterruptedError, GenerationError, StoreFullError, TrainingError
from seal_agent.ledger.ledger import Ledger
from seal_agent.protocols import Trainer
from seal_agent.testing import InstantTrainer, ScriptedModel
from seal_agent.types import Example, Generation, Progress, TrainingResult, Turn
from tests.consolidation.brains import DIET, HOME, Brain, open_brain

BEFORE_THE_CYCLE = ("select", "facts")
WITHIN_THE_CYCLE = ("self-edits", "train", "evaluate", "settle")


class BrokenTrainer(InstantTrainer):
    """Writes some files, then finds that its loss is not a number."""

    def train(self, examples: Sequence[Example], *, out: Path, **_: Any) -> TrainingResult:  # Any: not looked at
        out.mkdir()
        (out / "half.bin").write_bytes(b"half")
        raise TrainingError("The loss is not a finite number; lower training.learning_rate.")


class Mute(ScriptedModel):
    """Answers until it is asked to write, or as soon as an adapter is asked."""

    def __init__(self, *, on_adapters: bool = False) -> None:
        super().__init__({})
        self._on_adapters = on_adapters

    def generate(
        self,
        prompts: Sequence[Sequence[Turn]],
        *,
        adapter: str | None = None,
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Generation]:
        if (adapter is not None) == self._on_adapters:
            raise GenerationError("The model ran out of memory.")
        return super().generate(prompts, adapter=adapter, max_tokens=max_tokens, temperature=temperature, seed=seed)


@pytest.fixture
def learnt(brain: Brain) -> Brain:
    """A brain after one night, with something new to learn."""
    brain.hear(DIET)
    assert brain.night().state == "promoted"
    brain.hear(HOME)
    return brain


def check_nothing_happened(brain: Brain, live: str | None, *, began: bool = True) -> None:
    """The old adapter answers, no file is left, the new fact waits, and a second try succeeds."""
    assert brain.live() == live
    assert brain.folders() == [live]
    assert [row.state for row in brain.cycles()] == ["promoted", "failed"][: 1 + began]
    assert brain.quotes("queued") == []
    assert brain.quotes("learned") == [DIET]
    assert brain.quotes("active") == [HOME][:began]
    model = brain.backends.model
    assert isinstance(model, ScriptedModel)
    assert [name for name in model.adapters if name != live] == []
    report = brain.with_parts(model=ScriptedModel({}), trainer=InstantTrainer()).night()
    assert report.state == "promoted"
    assert set(brain.quotes("learned")) == {DIET, HOME}
    assert brain.folders() == sorted([str(live), str(report.adapter)])


def check_it_goes_on(brain: Brain, live: str | None, *, began: bool = True) -> None:
    """The old adapter answers, what was done so far is kept, and the next night ends the cycle that was begun."""
    assert brain.live() == live
    assert [row.state for row in brain.cycles()] == ["promoted", "running"][: 1 + began]
    assert brain.quotes("learned") == [DIET]
    assert brain.quotes("queued") == [HOME][:began]
    model = brain.backends.model
    assert isinstance(model, ScriptedModel)
    assert [name for name in model.adapters if name != live] == []
    report = brain.night()
    assert report.state == "promoted"
    assert [row.state for row in brain.cycles()] == ["promoted", "promoted"]
    assert set(brain.quotes("learned")) == {DIET, HOME}
    assert brain.folders() == sorted([str(live), str(report.adapter)])
    assert list((brain.backends.folder / "cycles").iterdir()) == []


@pytest.mark.parametrize("stage", [*BEFORE_THE_CYCLE, *WITHIN_THE_CYCLE])
def test_after_ctrl_c_at_any_stage_the_next_night_goes_on(learnt: Brain, stage: str) -> None:
    live = learnt.live()

    def interrupt(step: Progress) -> None:
        if step.stage == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learnt.night(progress=interrupt)
    check_it_goes_on(learnt, live, began=stage in WITHIN_THE_CYCLE)


@pytest.mark.parametrize("stage", [*BEFORE_THE_CYCLE, *WITHIN_THE_CYCLE])
def test_after_a_stop_on_request_at_any_stage_the_next_night_goes_on(learnt: Brain, stage: str) -> None:
    live = learnt.live()
    reached = [before("")]

    def stop() -> bool:
        return stage in reached

    with pytest.raises(CycleInterruptedError, match="nothing was promoted"):
        learnt.night(progress=lambda step: reached.append(before(step.stage)), should_stop=stop)
    check_it_goes_on(learnt, live, began=stage in WITHIN_THE_CYCLE)


def before(stage: str) -> str:
    """The stage that is announced after this one."""
    order = ["", *BEFORE_THE_CYCLE, *WITHIN_THE_CYCLE, ""]
    return order[order.index(stage) + 1]


def test_a_stop_while_it_trains_is_heard(learnt: Brain) -> None:
    live = learnt.live()
    steps: list[int] = []

    def count(step: Progress) -> None:
        if step.stage == "train" and step.total > 1:
            steps.append(step.done)

    with pytest.raises(CycleInterruptedError):
        learnt.night(progress=count, should_stop=lambda: len(steps) == 3)
    assert steps == [1, 2, 3]
    check_it_goes_on(learnt, live)


def test_the_reason_of_a_failed_cycle_is_in_the_ledger_and_in_the_log(learnt: Brain, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(TrainingError):
        learnt.with_parts(trainer=BrokenTrainer()).night()
    failed = learnt.cycles()[-1]
    assert failed.reason == "TrainingError: The loss is not a finite number; lower training.learning_rate."
    assert failed.ended_at is not None
    assert f"cycle {failed.id} of default/support/ana failed: TrainingError" in caplog.text


@pytest.mark.parametrize("trainer", [BrokenTrainer()])
def test_a_trainer_that_fails_leaves_nothing_half_done(learnt: Brain, trainer: Trainer) -> None:
    live = learnt.live()
    with pytest.raises(TrainingError, match="not a finite number"):
        learnt.with_parts(trainer=trainer).night()
    check_nothing_happened(learnt, live)


@pytest.mark.parametrize("on_adapters", [False, True], ids=["while it writes", "while the candidate is asked"])
def test_a_model_that_fails_leaves_nothing_half_done(learnt: Brain, on_adapters: bool) -> None:
    live = learnt.live()
    broken = learnt.with_parts(model=Mute(on_adapters=on_adapters))
    with pytest.raises(GenerationError, match="out of memory"):
        broken.night()
    check_nothing_happened(learnt, live)


def test_a_full_disk_while_publishing_leaves_nothing_half_done(learnt: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    live = learnt.live()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("seal_agent.adapters.folder.os.fsync", full)
        with pytest.raises(StoreFullError, match="No space left"):
            learnt.night()
    check_nothing_happened(learnt, live)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StoreFullError("No space left on the device.")], ids=["Ctrl-C", "full disk"])
def test_a_failure_after_publishing_takes_the_adapter_back(learnt: Brain, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    live = learnt.live()
    check = check_it_goes_on if isinstance(error, KeyboardInterrupt) else check_nothing_happened

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(settling, "close", fail)
        with pytest.raises(type(error)):
            learnt.night()
    check(learnt, live)


def test_what_a_killed_process_had_published_does_not_stop_the_next_night(learnt: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    live = learnt.live()

    class Killed(BaseException):
        """Stands for the end of the process: nobody cleans up."""

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(settling, "close", die)
        patched.setattr("seal_agent.consolidation.run.close_failed", lambda *_: None)
        with pytest.raises(Killed):
            learnt.night()
    assert len(learnt.folders()) == 2
    ledger, folder = learnt.backends.ledger, learnt.backends.folder
    ledger.close()
    with Ledger.open(folder) as reopened:
        again = open_brain(folder, reopened)
        assert [row.state for row in again.cycles()] == ["promoted", "running"]
        report = again.night()
        assert report.state == "promoted"
        assert again.folders() == sorted([str(live), str(report.adapter)])


def test_facts_that_no_material_can_be_made_of_are_named_as_the_reason(brain: Brain) -> None:
    brain.hear(DIET)
    strict = brain.with_settings(self_edit={"min_documents_per_fact": 99})
    report = strict.night()
    assert report.state == "skipped"
    assert "self_edit.min_documents_per_fact" in report.reason
    assert brain.quotes("not_learned") == [DIET]
    assert brain.folders() == []
    assert strict.night().reason == "nothing new to learn"


def test_only_one_cycle_of_a_scope_runs_at_a_time(brain: Brain) -> None:
    brain.hear(DIET)
    inner: list[BaseException] = []

    def meanwhile(step: Progress) -> None:
        if step.stage == "train" and not inner:
            brain.hear(HOME)
            with pytest.raises(Exception, match="still running") as raised:
                brain.night()
            inner.append(raised.value)

    assert brain.night(progress=meanwhile).state == "promoted"
    assert len(inner) == 1
    assert brain.night().state == "promoted"


def test_candidates_are_unloaded_when_the_night_is_over(learnt: Brain) -> None:
    report = learnt.night()
    model = learnt.backends.model
    assert isinstance(model, ScriptedModel)
    assert not any(name.startswith("candidate") for name in model.adapters)
    assert report.seconds.keys() == {"select", "facts", "self-edits", "train", "evaluate"}


def test_stages_are_announced_in_order(learnt: Brain) -> None:
    said: list[str] = []
    learnt.night(progress=lambda step: said.append(step.stage))
    assert list(dict.fromkeys(said)) == [*BEFORE_THE_CYCLE, *WITHIN_THE_CYCLE]
