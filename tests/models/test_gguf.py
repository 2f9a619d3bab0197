"""GGUF files become safetensors that transformers loads, with the values that the packed blocks stand for."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from seal_agent.errors import ModelNotFoundError
from seal_agent.models.weights import resolve, verify
from seal_agent.protocols import Vectors
from seal_agent.types import Progress

WIDTH = 32
"""One block of the packed format holds 32 weights of a row."""
TOKENS = ["<unk>", "<end>", *"abcdefghijklmnopqrstuvwxyz", "Ġ", "ab", "cd", "Ċ"]
CONTROL = 2
"""Tokens at the front that are not text."""


@pytest.fixture
def packed(tmp_path: Path) -> tuple[Path, dict[str, Vectors]]:
    """A random one-layer Llama in Q4_1, and what its blocks stand for."""
    random = np.random.default_rng(0)
    file = tmp_path / "Tiny.Q4_1.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(16)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * CONTROL + [1] * (len(TOKENS) - CONTROL))
    writer.add_token_merges(["a b", "c d"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{% for message in messages %}{{ message['content'] }}<end>{% endfor %}")
    names = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    shapes = {"token_embd": (len(TOKENS), WIDTH)} | {f"blk.0.{name}": (WIDTH, WIDTH) for name in names}
    values = {}
    for name, shape in shapes.items():
        blocks = gguf.quants.quantize(random.standard_normal(shape).astype(np.float32), gguf.GGMLQuantizationType.Q4_1)
        values[name] = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType.Q4_1)
        writer.add_tensor(f"{name}.weight", blocks, raw_dtype=gguf.GGMLQuantizationType.Q4_1)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file, values


def test_a_gguf_file_is_dequantised_once_without_loss(packed: tuple[Path, dict[str, Vectors]], tmp_path: Path) -> None:
    file, values = packed
    seen: list[Progress] = []
    folder = resolve(str(file), cache=tmp_path / "cache", progress=seen.append)
    verify(folder)
    tensors = load_file(folder / "model.safetensors")
    np.testing.assert_array_equal(tensors["model.embed_tokens.weight"], values["token_embd"])
    np.testing.assert_array_equal(tensors["model.layers.0.mlp.down_proj.weight"], values["blk.0.ffn_down"])
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.float32)}
    assert [step.stage for step in seen if step.done == step.total] == ["dequantise", "check"]
    seen.clear()
    assert resolve(str(file.parent), cache=tmp_path / "cache", progress=seen.append) == folder
    assert seen == []


def test_the_saved_folder_answers_and_keeps_its_chat_template(packed: tuple[Path, dict[str, Vectors]], tmp_path: Path) -> None:
    folder = resolve(str(packed[0]), cache=tmp_path / "cache")
    model: Any = AutoModelForCausalLM.from_pretrained(folder)  # Any: the auto classes' types are too wide to call
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.model_max_length) == ("<end>", "<end>", 16)
    batch = tokenizer.apply_chat_template([{"role": "user", "content": "abcd"}], return_tensors="pt", return_dict=True)
    assert tokenizer.convert_ids_to_tokens(batch["input_ids"][0]) == ["ab", "cd", "<end>"]
    assert model(**batch).logits.isfinite().all()


def test_a_file_that_is_not_gguf_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF and then nothing of the kind" * 10)
    with pytest.raises(ModelNotFoundError, match=r"broken\.gguf can't be read as GGUF"):
        resolve(str(tmp_path / "broken.gguf"), cache=tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache" / "weights").iterdir()] == [".lock"]


def test_a_folder_of_several_gguf_files_asks_which(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(ModelNotFoundError, match=r"several GGUF files \(a\.gguf, b\.gguf\)"):
        resolve(str(tmp_path), cache=tmp_path / "cache")
