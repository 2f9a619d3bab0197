"""A tiny model, published the way the embedded ones are, and a machine that reaches nothing."""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants as hub_constants

from seal_agent.models import weights, wheels
from seal_agent.models.wheels import Wheel
from tests.models.tiny import MEMBERS, WHEEL_FILE, WIDTH, unreachable

VOCABULARY = {"<unk>": 0, "<pad>": 1, "<end>": 2, "hello": 3, "world": 4}


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with a word-level tokenizer, as transformers saves them."""
    from tokenizers import Tokenizer  # here, because most tests in this folder need no transformers
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    words = Tokenizer(WordLevel(VOCABULARY, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    fast: Any = PreTrainedTokenizerFast  # Any: its constructor is not typed
    tokenizer = fast(tokenizer_object=words, unk_token="<unk>", pad_token="<pad>", eos_token="<end>")
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }} <end> {% endfor %}"
    config = LlamaConfig(vocab_size=len(VOCABULARY), hidden_size=WIDTH, intermediate_size=WIDTH, num_hidden_layers=1, num_attention_heads=2)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def wheel_file(tiny_folder: Path, tmp_path: Path) -> Path:
    file = tmp_path / "index" / WHEEL_FILE
    file.parent.mkdir()
    with zipfile.ZipFile(file, "w") as archive:
        for name in MEMBERS:
            archive.write(tiny_folder / name, f"tiny_weights/{name}")
        archive.writestr("tiny_weights/__init__.py", "raise SystemExit('code of the wheel was run')")
        archive.writestr("tiny_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        archive.writestr("tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    return file


@pytest.fixture
def wheel(wheel_file: Path, monkeypatch: pytest.MonkeyPatch) -> Wheel:
    """The tiny wheel, pinned under the embedded name `tiny` and the hub spelling `org/tiny`."""
    tiny = Wheel(
        model_id="tiny",
        requirement="tiny-weights==1.0",
        file=WHEEL_FILE,
        bytes=wheel_file.stat().st_size,
        sha256=hashlib.sha256(wheel_file.read_bytes()).hexdigest(),
        members={f"tiny_weights/{name}": name for name in MEMBERS},
    )
    monkeypatch.setitem(weights.EMBEDDED, "tiny", tiny)
    monkeypatch.setitem(weights.HUB_SPELLINGS, "org/tiny", tiny)
    return tiny


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "hub"
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def offline(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a hub nor an index, and no trace of what this machine has cached."""
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(wheels, "run_pip", unreachable)
