"""Only what was published, for this base, reaches PEFT; everything else is refused quickly, by name, with no code run."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seal_agent.adapters.artefact import adapter_name, publish, verify, weights_sha256
from seal_agent.adapters.manifest import check_tokenizer
from seal_agent.adapters.tensors import MAX_NORM
from seal_agent.errors import IntegrityError
from tests.adapters.bad import CANARY, FIRST, VARIANTS, Build
from tests.adapters.forge import ANA, BASE, LAYERS, RANK, TARGETS, WIDTH, good, layout, lie, manifest_of, pack, reseal, safetensors, tensors

SECOND = 1.0


@pytest.mark.parametrize(("build", "why"), [pytest.param(build, why, id=name) for name, build, why in VARIANTS])
def test_a_bad_adapter_is_refused_in_under_a_second_and_runs_no_code(tmp_path: Path, build: Build, why: str) -> None:
    path = build(tmp_path)
    started = time.thread_time()  # its own: what a busy machine does meanwhile is not this check's doing
    with pytest.raises(IntegrityError, match=why) as refused:
        verify(path, BASE)
    assert time.thread_time() - started < SECOND
    assert path.name in str(refused.value)
    assert "Roll back" in str(refused.value)
    assert not (tmp_path / CANARY).exists()


def test_there_are_at_least_the_25_variants_that_peft_was_measured_on() -> None:
    assert len({name for name, _, _ in VARIANTS}) == len(VARIANTS) >= 25


def test_a_good_adapter_is_accepted(tmp_path: Path) -> None:
    manifest = verify(good(tmp_path), BASE)
    assert (manifest.scope, manifest.rank, manifest.alpha, manifest.target_modules) == (ANA.key, 4, 8.0, ("q_proj", "v_proj"))


def test_what_the_lies_are_made_of_is_accepted_when_it_is_true(tmp_path: Path) -> None:
    assert verify(lie(tmp_path), BASE).version == 1


@pytest.mark.parametrize(
    "config",
    [
        {"revision": "other"},
        {"a_key_of_a_newer_peft": None},
        {"fan_in_fan_out": True},
        {"modules_to_save": []},
        {"layers_to_transform": list(LAYERS)},
    ],
)
def test_a_config_that_does_no_harm_is_accepted(tmp_path: Path, config: dict[str, Any]) -> None:  # Any: JSON
    assert verify(lie(tmp_path, None, **config), BASE)


def test_the_largest_scaling_allowed_is_allowed(tmp_path: Path) -> None:
    path = reseal(lie(tmp_path, None, lora_alpha=RANK * 16), alpha=RANK * 16.0)
    assert verify(path, BASE).alpha == 64


def test_half_precision_is_read_as_what_it_means(tmp_path: Path) -> None:
    for number, dtype in enumerate((np.float16, np.float32)):
        root = tmp_path / str(number)
        root.mkdir()
        assert verify(lie(root, safetensors({name: array.astype(dtype) for name, array in tensors().items()})), BASE)


@pytest.mark.parametrize(("value", "why"), [(0.5, None), (float("nan"), "not finite"), (float("inf"), "not finite"), (1e6, "has norm")])
def test_bfloat16_is_read_as_what_it_means(tmp_path: Path, value: float, why: str | None) -> None:
    header, data = layout({name: upper_half(array) for name, array in {**tensors(), FIRST: np.full((RANK, WIDTH), value)}.items()})
    path = lie(tmp_path, pack({name: {**entry, "dtype": "BF16"} for name, entry in header.items()}, data))
    if why is None:
        assert verify(path, BASE)
    else:
        with pytest.raises(IntegrityError, match=why):
            verify(path, BASE)


def upper_half(array: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float16]]:  # Any: floats of any kind
    """The bits of a bfloat16, in the coat of a float16 because numpy has no better."""
    return (array.astype("<f4").view("<u4") >> 16).astype("<u2").view("<f2")


def test_the_norm_is_that_of_the_whole_tensor_not_of_a_part(tmp_path: Path) -> None:
    big = (1 << 20) + 3  # more values than are read at once
    side = np.full((RANK, big), MAX_NORM / np.sqrt(RANK * big), np.float32)
    for factor, accepted in ((0.99, True), (1.01, False)):
        root = tmp_path / str(factor)
        root.mkdir()
        path = lie(root, safetensors({**tensors(), FIRST: side * np.float32(factor)}))
        if accepted:
            assert verify(path, BASE)
        else:
            with pytest.raises(IntegrityError, match="has norm"):
                verify(path, BASE)


def test_an_adapter_of_another_base_is_refused_by_its_hash_not_by_its_name(tmp_path: Path) -> None:
    path = good(tmp_path)
    with pytest.raises(IntegrityError, match=f"running are '{'e' * 64}'"):
        verify(path, "e" * 64)


def test_an_adapter_of_another_tokenizer_is_refused_before_it_is_loaded_and_an_older_manifest_is_not(tmp_path: Path) -> None:
    manifest = verify(good(tmp_path), BASE)
    assert manifest.tokenizer_sha256 is None
    check_tokenizer(manifest, "a" * 64)
    recorded = replace(manifest, tokenizer_sha256="a" * 64)
    check_tokenizer(recorded, "a" * 64)
    check_tokenizer(recorded, None)
    with pytest.raises(IntegrityError, match="tokenizer or chat template"):
        check_tokenizer(recorded, "b" * 64)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21 on transformers 5.23
def test_what_peft_writes_is_accepted_and_what_is_accepted_peft_reads_whole(tmp_path: Path) -> None:
    import torch  # these here, because they take seconds to load
    from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
    from transformers import LlamaConfig, LlamaForCausalLM

    def base() -> LlamaForCausalLM:
        torch.manual_seed(0)
        config = LlamaConfig(vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2)
        return LlamaForCausalLM(config)

    lora = LoraConfig(r=2, lora_alpha=4, target_modules=list(TARGETS), layers_to_transform=[1], task_type="CAUSAL_LM")
    trained = get_peft_model(base(), lora)
    staged = tmp_path / "staged"
    trained.save_pretrained(str(staged))
    path = publish(staged, tmp_path / "adapters", manifest_of(staged))
    assert (verify(path, BASE).rank, json.loads((path / "adapter_config.json").read_bytes())["peft_type"]) == (2, "LORA")
    loaded = get_peft_model_state_dict(PeftModel.from_pretrained(base(), str(path)), save_embedding_layers=False)  # or it asks the hub
    saved = get_peft_model_state_dict(trained, save_embedding_layers=False)
    assert saved.keys() == loaded.keys()
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)


def test_a_name_is_bound_to_scope_version_and_weights(tmp_path: Path) -> None:
    path = good(tmp_path, version=7)
    assert path.name == adapter_name(ANA, 7, weights_sha256(path))
