"""Training from kept activations is the same as training through the whole model, in every architecture that is let through."""

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from peft import get_peft_model_state_dict as lora_of
from safetensors.torch import load_file

from seal_agent.config import TrainingSettings
from seal_agent.errors import TrainingError
from seal_agent.models.local import LocalModel
from seal_agent.trainers import frozen, layout
from seal_agent.trainers.frozen import Item, Upper, fill, layers_of
from seal_agent.trainers.loop import bucketed, schedule
from seal_agent.trainers.lora import FILL_TOKENS, LoraTrainer
from seal_agent.types import Example
from tests.chat_models import ANCHORS, FACTS, LAYERS, TINY, fact, open_chat_model, save_chat_model, teach

WINDOW = 6
LONG = fact("tell the user about the long street in the city of paris and what is in it please", "the river is in it .", weight=0.5)
EXAMPLES = [*FACTS, *ANCHORS, LONG]
SHORT_RUN: dict[str, Any] = {"max_passes": 2, "layer_share": 0.75}  # Any: fields of TrainingSettings
ARCHITECTURES: dict[str, dict[str, Any]] = {  # Any: fields of their configs
    "Llama": {},
    "Mistral": {"sliding_window": WINDOW},
    "Qwen2": {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 2},
    "Qwen3": {"head_dim": 8},
    "Phi3": {},
    # A layer's number decides here whether it sees the whole text or a window of it.
    "Gemma2": {"sliding_window": WINDOW, "head_dim": 8, "query_pre_attn_scalar": 8},
    "GPTNeoX": {},
    # These scale or cap their logits, as Gemma does.
    "Cohere": {"logit_scale": 0.25},
}


FAST = ("Gemma2",)
"""The oddest; the others are slow for what they add."""


def plain_loss(
    settings: TrainingSettings, example: Example, logits: torch.Tensor, base: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """The loss of one example as the documents describe it, from logits of whole passes over student and base."""
    if example.fact_id is None:
        teacher, student = torch.log_softmax(base, -1), torch.log_softmax(logits, -1)
        return settings.anchor_weight * example.weight * (teacher.exp() * (teacher - student)).sum(-1).mean()
    losses = -torch.log_softmax(logits, -1).gather(1, targets[:, None])[:, 0]
    unknown = [loss for loss in losses if float(loss.detach()) > -math.log(settings.known_above)]
    return example.weight * torch.stack(unknown).mean() if unknown else losses.sum() * 0


def plain_training(model: LocalModel, settings: TrainingSettings, seed: int) -> tuple[PeftModel, list[float]]:
    """The same training, each example in a whole pass of its own through the whole model."""
    trainer = LoraTrainer(model, settings)
    view, base = trainer._new_adapter(seed, trainer._first_layer()), model.new_view()
    trained = [parameter for parameter in view.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=0.0)
    items = trainer._encode(EXAMPLES)
    example_of = {id(item): example for item, example in zip(items, EXAMPLES, strict=True)}
    order, means, resting = random.Random(seed), [], list[Item]()
    for done in range(settings.max_passes):
        batches, losses = bucketed([item for item in items if all(item is not other for other in resting)], settings.batch_size, order), []
        resting = []
        for step, batch in enumerate(batches, start=done * len(batches)):
            rows = []
            for item in batch:
                ids, answer = torch.tensor([item.ids]), slice(item.start - 1, -1)
                with torch.no_grad():
                    teacher = base(input_ids=ids).logits[0, answer]
                rows.append(
                    plain_loss(settings, example_of[id(item)], view(input_ids=ids).logits[0, answer], teacher, ids[0, item.start :])
                )
            resting += [item for item, row in zip(batch, rows, strict=True) if float(row.detach()) == 0 and not item.anchor]
            loss = torch.stack(rows).mean()
            optimizer.param_groups[0]["lr"] = settings.learning_rate * schedule(step, len(batches) * settings.max_passes)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            losses.append(float(loss.detach()))
        means.append(sum(losses) / len(losses))
    return view, means


@pytest.mark.parametrize("architecture", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES])
def test_kept_activations_give_the_losses_and_weights_of_whole_passes(architecture: str, tmp_path: Path) -> None:
    model = open_chat_model(save_chat_model(tmp_path / "model", architecture, **ARCHITECTURES[architecture]))
    model.tokenizer = open_chat_model(save_chat_model(tmp_path / "words")).tokenizer  # transformers makes Qwen's its own way
    result = teach(model, EXAMPLES, tmp_path / "out", seed=3, **SHORT_RUN)
    view, losses = plain_training(model, TrainingSettings(**{**TINY, **SHORT_RUN}), seed=3)
    assert result.losses == pytest.approx(losses, rel=1e-5)
    wanted, got = lora_of(view, save_embedding_layers=False), load_file(result.path / "adapter_model.safetensors")
    assert wanted.keys() == got.keys()
    one, other = (torch.cat([tensors[name].flatten() for name in sorted(wanted)]) for tensors in (got, wanted))
    assert float((one - other).norm() / other.norm()) < 1e-3


def test_only_the_upper_layers_carry_a_lora(chat_model: LocalModel, tmp_path: Path) -> None:
    for share, layers in ((0.01, {3}), (0.5, {2, 3}), (1.0, {0, 1, 2, 3})):
        out = teach(chat_model, FACTS, tmp_path / str(share), max_passes=1, layer_share=share).path
        assert {int(name.split(".layers.")[1].split(".")[0]) for name in load_file(out / "adapter_model.safetensors")} == layers


def test_the_layers_below_are_run_once_however_many_passes(chat_model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lowest, runs = type(layers_of(chat_model.new_view())[0]), []
    forward = lowest.forward

    def counted(layer: torch.nn.Module, *args: object, **kwargs: object) -> object:
        runs.append(layer.self_attn.layer_idx)  # type: ignore[union-attr]  # a Llama's layer
        return forward(layer, *args, **kwargs)

    monkeypatch.setattr(lowest, "forward", counted)
    for passes in (1, 4):
        runs.clear()
        teach(chat_model, FACTS, tmp_path / str(passes), max_passes=passes, layer_share=0.5)
        assert runs.count(0) == 3  # once to keep its output, twice for the check
        assert runs.count(3) > 2 * passes


def test_after_training_the_view_is_whole_again(chat_model: LocalModel) -> None:
    trainer = LoraTrainer(chat_model, TrainingSettings())
    view, items = trainer._new_adapter(0, 2), trainer._encode(FACTS)
    ids = torch.tensor([items[0].ids])
    with torch.inference_mode():
        before = view(input_ids=ids).logits
        fill(chat_model, items, 2, FILL_TOKENS)
        upper = Upper(view.get_base_model(), chat_model.head, 2)  # type: ignore[arg-type]  # peft types it as Module
        upper.last_hidden(items)
        upper.restore()
        assert torch.equal(view(input_ids=ids).logits, before)


def test_a_model_that_hides_something_from_the_kept_activations_is_refused(
    chat_model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, honest in (("padded", layout.padded), ("packed", layout.packed)):
        monkeypatch.setattr(frozen, name, lambda batch, honest=honest: replace(honest(batch), hidden=honest(batch).hidden * 1.5 + 0.1))
    with pytest.raises(TrainingError, match="LlamaForCausalLM can't be trained from kept activations"):
        teach(chat_model, FACTS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("architecture", "message"), [("OPT", "no plain list of decoder layers"), ("GPT2", "no torch.nn.Linear")])
def test_an_architecture_that_is_not_supported_is_refused_by_name(architecture: str, message: str, tmp_path: Path) -> None:
    model = open_chat_model(save_chat_model(tmp_path / "model", architecture))
    with pytest.raises(TrainingError, match=rf"{architecture}\w* has {message}.*not supported for training"):
        teach(model, FACTS, tmp_path / "out")


def test_the_tiny_model_has_as_many_layers_as_the_tests_count_on(chat_model: LocalModel) -> None:
    assert len(layers_of(chat_model.new_view())) == LAYERS == 4
