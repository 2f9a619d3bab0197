"""An adapter's tensors are all in their places, or it is refused; PEFT alone would go on without them."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from seal_agent.errors import IntegrityError
from seal_agent.models.local import LocalModel
from seal_agent.models.lora_weights import CONFIG, WEIGHTS
from seal_agent.models.making_lora import making_lora
from tests.chat_models import FACTS, asking, hash_of_base, open_chat_model, save_chat_model, teach

Tensors = dict[str, torch.Tensor]
NAME = "base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight"


@pytest.fixture
def folder(lora_folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(lora_folders["oslo"], tmp_path / "oslo"))


def rewrite(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)


def configure(folder: Path, **changed: Any) -> None:  # Any: JSON
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(json.dumps({**config, **changed}), encoding="utf-8")


def without(tensors: Tensors) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if name != NAME}


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, f"{CONFIG} is missing"),
    "no config": (lambda folder: (folder / CONFIG).unlink(), f"{CONFIG} is missing"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), f"{WEIGHTS} is missing"),
    "a pickle instead": (lambda folder: (folder / WEIGHTS).rename(folder / "adapter_model.bin"), f"{WEIGHTS} is missing"),
    "weights cut off": (lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-8]), "can't be put on this model"),
    "weights empty": (lambda folder: (folder / WEIGHTS).write_bytes(b""), "can't be put on this model"),
    "config no JSON": (lambda folder: (folder / CONFIG).write_text("{"), "can't be put on this model"),
    "config a list": (lambda folder: (folder / CONFIG).write_text("[]"), "can't be put on this model"),
    "config empty": (lambda folder: (folder / CONFIG).write_text("{}"), "can't be put on this model"),
    "another method": (lambda folder: configure(folder, peft_type="IA3"), "can't be put on this model"),
    "no such method": (lambda folder: configure(folder, peft_type="MAGIC"), "can't be put on this model"),
    "no such module": (lambda folder: configure(folder, target_modules=["nowhere"]), "no module 'nowhere'"),
    "a tensor missing": (lambda folder: rewrite(folder, without), f"{NAME} is missing"),
    "a tensor too many": (lambda folder: rewrite(folder, lambda all_: {**all_, "x.lora_A.weight": torch.zeros(4, 32)}), "x.* no place"),
    "a tensor renamed": (
        lambda folder: rewrite(folder, lambda all_: {name.replace("q_proj", "q_prof"): tensor for name, tensor in all_.items()}),
        "q_prof.* no place",
    ),
    "a layer too high": (lambda folder: configure(folder, layers_to_transform=[3]), r"layers\.2.* no place"),
    "a wrong shape": (lambda folder: rewrite(folder, lambda all_: {**all_, NAME: torch.zeros(4, 16)}), r"shape \[4, 16\].*\[4, 32\]"),
    "a wrong rank": (lambda folder: configure(folder, r=8), r"shape \[4, \d+\].*\[8, \d+\]"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.filterwarnings("ignore:Unexpected keyword arguments:UserWarning")  # peft's, on a config of another method
def test_a_damaged_adapter_is_refused_and_leaves_nothing_behind(damage: str, chat_model: LocalModel, folder: Path) -> None:
    harm, message = DAMAGES[damage]
    harm(folder)
    base = hash_of_base(chat_model)
    with pytest.raises(IntegrityError, match=rf"(?s)oslo.*{message}.*Roll back"):
        chat_model.load_adapter("broken", folder)
    assert hash_of_base(chat_model) == base
    assert chat_model._adapters == {}


def test_an_adapter_says_what_peft_makes_of_the_same_folder(chat_model: LocalModel, folder: Path) -> None:
    chat_model.load_adapter("oslo", folder)
    prompt, answer = asking("what is water ?")[0], "red soup in the street"
    ids, start = chat_model.encode_pair(prompt, answer)
    with making_lora(), torch.inference_mode():
        logits = PeftModel.from_pretrained(chat_model.new_view(), str(folder))(input_ids=torch.tensor([ids])).logits[0]
        known = torch.log_softmax(logits.double(), dim=-1)
    wanted = [float(known[place - 1, ids[place]]) for place in range(start, len(ids))]
    assert chat_model.score([(prompt, answer)], adapter="oslo")[0] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(
    "variant",
    [{"use_dora": True}, {"use_rslora": True}, {"bias": "all"}, {"alpha_pattern": {"q_proj": 9}}, {"modules_to_save": ["lm_head"]}],
    ids=lambda variant: next(iter(variant)),
)
def test_a_variant_of_lora_is_refused_rather_than_half_applied(chat_model: LocalModel, folder: Path, variant: dict[str, Any]) -> None:
    configure(folder, **variant)
    with pytest.raises(IntegrityError, match=f"{next(iter(variant))}.*variant of LoRA that is not served"):
        chat_model.load_adapter("variant", folder)


def test_an_adapter_made_for_another_shape_of_model_is_refused(chat_model: LocalModel, tmp_path: Path) -> None:
    other = open_chat_model(save_chat_model(tmp_path / "wider", hidden_size=64))
    adapter = teach(other, FACTS, tmp_path / "adapter", max_passes=1).path
    with pytest.raises(IntegrityError, match="trained on another base"):
        chat_model.load_adapter("foreign", adapter)


def test_a_name_that_was_refused_can_be_loaded_once_its_files_are_right(chat_model: LocalModel, folder: Path) -> None:
    weights = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(weights[:-8])
    with pytest.raises(IntegrityError):
        chat_model.load_adapter("mended", folder)
    (folder / WEIGHTS).write_bytes(weights)
    chat_model.load_adapter("mended", folder)
    assert chat_model.generate(asking("say no"), adapter="mended", max_tokens=1)


def test_making_loras_goes_one_at_a_time_and_puts_the_random_state_back() -> None:
    state, drawn = torch.get_rng_state(), []

    def draw(seed: int) -> None:
        with making_lora(seed):
            drawn.append((seed, [float(torch.rand(())) for _ in range(200)]))

    threads = [threading.Thread(target=draw, args=(seed % 2,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(torch.get_rng_state(), state)
    assert len({str(values) for _, values in drawn}) == 2
