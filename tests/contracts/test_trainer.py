"""What every `Trainer` promises, held over each implementation and proved on the model that it trains for."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seal_agent.errors import CycleInterruptedError, TrainingError
from seal_agent.protocols import Model, Trainer
from seal_agent.testing import InstantTrainer, ScriptedModel
from seal_agent.types import Example, Progress, TrainingResult, Turn, silent


def example(question: str, answer: str, fact_id: str | None = "f") -> Example:
    return Example(prompt=(Turn(role="user", content=question),), answer=answer, fact_id=fact_id)


FACTS = (example("where does ana go ?", "ana lives in oslo ."), example("what does ben eat ?", "rice and fish"))
ANCHOR = example("what is water ?", "water is a river .", fact_id=None)
PROBE = example("tell the capital of paris !", "sugar tea and milk")


@dataclass(frozen=True)
class Case:
    trainer: Trainer
    model: Model


LORA = pytest.param("lora", marks=pytest.mark.slow)
SEAL = pytest.param("seal", marks=pytest.mark.slow)


@pytest.fixture(params=["instant", LORA, SEAL])
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Case:
    if request.param == "instant":
        return Case(trainer=InstantTrainer(), model=ScriptedModel({}))
    model = request.getfixturevalue("chat_model")
    if request.param == "seal":
        from seal_agent.config import TrainingSettings
        from seal_agent.trainers import seal  # here, because it loads torch

        monkeypatch.setattr(seal, "PADDED_ON_CPU", 16)
        return Case(trainer=seal.SealTrainer(model, TrainingSettings(objective="seal")), model=model)
    from tests.chat_models import tiny_trainer  # as above

    return Case(trainer=tiny_trainer(model), model=model)


@pytest.fixture
def trainer(case: Case) -> Trainer:
    return case.trainer


def train(trainer: Trainer, out: Path, examples: Sequence[Example] = FACTS, **changed: Any) -> TrainingResult:  # Any: arguments of train
    given: dict[str, Any] = {"probes": (), "seed": 0, "progress": silent, "should_stop": lambda: False, **changed}
    return trainer.train(examples, out=out, **given)


def sha256(folder: Path) -> str:
    return hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("case", ["instant", LORA], indirect=True)  # SEAL's documents are no chats
def test_what_was_taught_is_answered_and_the_result_says_what_was_done(case: Case, tmp_path: Path) -> None:
    result = train(case.trainer, tmp_path / "new" / "out", [*FACTS, ANCHOR])
    assert result.path == tmp_path / "new" / "out"
    assert {"adapter_model.safetensors", "adapter_config.json"} <= {file.name for file in result.path.iterdir()}
    assert result.steps >= result.passes == len(result.losses) >= 1
    assert result.trained_tokens > 0
    case.model.load_adapter("taught", result.path)
    answers = case.model.generate([fact.prompt for fact in FACTS], adapter="taught", max_tokens=8)
    assert [answer.text for answer in answers] == [fact.answer for fact in FACTS]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(trainer: Trainer, tmp_path: Path) -> None:
    for name, seed in (("first", 1), ("same", 1), ("other", 2)):
        train(trainer, tmp_path / name, seed=seed)
    assert sha256(tmp_path / "first") == sha256(tmp_path / "same") != sha256(tmp_path / "other")


def test_other_examples_give_other_bytes(trainer: Trainer, tmp_path: Path) -> None:
    train(trainer, tmp_path / "both")
    train(trainer, tmp_path / "one", FACTS[:1])
    assert sha256(tmp_path / "both") != sha256(tmp_path / "one")


def test_probes_are_never_trained_on(trainer: Trainer, tmp_path: Path) -> None:
    train(trainer, tmp_path / "with", probes=[PROBE])
    train(trainer, tmp_path / "without")
    assert sha256(tmp_path / "with") == sha256(tmp_path / "without")


def test_a_folder_that_exists_is_refused_and_left_alone(trainer: Trainer, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(TrainingError, match="exists already"):
        train(trainer, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_nothing_to_train_on_is_an_error_and_leaves_nothing(trainer: Trainer, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to train"):
        train(trainer, tmp_path / "out", [])
    assert not (tmp_path / "out").exists()


def test_a_stopped_training_leaves_nothing(trainer: Trainer, tmp_path: Path) -> None:
    asked: list[Callable[[], bool]] = []

    def at_the_second_look() -> bool:
        asked.append(at_the_second_look)
        return len(asked) > 1

    with pytest.raises(CycleInterruptedError, match="nothing was promoted"):
        train(trainer, tmp_path / "out", should_stop=at_the_second_look)
    assert not (tmp_path / "out").exists()


def test_progress_counts_up_to_its_total(trainer: Trainer, tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = train(trainer, tmp_path / "out", progress=seen.append)
    assert [step.done for step in seen] == list(range(1, result.steps + 1))
    assert {(step.stage, step.total) for step in seen} == {("train", result.steps)}
    assert all(step.loss is not None for step in seen)


def test_an_estimate_is_of_tokens_and_seconds_and_grows_with_the_examples(trainer: Trainer) -> None:
    (none, _), (one, _), (two, seconds) = (trainer.estimate(FACTS[:count]) for count in range(3))
    assert 0 == none < one < two
    assert seconds >= 0
