"""What `hot_swap.py` stands on: brains with ready-made adapters, made to measure and not to be used.

Adapters here are either trained on the tiny model within seconds, or random ones of the real size for the embedded model: how fast they
are swapped does not hang on what they know.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from safetensors.torch import save_file

from seal_agent.adapters.artefact import Manifest, TrainingFigures, adapter_name, new_stage, publish, weights_sha256
from seal_agent.adapters.switch import switch
from seal_agent.builders import hash_of_model
from seal_agent.ledger.adapters import next_version, register_adapter
from seal_agent.ledger.cycles import end_cycle, start_cycle
from seal_agent.memory import Memory
from seal_agent.models.local import LocalModel
from seal_agent.models.packed import PackedLinear
from seal_agent.scope import Scope
from seal_agent.types import Adapter

RANK, ALPHA = 16, 32


def install(memory: Memory, model: LocalModel, scope: Scope, staged: Path) -> Adapter:
    """Publish what lies in `staged` as this scope's next adapter, promoted once; the one installed last is live."""
    root, ledger = memory.folder / "adapters", memory._parts.ledger
    now = datetime.now(UTC)
    with ledger.read() as connection:
        version = next_version(connection, scope.id)
    sha256 = weights_sha256(staged)
    name = adapter_name(scope.id, version, sha256)
    figures = TrainingFigures(steps=0, passes=0, trained_tokens=0, seconds=0.0, losses=(), stopped_early=False)
    manifest = Manifest(
        name=name,
        scope=scope.id.key,
        version=version,
        parent=None,
        base_id=model.id,
        base_sha256=hash_of_model(model),
        facts={},
        self_edits={},
        seed=0,
        hyper_parameters={},
        code_version="0",
        created_at=now,
        training=figures,
        evaluation=None,
    )
    path = publish(staged, root, manifest)
    adapter = Adapter(
        name=name,
        scope=scope.id,
        version=version,
        path=path.relative_to(memory.folder),
        sha256=sha256,
        base_id=model.id,
        parent=None,
        state="promoted",
        created_at=now,
        cycle_id=f"c_{name}",
        fact_ids=(),
    )
    with ledger.write() as connection:
        start_cycle(connection, adapter.cycle_id, scope.id, 0, now)
        register_adapter(connection, adapter)
        switch(connection, scope.id, name, now, "installed by a benchmark")
        end_cycle(connection, adapter.cycle_id, "promoted", "installed by a benchmark", "{}", now)
    return adapter


def random_lora(model: LocalModel, folder: Path, seed: int, layers: Sequence[int]) -> Path:
    """Write a random LoRA of the default size over these layers' linear modules to `folder`, as PEFT would, and return it."""
    view, _ = model.serving()
    draw = torch.Generator().manual_seed(seed)
    numbers = {f".{layer}." for layer in layers}
    tensors, targets = {}, set()
    for place, module in view.named_modules():
        if isinstance(module, PackedLinear) and any(number in place for number in numbers):
            targets.add(place.rsplit(".", 1)[-1])
            down = torch.randn(RANK, module.in_features, generator=draw) / module.in_features**0.5
            tensors[f"base_model.model.{place}.lora_A.weight"] = down
            tensors[f"base_model.model.{place}.lora_B.weight"] = torch.randn(module.out_features, RANK, generator=draw) * 0.01
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": model.id,
        "r": RANK,
        "lora_alpha": ALPHA,
        "target_modules": sorted(targets),
        "layers_to_transform": list(layers),
        "bias": "none",
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def stage(memory: Memory) -> Path:
    return new_stage(memory.folder / "adapters")
