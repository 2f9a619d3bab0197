"""Read a LoRA from a folder for the serving view: every tensor of the file in its place, or `IntegrityError`.

PEFT is not needed for that, and would take ten times as long: it builds a module for each pair. What this reads is plain LoRA; variants
(DoRA, rank-stabilised scaling, patterns) are refused, never half applied. Whether the files are those that were published is not known
here: `adapters/verify.py` sees to that, before.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from seal_agent.errors import IntegrityError
from seal_agent.models.packed import LoraWeights, PackedLinear, Pair

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
PREFIX = "base_model.model."
LAYER = re.compile(r".*\.[^.]*\.(\d+)\.")
"""How PEFT finds a module's layer number: the last number in its path."""
PLAIN: Mapping[str, tuple[object, ...]] = {
    "use_dora": (None, False),
    "use_rslora": (None, False),
    "use_qalora": (None, False),
    "fan_in_fan_out": (None, False),
    "lora_bias": (None, False),
    "bias": (None, "none"),
    "rank_pattern": (None, {}),
    "alpha_pattern": (None, {}),
    "modules_to_save": (None, []),
    "layers_pattern": (None, [], ""),
    "layer_replication": (None, []),
    "trainable_token_indices": (None, []),
    "target_parameters": (None, []),
}
"""Values at which a LoRA is what is read here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What of a LoRA's config its tensors must fit."""

    rank: int
    alpha: float
    targets: frozenset[str]
    layers: frozenset[int] | None


def read_lora(name: str, view: torch.nn.Module, folder: Path) -> LoraWeights:
    """Return the adapter for this view; raise `IntegrityError` naming the folder and what is wrong with it."""
    absent = [file for file in (CONFIG, WEIGHTS) if not (folder / file).is_file()]
    if absent:
        raise refused(folder, f"{absent[0]} is missing")
    try:
        shape = shape_of(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        stored = load_file(folder / WEIGHTS)
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise refused(folder, f"{type(error).__name__}: {error}") from error
    modules = {place: module for place, module in view.named_modules() if isinstance(module, PackedLinear) and meant(place, shape)}
    missing = shape.targets - {place.rsplit(".", 1)[-1] for place in modules}
    if missing:
        raise refused(folder, f"this model has no module {min(missing)!r}")
    check_fit(folder, stored, wanted_shapes(modules, shape.rank))
    scale = shape.alpha / shape.rank
    some = next(iter(view.parameters()))
    placed = {key: tensor.to(some.device, some.dtype) for key, tensor in stored.items()}
    pairs = {
        place: Pair(
            down=placed[tensor_name(place, "A")].t().contiguous()[None], up=(placed[tensor_name(place, "B")] * scale).t().contiguous()[None]
        )
        for place in modules
    }
    return LoraWeights(name, pairs)


def shape_of(config: Any) -> Shape:  # Any: parsed JSON, checked here
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise ValueError("it is not a LoRA")
    for key, plain in PLAIN.items():
        if config.get(key) not in plain:
            raise ValueError(f"{key}={config[key]!r} is a variant of LoRA that is not served")
    rank, alpha, targets, layers = (config.get(key) for key in ("r", "lora_alpha", "target_modules", "layers_to_transform"))
    if type(rank) is not int or rank < 1 or not isinstance(alpha, int | float):
        raise ValueError(f"r={rank!r} and lora_alpha={alpha!r} are no numbers of a LoRA")
    if not isinstance(targets, list) or not targets or not all(isinstance(target, str) for target in targets):
        raise ValueError("target_modules is not a list of names")
    numbers = [layers] if type(layers) is int else layers
    if numbers is not None and not (isinstance(numbers, list) and all(type(number) is int for number in numbers)):
        raise ValueError(f"layers_to_transform={layers!r} is not a list of layer numbers")
    return Shape(rank=rank, alpha=float(alpha), targets=frozenset(targets), layers=None if numbers is None else frozenset(numbers))


def meant(place: str, shape: Shape) -> bool:
    """Whether the config names this module."""
    if not any(place == target or place.endswith(f".{target}") for target in shape.targets):
        return False
    layer = LAYER.match(place)
    return shape.layers is None or (layer is not None and int(layer[1]) in shape.layers)


def tensor_name(place: str, side: str) -> str:
    return f"{PREFIX}{place}.lora_{side}.weight"


def wanted_shapes(modules: Mapping[str, PackedLinear], rank: int) -> dict[str, list[int]]:
    wanted = {tensor_name(place, "A"): [rank, module.in_features] for place, module in modules.items()}
    return wanted | {tensor_name(place, "B"): [module.out_features, rank] for place, module in modules.items()}


def check_fit(folder: Path, stored: Mapping[str, torch.Tensor], wanted: Mapping[str, list[int]]) -> None:
    """Each tensor of the file has its place in the model, each place its tensor, of one shape."""
    for name in sorted(stored.keys() | wanted.keys()):
        if name not in wanted:
            raise refused(folder, f"{name} has no place in this model")
        if name not in stored:
            raise refused(folder, f"{name} is missing from {WEIGHTS}")
        if list(stored[name].shape) != wanted[name]:
            raise refused(folder, f"{name} has shape {list(stored[name].shape)}, this model needs {wanted[name]}")


def refused(folder: Path, reason: str) -> IntegrityError:
    return IntegrityError(
        f"The adapter in {str(folder)!r} can't be put on this model: {reason}. Was it trained on another base, or damaged?"
        " Roll back to an earlier one, or consolidate again."
    )
