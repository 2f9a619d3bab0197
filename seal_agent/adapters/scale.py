"""A candidate with its update made smaller: the same LoRA, its B matrices multiplied by a factor below one."""

import shutil
from pathlib import Path

from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from seal_agent.errors import UsageError

WEIGHTS = "adapter_model.safetensors"


def scaled(source: Path, target: Path, factor: float) -> Path:
    """Copy an unpublished adapter folder to `target` (must not exist) with its update multiplied by `factor` in (0, 1]; return `target`."""
    if not 0.0 < factor <= 1.0:
        raise UsageError(f"factor={factor!r}: an adapter is only ever scaled down.")
    shutil.copytree(source, target)
    tensors = load_file(source / WEIGHTS)
    with safe_open(source / WEIGHTS, framework="numpy") as opened:
        metadata = opened.metadata()
    smaller = {name: (tensor * tensor.dtype.type(factor) if ".lora_B." in name else tensor) for name, tensor in tensors.items()}
    save_file(smaller, target / WEIGHTS, metadata=metadata)
    return target
