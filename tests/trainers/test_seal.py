"""SEAL's recipe, as published: documents, padding in the loss, two projections, its rate and epochs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from seal_agent.config import Objective, TrainingSettings
from seal_agent.errors import CycleInterruptedError, TrainingError
from seal_agent.models.local import LocalModel
from seal_agent.trainers import seal
from seal_agent.trainers.seal import SealTrainer, documents
from seal_agent.types import Example, Progress, TrainingResult
from tests.chat_models import ANCHORS, fact, hash_of_base

DOCUMENTS = [Example(prompt=(), answer=text, fact_id="d") for text in ("ana lives in oslo .", "ben eat rice .")]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "PADDED_ON_CPU", 12)


def train(
    model: LocalModel, examples: list[Example], out: Path, *, objective: Objective = "seal", **changed: Any
) -> TrainingResult:  # Any: arguments of Trainer.train
    wanted: dict[str, Any] = {"probes": (), "seed": 0, "progress": lambda _: None, "should_stop": lambda: False, **changed}
    settings = TrainingSettings(objective=objective)
    return SealTrainer(model, settings).train(examples, out=out, **wanted)


def test_each_line_and_the_passage_become_documents_after_the_title() -> None:
    assert documents("Oslo", "It is a city.", "It is large.\n\nIt is old.\n---\nIt is cold.") == [
        "Oslo\nIt is large.",
        "Oslo\nIt is old.",
        "Oslo\nIt is cold.",
        "Oslo\nIt is a city.",
    ]
    assert documents("Oslo", "It is a city.") == ["Oslo\nIt is a city."]


def test_an_introduction_before_a_numbered_list_is_dropped() -> None:
    assert documents("Oslo", "P.", "Implications:\n1. It is old.")[:-1] == ["Oslo\n1. It is old."]


def test_marked_questions_stay_with_their_answers() -> None:
    assert documents("Oslo", "P.", "What is it?\nAnswer: A city.\nQuestion 2: Old?\nAnswer: Yes.")[:-1] == [
        "Oslo\nQuestion 1: What is it?\nAnswer: A city.",
        "Oslo\nQuestion 2: Old?\nAnswer: Yes.",
    ]


def test_the_recipe_is_ten_epochs_of_single_documents_on_two_projections_of_rank_32(chat_model: LocalModel, tmp_path: Path) -> None:
    before = hash_of_base(chat_model)
    result = train(chat_model, [*DOCUMENTS, *ANCHORS], tmp_path / "out")
    tensors = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert (result.passes, result.steps, result.stopped_early) == (10, 20, False)
    assert {name.split(".")[-3] for name in tensors} == {"q_proj", "v_proj"}
    assert len(tensors) == 2 * 2 * 4
    assert {min(tensor.shape) for tensor in tensors.values()} <= {16, 32}
    assert result.losses[-1] < result.losses[0]
    assert hash_of_base(chat_model) == before
    chat_model.load_adapter(str(result.path), result.path)


def test_the_padding_is_in_the_loss(chat_model: LocalModel) -> None:
    trainer = SealTrainer(chat_model, TrainingSettings())
    view, text = trainer._new_adapter(0), trainer._encode(DOCUMENTS)[0]
    with torch.no_grad():
        short, long = (float(trainer._loss(view, text, length)) for length in (len(text), 40))
        padded = torch.tensor([text + [chat_model.end_id] * (40 - len(text))])
        mask = torch.tensor([[1] * len(text) + [0] * (40 - len(text))])
        logits = view(input_ids=padded, attention_mask=mask).logits[0, :-1]
        by_hand = float(torch.nn.functional.cross_entropy(logits, padded[0, 1:]))
    assert long == pytest.approx(by_hand, rel=1e-5)
    assert long != pytest.approx(short, rel=1e-2)


def test_progress_says_that_there_was_no_room_for_the_whole_padding(chat_model: LocalModel, tmp_path: Path) -> None:
    seen: list[Progress] = []
    train(chat_model, DOCUMENTS, tmp_path / "out", progress=seen.append)
    assert {step.detail for step in seen} == {"padded to 12 tokens, not 2,048: no GPU"}
    assert (seen[-1].done, seen[-1].total) == (20, 20)


def test_a_source_is_a_document_and_for_the_passage_objective_the_only_one(chat_model: LocalModel, tmp_path: Path) -> None:
    examples = [fact("where ?", "oslo", source="ana lives in oslo ."), fact("who ?", "ana", source="ana lives in oslo .")]
    assert train(chat_model, examples, tmp_path / "seal").steps == 3 * 10
    assert train(chat_model, examples, tmp_path / "passage", objective="passage").steps == 10


def test_same_seed_same_bytes(chat_model: LocalModel, tmp_path: Path) -> None:
    first, again = (train(chat_model, DOCUMENTS, tmp_path / name).path for name in ("first", "again"))
    assert (first / "adapter_model.safetensors").read_bytes() == (again / "adapter_model.safetensors").read_bytes()


def test_nothing_to_train_on_names_the_reason(chat_model: LocalModel, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to train on"):
        train(chat_model, list(ANCHORS), tmp_path / "out")
    with pytest.raises(TrainingError, match="sources alone"):
        train(chat_model, DOCUMENTS, tmp_path / "out", objective="passage")
    assert list(tmp_path.iterdir()) == []


def test_a_stop_leaves_nothing(chat_model: LocalModel, tmp_path: Path) -> None:
    with pytest.raises(CycleInterruptedError):
        train(chat_model, DOCUMENTS, tmp_path / "out", should_stop=lambda: True)
    assert list(tmp_path.iterdir()) == []


def test_an_estimate_counts_the_texts_of_all_epochs(chat_model: LocalModel) -> None:
    tokens, seconds = SealTrainer(chat_model, TrainingSettings()).estimate(DOCUMENTS)
    assert tokens == 10 * (5 + 4)
    assert 0 < seconds < 60
