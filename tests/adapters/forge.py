"""Adapter folders made by hand, good ones and consistent lies: whatever is changed, manifest, hashes and name are made to agree with it."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seal_agent.adapters.artefact import FileRecord, Manifest, TrainingFigures, adapter_name, publish, weights_sha256
from seal_agent.adapters.manifest import encode
from seal_agent.types import ScopeId

ANA = ScopeId(tenant="acme", agent="support", user="ana")
BASE = "b" * 64
RANK = 4
WIDTH = 8
TARGETS = ("q_proj", "v_proj")
LAYERS = (0, 1)
CONFIG: dict[str, Any] = {  # Any: JSON; these are the keys that peft 0.21.2 writes
    "task_type": "CAUSAL_LM",
    "peft_type": "LORA",
    "auto_mapping": None,
    "base_model_name_or_path": "some/model",
    "inference_mode": True,
    "r": RANK,
    "target_modules": list(TARGETS),
    "exclude_modules": None,
    "lora_alpha": 8,
    "lora_dropout": 0.0,
    "fan_in_fan_out": False,
    "bias": "none",
    "use_rslora": False,
    "modules_to_save": None,
    "init_lora_weights": True,
    "layers_to_transform": None,
    "rank_pattern": {},
    "alpha_pattern": {},
    "megatron_core": "megatron.core",
    "loftq_config": {},
    "use_dora": False,
    "qalora_group_size": 16,
}

Arrays = Mapping[str, npt.NDArray[Any]]  # Any: of several dtypes


def tensor_name(layer: int, target: str, side: str) -> str:
    return f"base_model.model.model.layers.{layer}.self_attn.{target}.lora_{side}.weight"


def tensors(seed: int = 0) -> dict[str, npt.NDArray[Any]]:  # Any: as above
    random = np.random.default_rng(seed)
    shapes = {"A": (RANK, WIDTH), "B": (WIDTH, RANK)}
    return {
        tensor_name(layer, target, side): random.normal(0, 0.1, shape).astype(np.float32)
        for layer in LAYERS
        for target in TARGETS
        for side, shape in shapes.items()
    }


DTYPES = {"float32": "F32", "float16": "F16", "float64": "F64", "int64": "I64"}


def layout(arrays: Arrays) -> tuple[dict[str, dict[str, Any]], bytes]:  # Any: a header's entries
    """Header and data of a safetensors file."""
    header: dict[str, dict[str, Any]] = {}  # Any: as above
    data = b""
    for name, array in arrays.items():
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": DTYPES[str(array.dtype)], "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    return header, data


def pack(header: Mapping[str, object] | bytes, data: bytes, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def safetensors(arrays: Arrays) -> bytes:
    return pack(*layout(arrays))


def stage(folder: Path, weights: bytes | None = None, config: bytes | None = None) -> Path:
    """What a trainer leaves: weights, config, and peft's own empty card."""
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(safetensors(tensors()) if weights is None else weights)
    (folder / "adapter_config.json").write_bytes(json.dumps(CONFIG).encode() if config is None else config)
    (folder / "README.md").write_text("[More Information Needed]")
    return folder


def manifest_of(staged: Path, version: int = 1, scope: ScopeId = ANA, base: str = BASE) -> Manifest:
    return Manifest(
        name=adapter_name(scope, version, weights_sha256(staged)),
        scope=scope.key,
        version=version,
        parent=None,
        base_id="some/model",
        base_sha256=base,
        facts={"f1": "c" * 64},
        self_edits={"question": 8, "rewrite": 2},
        seed=0,
        hyper_parameters={"learning_rate": 1e-3},
        code_version="0.1.0",
        created_at=datetime(2026, 11, 22, 3, 0, tzinfo=UTC),
        training=TrainingFigures(steps=10, passes=2, trained_tokens=500, seconds=1.5, losses=(2.0, 0.25), stopped_early=True),
        evaluation=None,
    )


def good(root: Path, version: int = 1) -> Path:
    staged = stage(root / ".staged")
    return publish(staged, root, manifest_of(staged, version))


def lie(root: Path, weights: bytes | None = None, **config: object) -> Path:
    """An adapter that is bad inside but whose manifest, hashes and name all agree: what is wrong must be found in the file itself."""
    text = json.dumps({**CONFIG, **config}).encode()
    return reseal(stage(root / ".staged", weights, text))


def reseal(folder: Path, **changes: Any) -> Path:  # Any: fields of Manifest
    """Write a manifest that agrees with whatever the folder holds, then change it."""
    (folder / "MANIFEST.json").unlink(missing_ok=True)
    files = {path.name: record(path.read_bytes()) for path in folder.iterdir()}
    manifest = replace(manifest_of(folder), **{"rank": RANK, "alpha": 8.0, "target_modules": TARGETS, "files": files, **changes})
    (folder / "MANIFEST.json").write_bytes(encode(manifest))
    final = folder.parent / manifest.name
    if final != folder:
        shutil.rmtree(final, ignore_errors=True)
        folder.rename(final)
    return final


def record(content: bytes) -> FileRecord:
    return FileRecord(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def names(folder: Path) -> list[str]:
    """What lies in a folder, hidden or not; nothing in one that does not exist."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
