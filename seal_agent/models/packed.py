"""The linear layers of the serving view: weights laid out once for small batches, and per row of the batch its own adapter.

oneDNN's packed layout is used where it is to be had (a CPU build of torch with it). Two things come of that, both measured
(docs/decisions): decoding a batch of 16 takes half of the time, and a row's result is the same to the bit whatever rows stand beside it,
which the plain product does not promise. It is a second copy of the weights. Deliberately inference only: training has the plain base.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.nn.functional import linear

logger = logging.getLogger(__name__)

Product = Callable[[torch.Tensor], torch.Tensor]

PACKED_FOR = 16
"""Rows that the layout is made for; it serves any other number too, a little slower."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One module's update: `down` [1, in, rank], `up` [1, rank, out], the latter scaled by alpha / rank already; both contiguous."""

    down: torch.Tensor
    up: torch.Tensor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[rows, tokens, in] to [rows, tokens, out], each row by itself: as fast as one product, and the same bits in any company."""
        rows = x.shape[0]
        return torch.bmm(torch.bmm(x, self.down.expand(rows, -1, -1)), self.up.expand(rows, -1, -1))


@dataclass(frozen=True, slots=True, eq=False)
class LoraWeights:
    """One adapter in memory. Immutable, and kept alive by the requests that run with it."""

    name: str
    pairs: dict[str, Pair]
    """By the module's name in the model."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The rows of a batch that carry one adapter; `rows` is None for all of them."""

    weights: LoraWeights
    rows: torch.Tensor | None


class Carried(threading.local):
    """Which rows of the forward pass that this thread is in carry which adapter."""

    segments: tuple[Segment, ...] = ()


CARRIED = Carried()


def segments_of(adapters: Sequence[LoraWeights | None]) -> tuple[Segment, ...]:
    """Group the rows of a batch by adapter; rows of the base are in no segment."""
    rows: dict[int, list[int]] = {}
    known: dict[int, LoraWeights] = {}
    for row, adapter in enumerate(adapters):
        if adapter is not None:
            known[id(adapter)] = adapter
            rows.setdefault(id(adapter), []).append(row)
    return tuple(
        Segment(known[key], None if len(places) == len(adapters) else torch.tensor(places, dtype=torch.long))
        for key, places in rows.items()
    )


@contextmanager
def carrying(segments: tuple[Segment, ...]) -> Iterator[None]:
    """Run the forward passes of this thread with these adapters."""
    CARRIED.segments = segments
    try:
        yield
    finally:
        CARRIED.segments = ()


class PackedLinear(torch.nn.Module):
    """Stands in the serving view where the model has a `torch.nn.Linear`."""

    def __init__(self, name: str, module: torch.nn.Linear) -> None:
        super().__init__()
        self.name = name
        self.in_features, self.out_features = module.in_features, module.out_features
        self.product = product_of(module.weight.detach(), None if module.bias is None else module.bias.detach())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.product(x)
        for segment in CARRIED.segments:
            pair = segment.weights.pairs.get(self.name)
            if pair is None:
                continue
            if segment.rows is None:
                y += pair(x)
            else:
                y.index_add_(0, segment.rows, pair(x.index_select(0, segment.rows)))
        return y


def product_of(weight: torch.Tensor, bias: torch.Tensor | None = None) -> Product:
    """Return x -> x @ weight.T + bias, packed where the weight's device and type allow it."""
    if not can_pack(weight):
        return lambda x: linear(x, weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, PACKED_FOR)
    run = torch.ops.mkldnn._linear_pointwise

    def product(x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = run(x, packed, bias, "none", [], "")
        return result

    return product


def can_pack(weight: torch.Tensor) -> bool:
    """float32 on a CPU whose torch has the operators; they are torch.compile's, present in all its CPU builds with oneDNN since 2.0."""
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and PACKING.works


class Packing:
    """Whether oneDNN's packed product does here what it says: tried once, because the operators are not documented."""

    def __init__(self) -> None:
        self._works: bool | None = None

    @property
    def works(self) -> bool:
        if self._works is None:
            self._works = self._try()
        return self._works

    def _try(self) -> bool:
        weight, x = torch.arange(24.0).view(4, 6) / 10, torch.arange(18.0).view(3, 6) / 10
        try:
            packed = torch.ops.mkldnn._reorder_linear_weight(weight, PACKED_FOR)
            result = torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
        except (AttributeError, RuntimeError) as error:
            logger.info("batches are not packed on this machine: %s", str(error).splitlines()[0])
            return False
        return bool(torch.allclose(result, linear(x, weight), atol=1e-4))


PACKING = Packing()


def pack(view: torch.nn.Module) -> torch.nn.Module:
    """Replace every linear layer of a view, the output head too, and return it. The base that the view was copied from stays as it is."""
    for name, module in list(view.named_modules()):
        if type(module) is torch.nn.Linear:
            parent, _, own = name.rpartition(".")
            setattr(view.get_submodule(parent), own, PackedLinear(name, module))
    return view
