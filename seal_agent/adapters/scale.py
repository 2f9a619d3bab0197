"""A candidate with its update made smaller: the same LoRA, its B matrices multiplied by a factor below one. All else stays to the byte."""

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seal_agent.adapters.manifest import WEIGHTS
from seal_agent.adapters.tensors import read_header
from seal_agent.errors import UsageError

UPDATE = ".lora_B."
"""In the names of the matrices that are multiplied."""
HALF = np.uint32(0x7FFF)
"""Just below half of the last bit that a bfloat16 keeps of a float32."""
DROPPED = np.uint32(16)
"""Bits of a float32 that a bfloat16 leaves out."""


def scaled(source: Path, target: Path, factor: float) -> Path:
    """Copy an unpublished adapter folder to `target` (must not exist) with its update multiplied by `factor` in (0, 1]; return `target`.

    Raise `IntegrityError` for weights that are no well-formed file of floats.
    """
    if not 0.0 < factor <= 1.0:
        raise UsageError(f"factor={factor!r}: an adapter is only ever scaled down.")
    shutil.copytree(source, target)
    weights = target / WEIGHTS
    with weights.open("r+b") as stream:
        tensors, data_start = read_header(stream, weights.stat().st_size)
        for tensor in tensors:
            if UPDATE in tensor.name:
                stream.seek(data_start + tensor.begin)
                raw = stream.read(tensor.end - tensor.begin)
                stream.seek(data_start + tensor.begin)
                stream.write(multiplied(raw, tensor.dtype, factor))
    return target


def multiplied(raw: bytes, dtype: str, factor: float) -> bytes:
    """The values times the factor, in the type that they have."""
    match dtype:
        case "F32":
            return (np.frombuffer(raw, "<f4") * np.float32(factor)).tobytes()
        case "F16":
            return (np.frombuffer(raw, "<f2") * np.float16(factor)).tobytes()
        case _:  # bfloat16, which numpy lacks: the upper half of a float32
            whole = (np.frombuffer(raw, "<u2").astype("<u4") << DROPPED).view("<f4") * np.float32(factor)
            return rounded(whole).tobytes()


def rounded(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """As bfloat16 bits, to the nearest and of two equally near to the even one; what is not finite stays so."""
    bits = values.view("<u4")
    nearest = bits + HALF + ((bits >> DROPPED) & np.uint32(1))
    return (np.where(np.isfinite(values), nearest, bits) >> DROPPED).astype("<u2")
