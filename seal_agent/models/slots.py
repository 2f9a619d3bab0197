"""The keys and values of a running batch: one slot per row, rows come and go while the others run.

Each row begins at the first place of its slot, whatever its length, so that its sums have the same order alone and in company. Full
attention is kept, also for layers with a sliding window, whose mask leaves out what lies before it. Deliberately no paging: slots grow
by doubling, and a row that leaves is replaced by the last.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PretrainedConfig
from transformers.cache_utils import Cache, CacheLayerMixin

SMALLEST = 128
"""Places of a slot at first."""
PLACES_AT_ONCE = 64
"""A batch looks at a multiple of so many places: the order of a sum must not hang on the length of the longest row."""

KeysAndValues = list[tuple[torch.Tensor, torch.Tensor]]


@dataclass(slots=True)
class Pass:
    """The forward pass under way: `count` rows from slot `first`, each with its new tokens at `positions` [rows, tokens]."""

    first: int = 0
    count: int = 0
    positions: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.long))
    end: int = 0
    """Places that the rows look at."""


class SlotLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]  # transformers does not type how it registers layers
    """One layer's keys and values, both [slots, heads, places, dim]."""

    keys: torch.Tensor
    values: torch.Tensor
    is_sliding = False
    is_croppable = False

    def __init__(self, current: Pass) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.current = current

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        # Zeros, not whatever the memory holds: a masked place has weight zero, and zero times NaN is NaN.
        self.keys, self.values = (torch.zeros(0, x.shape[1], SMALLEST, x.shape[3], dtype=x.dtype) for x in (key_states, value_states))
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        now = self.current
        self.keys = grown(self.keys, now.first + now.count, now.end).to(key_states.device)
        self.values = grown(self.values, now.first + now.count, now.end).to(key_states.device)
        rows = torch.arange(now.first, now.first + now.count, device=key_states.device)[:, None]
        self.keys[rows, :, now.positions] = key_states.transpose(1, 2)
        self.values[rows, :, now.positions] = value_states.transpose(1, 2)
        taken = slice(now.first, now.first + now.count)
        return self.keys[taken, :, : now.end], self.values[taken, :, : now.end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.current.end, 0

    def get_seq_length(self) -> int:
        return self.current.end - self.current.positions.shape[1] if self.current.count else 0

    def get_max_length(self) -> int:
        return -1


def grown(held: torch.Tensor, slots: int, places: int) -> torch.Tensor:
    """Return it with room for so many, twice as large where it was too small."""
    most_slots, most_places = held.shape[0], held.shape[2]
    while most_slots < slots:
        most_slots = max(1, 2 * most_slots)
    while most_places < places:
        most_places *= 2
    if (most_slots, most_places) == (held.shape[0], held.shape[2]):
        return held
    larger = held.new_zeros(most_slots, held.shape[1], most_places, held.shape[3])
    larger[: held.shape[0], :, : held.shape[2]] = held
    return larger


class Slots(Cache):
    """What transformers takes as `past_key_values`."""

    def __init__(self, layers: int) -> None:
        self.now = Pass()
        super().__init__(layers=[SlotLayer(self.now) for _ in range(layers)])

    def begin(self, first: int, positions: torch.Tensor, end: int) -> None:
        """Say where the next forward pass writes."""
        self.now.first, self.now.count, self.now.positions, self.now.end = first, positions.shape[0], positions, end

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row's first `length` places to another slot."""
        for layer in self._filled():
            for held in (layer.keys, layer.values):
                held[target, :, :length] = held[source, :, :length]

    def save(self, slot: int, length: int) -> KeysAndValues:
        """Copy out the first places of a slot."""
        return [(layer.keys[slot, :, :length].clone(), layer.values[slot, :, :length].clone()) for layer in self._filled()]

    def restore(self, slot: int, saved: KeysAndValues) -> None:
        """Put what `save` returned at the beginning of a slot."""
        for layer, (keys, values) in zip(self._filled(), saved, strict=True):
            layer.keys = grown(layer.keys, slot + 1, keys.shape[1])
            layer.values = grown(layer.values, slot + 1, values.shape[1])
            layer.keys[slot, :, : keys.shape[1]] = keys
            layer.values[slot, :, : values.shape[1]] = values

    def _filled(self) -> list[SlotLayer]:
        return [layer for layer in self.layers if isinstance(layer, SlotLayer) and layer.is_initialized]


@dataclass(frozen=True, slots=True)
class Masks:
    """Which places each new token looks at, in the form that the architecture takes."""

    window: int | None
    kinds: frozenset[str]

    @classmethod
    def of(cls, config: PretrainedConfig) -> "Masks":
        return cls(getattr(config, "sliding_window", None), frozenset(getattr(config, "layer_types", None) or ()))

    def __call__(self, positions: torch.Tensor, end: int, dtype: torch.dtype) -> Any:
        """Additive, [rows, 1, tokens, places]; by kind of layer where a model has several."""
        if self.window is None or self.kinds == {"full_attention"}:
            return causal(positions, end, None, dtype)
        windowed = causal(positions, end, self.window, dtype)
        if len(self.kinds) > 1:
            return {"full_attention": causal(positions, end, None, dtype), "sliding_attention": windowed}
        return windowed


def causal(positions: torch.Tensor, end: int, window: int | None, dtype: torch.dtype) -> torch.Tensor:
    places = torch.arange(end, device=positions.device)
    allowed = places <= positions[:, None, :, None]
    if window is not None:
        allowed &= places > positions[:, None, :, None] - window
    return torch.zeros(allowed.shape, dtype=dtype, device=positions.device).masked_fill_(~allowed, torch.finfo(dtype).min)
