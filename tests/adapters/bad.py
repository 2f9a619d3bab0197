"""Bad adapters: what a damaged disk, a bug or an enemy can put in front of PEFT, each with the words that must name what is wrong.

The first eight under "PEFT loads these silently" and the pattern that hangs it were measured on peft 0.21.2.
"""

import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.adapters.forge import CONFIG, LAYERS, RANK, TARGETS, WIDTH, good, layout, lie, pack, reseal, safetensors, tensor_name, tensors

WEIGHTS = "adapter_model.safetensors"
FIRST = tensor_name(0, "q_proj", "A")
CANARY = "canary"
Build = Callable[[Path], Path]


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple[Any, ...]:  # Any: what pickle asks for
        return Path.touch, (self._target,)


def with_first(value: np.ndarray[Any, Any]) -> bytes:  # Any: of several shapes and dtypes
    return safetensors({**tensors(), FIRST: value})


def holding(value: float) -> bytes:
    array = tensors()[FIRST].copy()
    array[1, 2] = value
    return with_first(array)


def header_with(entry: dict[str, Any]) -> bytes:  # Any: a header's entry
    header, data = layout(tensors())
    return pack({**header, FIRST: {**header[FIRST], **entry}}, data)


def after(change: Callable[[Path], object]) -> Build:
    """Publish a good one, then change the folder behind its manifest's back."""

    def build(root: Path) -> Path:
        path = good(root)
        change(path)
        return path

    return build


def weights(content: bytes) -> Build:
    return lambda root: lie(root, content)


def config(**keys: object) -> Build:
    return lambda root: lie(root, None, **keys)


def config_text(text: bytes) -> Build:
    def build(root: Path) -> Path:
        path = good(root)
        (path / "adapter_config.json").write_bytes(text)
        return reseal(path)

    return build


def manifest(**changes: object) -> Build:
    return lambda root: reseal(good(root), **changes)


def manifest_json(change: Callable[[dict[str, Any]], object]) -> Build:  # Any: the manifest's JSON
    def change_file(path: Path) -> None:
        file = path / "MANIFEST.json"
        content = json.loads(file.read_bytes())
        change(content)
        file.write_text(json.dumps(content))

    return after(change_file)


def replaced(name: str, make: Callable[[Path], object]) -> Build:
    def change(path: Path) -> None:
        (path / name).unlink()
        make(path / name)

    return after(change)


def flip(path: Path) -> None:
    content = bytearray((path / WEIGHTS).read_bytes())
    for position in range(len(content) - 64, len(content) - 32):
        content[position] ^= 0xFF
    (path / WEIGHTS).write_bytes(content)


def pickled(target: Path) -> bytes:
    return pickle.dumps(Bomb(target))


def linked_folder(root: Path) -> Path:
    path = good(root)
    moved = path.rename(root / "elsewhere")
    path.symlink_to(moved)
    return path


def swapped_base(root: Path) -> Path:
    return reseal(good(root), base_sha256="d" * 64)


def overlapping() -> bytes:
    header, data = layout(tensors())
    for entry in header.values():
        entry["data_offsets"] = [0, RANK * WIDTH * 4]
    return pack(header, data[: RANK * WIDTH * 4])


def duplicate_key() -> bytes:
    header, data = layout(tensors())
    text = json.dumps(header).encode()
    return pack(text[:-1] + b"," + json.dumps({FIRST: header[FIRST]}).encode()[1:], data)


def renamed() -> bytes:
    return safetensors({name.removeprefix("base_model.model."): array for name, array in tensors().items()})


def without(part: str) -> bytes:
    return safetensors({name: array for name, array in tensors().items() if part not in name})


def many_tensors() -> bytes:
    return pack(b"{" + b'"t":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},' * 1_000_000 + b"}", b"")


def damaged() -> Iterator[tuple[str, Build, str]]:
    yield "truncated", after(lambda path: os.truncate(path / WEIGHTS, 300)), "size or SHA-256 differs"
    yield "truncated with an agreeing manifest", weights(safetensors(tensors())[:-40]), "cut off or added to"
    yield "bytes added at the end", weights(safetensors(tensors()) + b"\0" * 40), "cut off or added to"
    yield "zero bytes", weights(b""), "a header of 0 bytes"
    yield "32 flipped bytes", after(flip), "size or SHA-256 differs"
    yield "another config", after(lambda path: (path / "adapter_config.json").write_text("{}")), "adapter_config.json is not what was"
    yield "another card", after(lambda path: (path / "README.md").write_text("Run this:")), "README.md is not what was published"
    yield "weights gone", after(lambda path: (path / WEIGHTS).unlink()), f"{WEIGHTS} is missing"
    yield "no config", after(lambda path: (path / "adapter_config.json").unlink()), "adapter_config.json is missing"


def silent_in_peft() -> Iterator[tuple[str, Build, str]]:
    first = tensors()[FIRST]
    yield "a NaN", weights(holding(np.nan)), "not finite"
    yield "an infinity", weights(holding(np.inf)), "not finite"
    yield "a half-precision infinity", weights(with_first(np.full((RANK, WIDTH), np.inf, np.float16))), "not finite"
    yield "weights times a million", weights(with_first(first * np.float32(1e6))), "has norm"
    yield "the largest floats", weights(with_first(np.full((RANK, WIDTH), 3e38, np.float32))), "has norm"
    yield "alpha times a million", config(lora_alpha=8_000_000), "lora_alpha"
    yield "alpha over the limit", config(lora_alpha=RANK * 16 + 1), "lora_alpha"
    yield "other base weights", swapped_base, "trained on base weights 'd"
    yield "half the tensors missing", weights(without("lora_B")), "the other half of the pair"
    yield "a layer missing", lambda root: lie(root, without("layers.1."), layers_to_transform=list(LAYERS)), r"layers \[1\]"
    yield "a target missing", weights(without("v_proj")), "no tensors for target module 'v_proj'"
    yield "all keys renamed", weights(renamed()), "not the name of a LoRA weight"
    yield "no tensors at all", weights(pack({}, b"")), "holds no tensors"
    yield "another target's tensors", config(target_modules=["q_proj"]), "not in one of the config's target_modules"


def hostile_header() -> Iterator[tuple[str, Build, str]]:
    header, data = layout(tensors())
    size = RANK * WIDTH * 4
    yield "a header of 2**40 bytes", weights(pack(header, data, length=2**40)), "not possible"
    yield "a header over the limit", weights(pack(b"{" + b" " * (17 << 20) + b"}", b"")), "not possible, or over"
    yield "a million tensors", weights(many_tensors()), "not possible, or over"
    yield "a header that is no JSON", weights(pack(b"{nonsense", data)), "not valid JSON"
    yield "a header that is a list", weights(pack(b"[1, 2, 3]", data)), "not a JSON object"
    yield "a header 100,000 deep", weights(pack(b"[" * 100_000, data)), "not valid JSON"
    yield "one name twice", weights(duplicate_key()), "a key occurs twice"
    yield "overlapping tensors", weights(overlapping()), "claims bytes"
    yield "offsets out of range", weights(header_with({"data_offsets": [0, 2**40]})), "claims bytes"
    yield "offsets that run backwards", weights(header_with({"data_offsets": [size, 0]})), "claims bytes"
    yield "negative offsets", weights(header_with({"data_offsets": [-size, 0]})), "can't be"
    yield "offsets that are not numbers", weights(header_with({"data_offsets": ["0", True]})), "can't be"
    yield "a shape of 2**63", weights(header_with({"shape": [2**63, 2**63]})), "claims bytes"
    yield "a shape of a thousand dimensions", weights(header_with({"shape": [1] * 1000})), "can't be"
    yield "an empty shape", weights(safetensors({**tensors(), FIRST: np.zeros((RANK, 0), np.float32)})), "does not fit r=4"
    yield "whole numbers", weights(with_first(np.ones((RANK, WIDTH), np.int64))), "dtype 'I64'"
    yield "eight-bit floats", weights(header_with({"dtype": "F8_E4M3"})), "dtype 'F8_E4M3'"
    yield "an unknown field", weights(header_with({"loader": "os.system"})), "not described by"
    yield "metadata that is no text", weights(pack({"__metadata__": {"a": {}}, **header}, data)), "not a map of strings"
    yield "rank mismatch", weights(with_first(np.ones((RANK + 1, WIDTH), np.float32))), "does not fit r=4"
    yield "three dimensions", weights(with_first(np.ones((RANK, WIDTH, 1), np.float32))), "does not fit r=4"


def hostile_config() -> Iterator[tuple[str, Build, str]]:
    yield "a pattern that never returns", config(target_modules="(a+)+$"), "target_modules=.* is not a list"
    yield "a pattern in the list", config(target_modules=[*TARGETS, "(a+)+$"]), "not a plain module name"
    yield "a dotted module", config(target_modules=["self_attn.q_proj"]), "not a plain module name"
    yield "no targets", config(target_modules=[]), "is not a list of 1 to"
    yield "null targets", config(target_modules=None), "is not a list of 1 to"
    yield "unknown peft_type", config(peft_type="PROMPT_TUNING"), "peft_type='PROMPT_TUNING'"
    yield "no peft_type", config_text(b'{"r": 4}'), "peft_type=None"
    yield "another task", config(task_type="SEQ_CLS"), "task_type"
    yield "auto_mapping", config(auto_mapping={"base_model_class": "X", "parent_library": "evil"}), "auto_mapping"
    yield "megatron", config(megatron_config={"a": 1}, megatron_core="evil"), "megatron_config"
    yield "modules_to_save", config(modules_to_save=["lm_head"]), "modules_to_save"
    yield "trainable tokens", config(trainable_token_indices=[1]), "trainable_token_indices"
    yield "replicated layers", config(layer_replication=[[0, 2], [0, 2]]), "layer_replication"
    yield "parameters as targets", config(target_parameters=["weight"]), "target_parameters"
    yield "DoRA", config(use_dora=True), "use_dora"
    yield "rank-stabilised", config(use_rslora=True), "use_rslora"
    yield "a rank pattern", config(rank_pattern={"q_proj": 64}), "rank_pattern"
    yield "an alpha pattern", config(alpha_pattern={"q_proj": 64000}), "alpha_pattern"
    yield "an init that rewrites the base", config(init_lora_weights="pissa"), "init_lora_weights"
    yield "an unknown config key", config(load_hook="os.system"), "'load_hook'='os.system' is not known"
    yield "another base's name", config(base_model_name_or_path="other/model"), "names the base 'other/model'"
    yield "biases", config(bias="all"), "bias='all'"
    yield "a layers pattern", config(layers_pattern="(a+)+$"), "layers_pattern"
    yield "layers that are no numbers", config(layers_to_transform=["0"]), "layers_to_transform"
    yield "rank 0", config(r=0), "r=0 is not"
    yield "rank true", config(r=True), "r=True is not"
    yield "rank over the limit", config(r=513), "r=513 is not"
    yield "alpha 0", config(lora_alpha=0), "lora_alpha"
    yield "alpha as text", config(lora_alpha="8"), "lora_alpha"
    yield "alpha of 400 digits", config(lora_alpha=10**400), "lora_alpha"
    yield "alpha infinite", config_text(json.dumps({**CONFIG, "lora_alpha": float("inf")}).encode()), "Infinity is not a number"
    yield "alpha beyond floats", config_text(json.dumps(CONFIG).replace('"lora_alpha": 8', '"lora_alpha": 1e999').encode()), "lora_alpha"
    yield "dropout of 2", config(lora_dropout=2.0), "lora_dropout"
    yield "a config that is no JSON", config_text(b"peft_type: LORA"), "not valid JSON"
    yield "a config that is no text", config_text(b"\xff\xfe\x00"), "not valid JSON"
    yield "a config 100,000 deep", config_text(b'{"a":' * 100_000), "not valid JSON"
    yield "a config of 2 MB", config_text(b" " * (2 << 20)), "bytes large"


def hostile_folder() -> Iterator[tuple[str, Build, str]]:
    yield "pickled weights beside", after(lambda p: (p / "adapter_model.bin").write_bytes(pickled(p.parent / CANARY))), "does not belong"
    yield "pickled weights as safetensors", lambda root: lie(root, pickled(root / CANARY)), WEIGHTS
    yield "code beside", after(lambda path: (path / "modeling.py").write_text("raise SystemExit")), "'modeling.py' does not belong"
    yield "a folder beside", after(lambda path: (path / "sub").mkdir()), "'sub' does not belong"
    yield "a listed stranger", lambda root: reseal(with_stranger(root)), "lists 'adapter_model.bin'"
    yield "weights that are a link", replaced(WEIGHTS, lambda file: file.symlink_to("/etc/hostname")), "not a regular file"
    yield "a manifest that is a link", replaced("MANIFEST.json", lambda file: file.symlink_to("/etc/hostname")), "not a regular file"
    yield "weights that are a FIFO", replaced(WEIGHTS, os.mkfifo), "not a regular file"
    yield "a manifest that is a FIFO", replaced("MANIFEST.json", os.mkfifo), "not a regular file"
    yield "weights that are a folder", replaced(WEIGHTS, Path.mkdir), "not a regular file"
    yield "weights that are a device", replaced(WEIGHTS, lambda file: file.symlink_to("/dev/zero")), "not a regular file"
    yield "a sparse terabyte", after(lambda path: os.truncate(path / WEIGHTS, 1 << 40)), "bytes large"
    yield "a folder that is a link", linked_folder, "not a folder"
    yield "no folder", lambda root: root / "acme_support_ana-00000000-v1-00000000", "MANIFEST.json is missing"


def hostile_manifest() -> Iterator[tuple[str, Build, str]]:
    yield "no manifest", after(lambda path: (path / "MANIFEST.json").unlink()), "MANIFEST.json is missing"
    yield "no JSON", after(lambda path: (path / "MANIFEST.json").write_text("{")), "MANIFEST.json can't be read"
    yield "100,000 deep", after(lambda path: (path / "MANIFEST.json").write_text('{"a":' * 100_000)), "MANIFEST.json can't be read"
    yield "17 MB", after(lambda path: os.truncate(path / "MANIFEST.json", 17 << 20)), "bytes large"
    yield "an unknown key", manifest_json(lambda content: content.update(run="sh")), "run: Unexpected"
    yield "a missing key", manifest_json(lambda content: content.pop("seed")), "seed: "
    yield "a wrong hash", manifest_json(lambda content: content["files"][WEIGHTS].update(sha256="0" * 64)), "that make the name"
    yield "a wrong size", manifest_json(lambda content: content["files"][WEIGHTS].update(bytes=1)), "size or SHA-256 differs"
    yield "a hash that is none", manifest_json(lambda content: content["files"][WEIGHTS].update(sha256="../../x")), "sha256: "
    yield "weights not listed", manifest_json(lambda content: content["files"].pop(WEIGHTS)), f"{WEIGHTS}' does not belong"
    yield "another scope's", manifest_json(lambda content: content.update(scope="acme/support/bob")), "that make the name"
    yield "a scope that is none", manifest_json(lambda content: content.update(scope="a/b/c/d")), "not a scope's key"
    yield "another version", manifest_json(lambda content: content.update(version=2)), "that make the name"
    yield "another format", manifest_json(lambda content: content.update(format=2)), "format: "
    yield "another rank", manifest(rank=8), "differ in rank"
    yield "a scale of 2", manifest(scale=2.0), "scale=2.0"
    yield "a folder of another name", lambda root: good(root).rename(root / "acme_support_ana-00000000-v1-00000000"), "not of 'acme"


def with_stranger(root: Path) -> Path:
    path = good(root)
    (path / "adapter_model.bin").write_bytes(pickled(root / CANARY))
    return path


VARIANTS = [*damaged(), *silent_in_peft(), *hostile_header(), *hostile_config(), *hostile_folder(), *hostile_manifest()]
