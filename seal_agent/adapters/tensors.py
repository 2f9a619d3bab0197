"""What of `adapter_model.safetensors` is let through: a well-formed file of finite, moderate LoRA pairs and nothing else.

The header is read by our own few lines, so that a hostile one is refused before any library trusts its numbers. Whether the pairs cover
the base model's layers is not known here: whoever attaches them must see that PEFT reports no missing key.
"""

import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from seal_agent.adapters.folder import parse_json
from seal_agent.adapters.manifest import WEIGHTS
from seal_agent.adapters.peft_config import LoraShape, shown
from seal_agent.errors import IntegrityError

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 16 << 20
METADATA = "__metadata__"
ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
TENSOR_NAME = re.compile(r"(base_model\.model\.[A-Za-z0-9_.]+)\.lora_([AB])\.weight")
LAYER = re.compile(r".*\.[^.]*\.(\d+)\.")
"""How PEFT finds a module's layer number: the last number in its path."""
MAX_NORM = 1e3
"""Largest Frobenius norm of one tensor. PEFT starts `A` at about sqrt(r / 3) (13 at rank 512) and `B` at zero; what AdamW can add in a
thousand steps of 1e-3 stays below this on an 8192-wide layer at rank 64. Damage and sabotage are off by orders of magnitude."""
VALUES_AT_ONCE = 1 << 20

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One entry of the header; `begin` and `end` count from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def check_weights(stream: BinaryIO, size: int, lora: LoraShape) -> None:
    """Raise `IntegrityError` unless the file holds LoRA pairs of this shape, each value finite."""
    tensors, data_start = read_header(stream, size)
    check_layout(tensors, size - data_start)
    check_pairs(tensors, lora)
    for tensor in tensors:
        check_values(stream, data_start, tensor)


def read_header(stream: BinaryIO, size: int) -> tuple[list[Tensor], int]:
    """Return the tensors and where their data begins."""
    prefix = stream.read(LENGTH_BYTES)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < LENGTH_BYTES or not 2 <= length <= min(MAX_HEADER_BYTES, size - LENGTH_BYTES):
        raise IntegrityError(f"{WEIGHTS}: a header of {length} bytes in a file of {size} is not possible, or over {MAX_HEADER_BYTES}")
    header = parse_json(stream.read(length), f"{WEIGHTS}: the header")
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise IntegrityError(f"{WEIGHTS}: {METADATA} is not a map of strings")
    if not header:
        raise IntegrityError(f"{WEIGHTS} holds no tensors: the adapter would answer as the base does")
    return [_tensor(name, entry) for name, entry in header.items()], LENGTH_BYTES + length


def _tensor(name: str, entry: Any) -> Tensor:  # Any: parsed JSON, checked here
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise IntegrityError(f"{WEIGHTS}: {shown(name)} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise IntegrityError(f"{WEIGHTS}: {shown(name)} has dtype {shown(dtype)}; LoRA weights are {', '.join(ITEM_BYTES)}")
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        raise IntegrityError(f"{WEIGHTS}: {shown(name)} has shape {shown(shape)} and data_offsets {shown(offsets)}, which can't be")
    return Tensor(name=name, dtype=dtype, shape=tuple(shape), begin=offsets[0], end=offsets[1])


def _are_counts(value: object) -> bool:
    return isinstance(value, list) and len(value) <= 8 and all(type(item) is int and item >= 0 for item in value)


def check_layout(tensors: list[Tensor], data_bytes: int) -> None:
    """Every byte after the header belongs to exactly one tensor: no overlap, no gap for a second file to hide in, no end beyond."""
    position = 0
    for tensor in sorted(tensors, key=lambda tensor: tensor.begin):
        if tensor.begin != position or tensor.end - tensor.begin != math.prod(tensor.shape) * ITEM_BYTES[tensor.dtype]:
            raise IntegrityError(
                f"{WEIGHTS}: {shown(tensor.name)} of shape {list(tensor.shape)} claims bytes {tensor.begin} to {tensor.end},"
                f" expected it to begin at {position} and to be as long as its shape"
            )
        position = tensor.end
    if position != data_bytes:
        raise IntegrityError(f"{WEIGHTS}: {data_bytes} bytes of data, its header describes {position}; it was cut off or added to")


def check_pairs(tensors: list[Tensor], lora: LoraShape) -> None:
    """An A and a B for each module, of the config's rank, in modules that the config names; and none of these without a pair."""
    pairs: dict[str, set[str]] = {}
    for tensor in tensors:
        match = TENSOR_NAME.fullmatch(tensor.name)
        if match is None:
            raise IntegrityError(f"{WEIGHTS}: {shown(tensor.name)} is not the name of a LoRA weight, PEFT would skip it")
        module, side = match.groups()
        if module.rsplit(".", 1)[-1] not in lora.target_modules:
            raise IntegrityError(f"{WEIGHTS}: {shown(tensor.name)} is not in one of the config's target_modules")
        if len(tensor.shape) != 2 or 0 in tensor.shape or tensor.shape[side == "B"] != lora.rank:
            raise IntegrityError(f"{WEIGHTS}: {shown(tensor.name)} has shape {list(tensor.shape)}, which does not fit r={lora.rank}")
        pairs.setdefault(module, set()).add(side)
    for module, sides in pairs.items():
        if sides != {"A", "B"}:
            raise IntegrityError(f"{WEIGHTS}: {shown(module)} has lora_{min(sides)} only; the other half of the pair is missing")
    check_cover(pairs.keys(), lora)


def check_cover(modules: Collection[str], lora: LoraShape) -> None:
    """Every target module and every layer that the config names has its tensors: PEFT leaves what is missing untrained and goes on."""
    untouched = lora.target_modules - {module.rsplit(".", 1)[-1] for module in modules}
    if untouched:
        raise IntegrityError(f"{WEIGHTS}: no tensors for target module {min(untouched)!r} of the config")
    layers = {int(match[1]) for module in modules if (match := LAYER.match(module))}
    if lora.layers is not None and layers != lora.layers:
        raise IntegrityError(f"{WEIGHTS}: no tensors for, or not in the config, are layers {sorted(layers ^ lora.layers)}")


def check_values(stream: BinaryIO, data_start: int, tensor: Tensor) -> None:
    """Finite, and of moderate size. An infinity can leave every answer finite, so looking at answers would not find it."""
    squares = 0.0
    for values in read_values(stream, data_start, tensor):
        if not bool(np.isfinite(values).all()):
            raise IntegrityError(f"{WEIGHTS}: {shown(tensor.name)} holds values that are not finite")
        squares += float(np.dot(values, values))
    if math.sqrt(squares) > MAX_NORM:
        raise IntegrityError(f"{WEIGHTS}: {shown(tensor.name)} has norm {math.sqrt(squares):.3g}; a trained one is below {MAX_NORM:g}")


def read_values(stream: BinaryIO, data_start: int, tensor: Tensor) -> Iterator[Floats]:
    """The values of a tensor, some at a time."""
    stream.seek(data_start + tensor.begin)
    for first in range(tensor.begin, tensor.end, VALUES_AT_ONCE * ITEM_BYTES[tensor.dtype]):
        raw = stream.read(min(VALUES_AT_ONCE * ITEM_BYTES[tensor.dtype], tensor.end - first))
        if tensor.dtype == "BF16":  # numpy has none: it is the upper half of a float32
            yield (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4").astype(np.float64)
        else:
            yield np.frombuffer(raw, "<f4" if tensor.dtype == "F32" else "<f2").astype(np.float64)
