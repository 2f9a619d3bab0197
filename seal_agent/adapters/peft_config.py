"""What of `adapter_config.json` is let through to PEFT: a plain LoRA over modules that are named one by one.

PEFT acts on this file: it imports modules, replaces layers, compiles patterns and rewrites base weights as it says. So everything but
the plain case is refused, also where PEFT itself would be content, and so is any key that is not known here.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from seal_agent.adapters.folder import parse_json
from seal_agent.adapters.manifest import CONFIG
from seal_agent.errors import IntegrityError

MAX_RANK = 512
MAX_SCALING = 16.0
"""Largest alpha / r. Recipes use 1 to 4; a factor of a million is how a damaged or hostile config drowns the base."""
MAX_TARGETS = 256
MAX_LAYERS = 4096
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
MUST_BE_OFF = (
    # Imports and replaces code or modules.
    "auto_mapping",
    "megatron_config",
    "modules_to_save",
    "trainable_token_indices",
    "layer_replication",
    "target_parameters",
    "ensure_weight_tying",
    # Adds to, or rewrites, more than the LoRA's own two matrices per layer.
    "lora_bias",
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    "arrow_config",
    "kasa_config",
    "velora_config",
    "monteclora_config",
    "alora_invocation_tokens",
    # Changes the scaling behind the back of alpha / r.
    "use_rslora",
    "rank_pattern",
    "alpha_pattern",
    # Patterns: compiled as regular expressions, some of which never return.
    "exclude_modules",
    "layers_pattern",
)
OFF: tuple[object, ...] = (None, False, "", [], {})
PLAIN = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "bias": "none", "init_lora_weights": True}
"""Where "off" is a value of its own. Other initialisations (pissa, olora, loftq, …) change the base's weights when they are loaded."""

BASE_NAME = "base_model_name_or_path"
KNOWN = frozenset(
    {
        *MUST_BE_OFF,
        *PLAIN,
        BASE_NAME,
        "fan_in_fan_out",
        "inference_mode",
        "layers_to_transform",
        "lora_alpha",
        "lora_dropout",
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "r",
        "revision",
        "runtime_config",
        "target_modules",
    }
)
"""Keys whose meaning is known; the last group does nothing to a plain LoRA that is only run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraShape:
    """What the tensors have to agree with."""

    rank: int
    alpha: float
    target_modules: frozenset[str]
    layers: frozenset[int] | None
    """Numbers of the layers that carry it; None where the config leaves it at all of them."""


def check_config(text: bytes) -> LoraShape:
    """Raise `IntegrityError` for anything but a plain LoRA; a key that is unknown here may only say that something is off."""
    config = parse_json(text, CONFIG)
    for key, value in config.items():
        if key not in KNOWN and value not in OFF:
            raise IntegrityError(f"{CONFIG}: {shown(key)}={shown(value)} is not known; only a plain LoRA is loaded")
    for key in MUST_BE_OFF:
        if config.get(key) not in OFF:
            raise IntegrityError(f"{CONFIG}: {key}={shown(config[key])} is not allowed; only a plain LoRA is loaded")
    for key, allowed in PLAIN.items():
        value = config.get(key, None if key == "peft_type" else allowed)
        if type(value) is not type(allowed) or value != allowed:  # the type too: 1 == True
            raise IntegrityError(f"{CONFIG}: {key}={shown(value)} is not {allowed!r}; only a plain LoRA is loaded")
    rank, alpha = _rank(config), _number(config, "lora_alpha", 0.0)
    if not 0.0 < alpha <= MAX_SCALING * rank:
        raise IntegrityError(f"{CONFIG}: lora_alpha={alpha!r} with r={rank} is not a scaling in (0, {MAX_SCALING:g}]")
    if not 0.0 <= _number(config, "lora_dropout", 0.0) < 1.0:
        raise IntegrityError(f"{CONFIG}: lora_dropout={config['lora_dropout']!r} is not in [0, 1)")
    return LoraShape(rank=rank, alpha=alpha, target_modules=_targets(config), layers=_layers(config))


def to_publish(text: bytes, base_id: str) -> bytes:
    """What goes into the published folder: the known keys, with the base by its id instead of a path of the machine that trained it.

    Other keys are a newer PEFT's defaults: seal-agent's own trainers set none of them.
    """
    config = parse_json(text, CONFIG)
    kept = {key: value for key, value in config.items() if key in KNOWN} | {BASE_NAME: base_id}
    return json.dumps(kept, indent=2, sort_keys=True).encode() + b"\n"


def check_base(text: bytes, base_id: str) -> None:
    """Raise `IntegrityError` where the config names another base than the manifest."""
    named = parse_json(text, CONFIG).get(BASE_NAME)
    if named != base_id:
        raise IntegrityError(f"{CONFIG} names the base {shown(named)}, the manifest {base_id!r}")


def _rank(config: dict[str, Any]) -> int:  # Any: parsed JSON, checked here
    rank = config.get("r")
    if type(rank) is not int or not 1 <= rank <= MAX_RANK:
        raise IntegrityError(f"{CONFIG}: r={shown(rank)} is not a whole number from 1 to {MAX_RANK}")
    return rank


def _number(config: dict[str, Any], key: str, default: float) -> float:  # Any: as above
    value = config.get(key, default)
    if type(value) not in (int, float) or abs(value) > MAX_RANK * MAX_SCALING or not math.isfinite(value):
        raise IntegrityError(f"{CONFIG}: {key}={shown(value)} is not a number in range")
    return float(value)


def _targets(config: dict[str, Any]) -> frozenset[str]:  # Any: as above
    targets = config.get("target_modules")
    if not isinstance(targets, list) or not 1 <= len(targets) <= MAX_TARGETS:
        # A string is a pattern to PEFT, and some patterns never return.
        raise IntegrityError(f"{CONFIG}: target_modules={shown(targets)} is not a list of 1 to {MAX_TARGETS} module names")
    for target in targets:
        if not isinstance(target, str) or not IDENTIFIER.fullmatch(target):
            raise IntegrityError(f"{CONFIG}: target_modules holds {shown(target)}, which is not a plain module name")
    return frozenset(targets)


def _layers(config: dict[str, Any]) -> frozenset[int] | None:  # Any: as above
    layers = config.get("layers_to_transform")
    if layers is None:
        return None
    if not isinstance(layers, list) or not layers or not all(type(layer) is int and 0 <= layer < MAX_LAYERS for layer in layers):
        raise IntegrityError(f"{CONFIG}: layers_to_transform={shown(layers)} is not a list of layer numbers")
    return frozenset(layers)


def shown(value: object) -> str:
    """A stranger's value, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
