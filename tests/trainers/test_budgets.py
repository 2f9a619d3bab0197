"""A budget ends a training with what it has, never beyond it; what the clock cut short comes out again when its tokens are the budget."""

from pathlib import Path

import pytest

from seal_agent.config import TrainingSettings
from seal_agent.errors import TrainingError
from seal_agent.models.local import LocalModel
from seal_agent.trainers import seal, watch
from seal_agent.trainers.seal import SealTrainer
from seal_agent.types import Example, Progress, TrainingResult, silent
from tests.chat_models import FACTS, teach, tiny_trainer


class Clock:
    """Seconds that pass with each step, and a moment with each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1e-6
        return self.now

    def tick(self, _: Progress) -> None:
        self.now += 1.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watch, "time", clock)
    return clock


def timed(model: LocalModel, clock: Clock, out: Path, minutes: float) -> TrainingResult:
    return tiny_trainer(model, max_minutes=minutes).train(
        FACTS, probes=(), out=out, seed=0, progress=clock.tick, should_stop=lambda: False, checkpoint=out.parent / "passes.bin"
    )


def bytes_of(result: TrainingResult) -> bytes:
    return (result.path / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize(("minutes", "steps", "passes"), [(4.5 / 60, 5, 3), (3.5 / 60, 4, 2), (0.5 / 60, 1, 1)])
def test_the_clock_ends_a_training_with_the_steps_that_it_has(
    minutes: float, steps: int, passes: int, chat_model: LocalModel, clock: Clock, tmp_path: Path
) -> None:
    result = timed(chat_model, clock, tmp_path / "out", minutes)
    assert (result.budget, result.steps, result.passes, len(result.losses)) == ("minutes", steps, passes, passes)
    assert not result.stopped_early
    assert result.seconds == pytest.approx(steps, abs=1e-3)


def test_what_the_clock_cut_short_comes_out_again_with_its_tokens_as_the_budget(
    chat_model: LocalModel, clock: Clock, tmp_path: Path
) -> None:
    cut = timed(chat_model, clock, tmp_path / "cut", 4.5 / 60)
    again = teach(chat_model, FACTS, tmp_path / "again", max_tokens=cut.trained_tokens)
    assert (again.budget, again.steps) == ("tokens", cut.steps)
    assert bytes_of(again) == bytes_of(cut)


def test_tokens_are_never_more_than_allowed(chat_model: LocalModel, tmp_path: Path) -> None:
    whole = teach(chat_model, FACTS, tmp_path / "whole", max_passes=4)
    most = whole.trained_tokens - 1
    result = teach(chat_model, FACTS, tmp_path / "out", max_passes=4, max_tokens=most)
    assert result.trained_tokens <= most
    assert (result.budget, result.steps) == ("tokens", whole.steps - 1)
    enough = teach(chat_model, FACTS, tmp_path / "enough", max_passes=4, max_tokens=whole.trained_tokens)
    assert enough.budget is None
    assert bytes_of(enough) == bytes_of(whole)


@pytest.mark.parametrize(("setting", "value"), [("max_tokens", 3), ("max_minutes", 1e-9)])
def test_a_budget_without_room_for_a_step_is_an_error_that_names_it(
    setting: str, value: float, chat_model: LocalModel, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=rf"training\.{setting}={value:g} leaves no room for a single step"):
        tiny_trainer(chat_model, **{setting: value}).train(
            FACTS, probes=(), out=tmp_path / "out", seed=0, progress=silent, should_stop=lambda: False
        )
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_was_taken_up_counts_the_time_it_took_before(chat_model: LocalModel, clock: Clock, tmp_path: Path) -> None:
    def interrupted(step: Progress) -> None:
        clock.tick(step)
        if step.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny_trainer(chat_model, max_minutes=4.5 / 60).train(
            FACTS,
            probes=(),
            out=tmp_path / "out",
            seed=0,
            progress=interrupted,
            should_stop=lambda: False,
            checkpoint=tmp_path / "passes.bin",
        )
    clock.now = 1000.0
    result = timed(chat_model, clock, tmp_path / "out", 4.5 / 60)
    assert (result.budget, result.steps) == ("minutes", 5)
    assert result.seconds == pytest.approx(5, abs=1e-3)


def test_an_estimate_is_within_the_budgets(chat_model: LocalModel) -> None:
    tokens, seconds = tiny_trainer(chat_model, max_tokens=7, max_minutes=1e-9).estimate(FACTS)
    assert tokens == 7
    assert seconds == pytest.approx(6e-8)


def test_seal_s_recipe_keeps_to_budgets_as_well(chat_model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "PADDED_ON_CPU", 16)
    documents = [Example(prompt=(), answer=text, fact_id="f") for text in ("ana lives in oslo", "ben eat rice")]
    trainer = SealTrainer(chat_model, TrainingSettings(objective="seal", max_tokens=20))
    result = trainer.train(documents, probes=(), out=tmp_path / "out", seed=0, progress=silent, should_stop=lambda: False)
    assert result.budget == "tokens"
    assert 0 < result.trained_tokens <= 20
    assert result.steps < 20
    assert trainer.estimate(documents)[0] == 20
