"""A training that was killed goes on from its last pass and comes to the bytes of an undisturbed one; nothing else is taken up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seal_agent.models.local import LocalModel
from seal_agent.trainers import checkpoint
from seal_agent.types import Example, Progress, TrainingResult, silent
from tests.chat_models import ANCHORS, FACTS, fact, tiny_trainer

EXAMPLES = (*FACTS, *ANCHORS)
PROBES = (fact("where does ana go ? please", "ana lives in oslo ."), fact("zebra zebra", "london milk", fact_id="g"))
CHANGED: dict[str, Any] = {
    "max_passes": 6,
    "settled_share": 0.5,
    "target_loss": 0.01,
    "known_above": 0.3,
}  # Any: fields of TrainingSettings


class Killed(BaseException):
    """Stands for the end of the process: nobody cleans up."""


def train(
    model: LocalModel, out: Path, progress: Callable[[Progress], None] = silent, examples: tuple[Example, ...] = EXAMPLES, **changed: Any
) -> TrainingResult:  # Any: fields of TrainingSettings
    return tiny_trainer(model, **{**CHANGED, **changed}).train(
        examples, probes=PROBES, out=out, seed=0, progress=progress, should_stop=lambda: False, checkpoint=out.parent / "passes.bin"
    )


def killed_in(model: LocalModel, out: Path, step: int, **changed: Any) -> None:  # Any: fields of TrainingSettings
    def die(progress: Progress) -> None:
        if progress.done == step:
            raise Killed

    with pytest.raises(Killed):
        train(model, out, die, **changed)


def bytes_of(result: TrainingResult) -> bytes:
    return (result.path / "adapter_model.safetensors").read_bytes()


def steps_of(model: LocalModel, out: Path, **changed: Any) -> list[int]:  # Any: fields of TrainingSettings
    seen: list[int] = []
    train(model, out, lambda step: seen.append(step.done), **changed)
    return seen


@pytest.fixture(scope="module")
def undisturbed(shared_model: LocalModel, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return train(shared_model, tmp_path_factory.mktemp("undisturbed") / "out")


@pytest.mark.parametrize("steps", [(1,), (7, 10), (12,)])
def test_a_killed_training_comes_to_the_bytes_of_an_undisturbed_one(
    steps: tuple[int, ...], undisturbed: TrainingResult, chat_model: LocalModel, tmp_path: Path
) -> None:
    assert (undisturbed.passes, undisturbed.steps) == (6, 12)
    for step in steps:
        killed_in(chat_model, tmp_path / "out", step)
    seen: list[Progress] = []
    again = train(chat_model, tmp_path / "out", seen.append)
    assert bytes_of(again) == bytes_of(undisturbed)
    assert (again.steps, again.losses, again.trained_tokens) == (undisturbed.steps, undisturbed.losses, undisturbed.trained_tokens)
    assert seen[0].done == 1 + 2 * ((steps[-1] - 1) // 2), "it goes on after its last whole pass"


def test_a_training_that_had_ended_is_saved_again_without_a_step(chat_model: LocalModel, tmp_path: Path) -> None:
    ended = train(chat_model, tmp_path / "first", target_loss=100.0)
    assert ended.stopped_early
    again = train(chat_model, tmp_path / "again", lambda _: pytest.fail("a step"), target_loss=100.0)
    assert bytes_of(again) == bytes_of(ended)
    assert again.stopped_early


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def turned(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def foreign(file: Path) -> None:
    file.write_bytes(b"no checkpoint at all")


@pytest.mark.parametrize("damage", [cut, turned, foreign])
def test_a_damaged_checkpoint_counts_as_none(
    damage: Callable[[Path], None], undisturbed: TrainingResult, chat_model: LocalModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed_in(chat_model, tmp_path / "out", 5)
    damage(tmp_path / "passes.bin")
    seen: list[int] = []
    assert bytes_of(train(chat_model, tmp_path / "out", lambda step: seen.append(step.done))) == bytes_of(undisturbed)
    assert seen[0] == 1
    assert "it begins again" in caplog.text


def test_a_checkpoint_of_other_examples_or_settings_counts_as_none(chat_model: LocalModel, tmp_path: Path) -> None:
    killed_in(chat_model, tmp_path / "out", 5)
    assert steps_of(chat_model, tmp_path / "slower", learning_rate=1e-3)[0] == 1
    killed_in(chat_model, tmp_path / "out", 5)
    assert train(chat_model, tmp_path / "fewer", examples=EXAMPLES[1:]).steps == 12


def test_where_the_training_runs_does_not_matter(chat_model: LocalModel, tmp_path: Path) -> None:
    killed_in(chat_model, tmp_path / "out", 5)
    assert steps_of(chat_model, tmp_path / "out", isolated=False, max_memory_mb=1000)[0] == 5


def test_another_number_of_threads_adds_up_otherwise_and_begins_again(chat_model: LocalModel, tmp_path: Path) -> None:
    killed_in(chat_model, tmp_path / "out", 5)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert steps_of(chat_model, tmp_path / "out")[0] == 1
    finally:
        torch.set_num_threads(threads)


def test_a_checkpoint_is_private_and_alone_in_its_folder(chat_model: LocalModel, tmp_path: Path) -> None:
    killed_in(chat_model, tmp_path / "out", 5)
    [file] = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_checkpoint_that_can_not_be_written_costs_nothing_but_itself(
    undisturbed: TrainingResult, chat_model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write", full)
    result = train(chat_model, tmp_path / "out")
    assert bytes_of(result) == bytes_of(undisturbed)
    assert "without a checkpoint of its last pass" in caplog.text
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []
