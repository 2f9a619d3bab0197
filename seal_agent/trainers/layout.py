"""How the rows of a batch are laid out before the trained layers: with what they begin with in common once, or each padded by itself.

Packed, a batch is one long row: a common beginning, then what each row goes on with, which sees that beginning and itself only. A chat
template's beginning, and the question's where many answers share it, are run once for all rows that way, and nothing is padding. The result
is the same to rounding; what can't be packed (`can_pack`), or does not gain by it (`pays`), is padded. Nothing is computed here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from seal_agent.models.batches import shared_length

LEAST_SHARED = 4
"""Tokens that rows have in common at least to go together: less is not worth a look."""
PACKED_TOKENS = 512
"""Attention over so many tokens is cheap beside all else; a longer row must be worth it by what it shares."""


class Row(Protocol):
    """A tokenised example and what the frozen layers made of it."""

    @property
    def ids(self) -> list[int]: ...
    @property
    def start(self) -> int:
        """Where the answer begins."""
        ...

    @property
    def entering(self) -> torch.Tensor:
        """Hidden states entering the first trained layer: [len(ids), hidden]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A batch as the trained layers get it."""

    hidden: torch.Tensor
    """[rows, tokens, hidden]."""
    how: dict[str, torch.Tensor]
    """The backbone's arguments that say which token sees which."""
    places: torch.Tensor
    """Where in the flattened [rows * tokens] the states stand that predict the answers' tokens, row after row: [answer tokens]."""


def can_pack(config: Any, longest: int) -> bool:  # Any: a model's configuration, of whatever class
    """Whether rows of up to so many tokens may be packed: in a window that is shorter a token would see more than it should."""
    windows = [getattr(part, "sliding_window", None) for part in (config, getattr(config, "text_config", None))]
    return all(window is None or longest <= window for window in windows)


def pays(rows: Sequence[list[int]]) -> bool:
    """Whether packing takes less than padding: attention grows with the square of a row's length."""
    packed_length = sum(group.shared + sum(len(rows[number]) - group.shared for number in group.rows) for group in grouped(rows))
    return packed_length <= PACKED_TOKENS or packed_length**2 <= len(rows) * max(map(len, rows)) ** 2


def padded(batch: Sequence[Row]) -> Layout:
    """One row each, right-padded."""
    longest = max(len(row.ids) for row in batch)
    first = batch[0].entering
    hidden = torch.zeros((len(batch), longest, first.shape[-1]), dtype=first.dtype, device=first.device)
    mask = torch.zeros((len(batch), longest), dtype=torch.long, device=first.device)
    for place, row in enumerate(batch):
        hidden[place, : len(row.ids)] = row.entering
        mask[place, : len(row.ids)] = 1
    places = [torch.arange(row.start - 1, len(row.ids) - 1) + place * longest for place, row in enumerate(batch)]
    return Layout(hidden=hidden, how={"attention_mask": mask}, places=torch.cat(places).to(first.device))


@dataclass(slots=True)
class Group:
    """Rows that begin alike, by their number in the batch."""

    rows: list[int] = field(default_factory=list)
    shared: int = 0
    """Tokens that all of them begin with."""


def packed(batch: Sequence[Row]) -> Layout:
    """All rows in one, what rows begin with in common once."""
    states: list[torch.Tensor] = []
    positions: list[torch.Tensor] = []
    segments: list[torch.Tensor] = []
    parents: list[torch.Tensor] = []
    places: dict[int, torch.Tensor] = {}
    length = segment = 0

    def put(row: Row, first: int, last: int, parent: int) -> None:
        nonlocal length, segment
        states.append(row.entering[first:last])
        positions.append(torch.arange(first, last))
        segments.append(torch.full((last - first,), segment))
        parents.append(torch.full((last - first,), parent))
        length, segment = length + last - first, segment + 1

    for group in grouped([row.ids for row in batch]):
        begins, above = length, segment
        put(batch[group.rows[0]], 0, group.shared, above)
        for number in group.rows:
            row, own = batch[number], length - group.shared
            put(row, group.shared, len(row.ids), above)
            where = torch.arange(row.start - 1, len(row.ids) - 1)
            places[number] = torch.where(where < group.shared, where + begins, where + own)
    hidden = torch.cat(states)
    mask = sees(torch.cat(segments), torch.cat(parents)).to(hidden.device)
    # Added to the scores: every implementation of attention takes that.
    barred = torch.zeros(mask.shape, dtype=hidden.dtype, device=hidden.device).masked_fill_(~mask, torch.finfo(hidden.dtype).min)
    return Layout(
        hidden=hidden[None],
        how={"attention_mask": barred[None, None], "position_ids": torch.cat(positions)[None].to(hidden.device)},
        places=torch.cat([places[number] for number in range(len(batch))]).to(hidden.device),
    )


def grouped(rows: Sequence[list[int]]) -> list[Group]:
    """Put rows together that begin alike, in the order of the first of each."""
    groups: dict[tuple[int, ...], Group] = {}
    for number, ids in enumerate(rows):
        groups.setdefault(tuple(ids[:LEAST_SHARED]), Group()).rows.append(number)
    for group in groups.values():
        group.shared = shared_length([rows[number] for number in group.rows])
    return list(groups.values())


def sees(segments: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
    """Bool [tokens, tokens]: a token sees what stands before it in its own segment and in the one that this goes on from."""
    before = torch.ones(len(segments), len(segments), dtype=torch.bool).tril()
    return before & ((segments[:, None] == segments) | (parents[:, None] == segments))
