"""What LoRA training has to compute, counted from the model's shapes, and how fast the machine multiplies matrices of these shapes.

It trains nothing: `training_throughput.py` does, and divides the one by the other.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from seal_agent.config import TrainingSettings
from seal_agent.models.local import LocalModel
from seal_agent.trainers.frozen import layers_of

GEMM_ROWS = 512
GEMM_SECONDS = 0.3
"""Processor-seconds of matrix products per shape and trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes that the operations of a training step depend on."""

    hidden: int
    vocabulary: int
    layers: int
    """Decoder layers that are trained."""
    rank: int
    linear: tuple[tuple[int, int], ...]
    """(inputs, outputs) of one decoder layer's linear maps, the ones that read the layer's input first."""
    reading: int
    """How many of these read the layer's input: query, key and value."""


def training_flops(shape: Shape, documents: Sequence[tuple[int, int]], shared: int = 0) -> int:
    """Floating-point operations that LoRA training can't do without, for documents of (tokens, labelled tokens); an addition counts one.

    `shared` tokens were run for another document of the batch already, which begins alike.

    Frozen linear maps: 2 per weight and token forward and 2 backward, for the gradient of their inputs (their own weights need none).
    LoRA matrices: 2 forward, 4 backward. The inputs of the first trained layer need no gradient, which saves the maps that read them
    the input's share. Attention: scores and mixing, 4 x hidden per pair of tokens forward and twice that backward, pairs under the causal
    triangle only. Output head: 2 per weight and labelled token forward, 2 backward. Norms, activations, rotary embeddings, softmax and
    the optimiser are not counted, nor is padding: whatever a trainer spends on these lowers its fraction.
    """
    weights = sum(inputs * outputs for inputs, outputs in shape.linear)
    lora = shape.rank * sum(inputs + outputs for inputs, outputs in shape.linear)
    spared = sum(2 * inputs * (outputs + shape.rank) for inputs, outputs in shape.linear[: shape.reading])
    tokens = sum(length for length, _ in documents) - shared
    pairs = sum(length * (length + 1) // 2 for length, _ in documents)
    labelled = sum(answer for _, answer in documents)
    per_token = shape.layers * (4 * weights + 6 * lora) - spared
    return tokens * per_token + shape.layers * 12 * shape.hidden * pairs + 4 * shape.vocabulary * shape.hidden * labelled


def shape_of(model: LocalModel, settings: TrainingSettings) -> Shape:
    view = model.new_view()
    layers = layers_of(view)
    maps = {key.rsplit(".", 1)[-1]: part for key, part in layers[0].named_modules() if isinstance(part, torch.nn.Linear)}
    readers = [key for key in ("q_proj", "k_proj", "v_proj") if key in maps]
    ordered = [maps[key] for key in (*readers, *sorted(maps.keys() - set(readers)))]
    return Shape(
        hidden=view.config.hidden_size,
        vocabulary=view.config.vocab_size,
        layers=max(1, round(len(layers) * settings.layer_share)),
        rank=settings.rank,
        linear=tuple((part.in_features, part.out_features) for part in ordered),
        reading=len(readers),
    )


def gemm_rate(shape: Shape, dtype: torch.dtype) -> float:
    """Operations per processor-second of plain matrix products, the model's linear maps in the proportion in which it holds them."""
    seconds = 0.0
    for inputs, outputs in shape.linear:
        left, right = torch.randn(GEMM_ROWS, inputs, dtype=dtype), torch.randn(inputs, outputs, dtype=dtype)
        left @ right
        began, count = time.process_time(), 0
        while time.process_time() - began < GEMM_SECONDS:
            left @ right
            count += 1
        seconds += (time.process_time() - began) / count
    return sum(2 * GEMM_ROWS * inputs * outputs for inputs, outputs in shape.linear) / seconds
