"""Rows of token ids as batches: which go together, padded to one length, what they have in common, and what a model makes of them.

Deliberately knows no queue and no adapter: `engine.py` generates, `local.py` scores.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from peft import PeftModel

from seal_agent.models.head import Head

MIN_PREFIX = 32
"""Tokens that prompts must share for their common beginning to be run once."""
HEAD_TOKENS = 256
"""Tokens that are scored at once: 50 MB of logits for a vocabulary of 49,152, and as much again for their logarithms."""


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Yield row numbers in batches of similar length, each at most `batch_tokens` with padding (one row at least)."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: (lengths[row], row)):
        if batch and lengths[row] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def pad(rows: Sequence[Sequence[int]], pad_id: int, *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (ids, attention mask), both [rows, longest], padded on the left or the right."""
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for index, row in enumerate(rows):
        where = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[index, where] = torch.tensor(row, dtype=torch.long)
        mask[index, where] = 1
    return ids, mask


def common_prefix(rows: Sequence[Sequence[int]]) -> list[int]:
    """The token ids that all rows begin with, worth a pass of its own only if long; one token at least is left to each row."""
    length = min(shared_length(rows), min(map(len, rows)) - 1)
    return list(rows[0][:length]) if length >= MIN_PREFIX and len(rows) > 1 else []


def shared_length(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with."""
    first, last = min(map(list, rows)), max(map(list, rows))
    limit = min(map(len, rows))
    return next((place for place in range(limit) if first[place] != last[place]), limit)


def answer_mask(encoded: Sequence[tuple[Sequence[int], int]], shape: torch.Size) -> torch.Tensor:
    """Bool [rows, longest]: True at the answer's tokens of right-padded rows."""
    mask = torch.zeros(shape, dtype=torch.bool)
    for index, (ids, start) in enumerate(encoded):
        mask[index, start : len(ids)] = True
    return mask


def answer_losses(model: Any, head: Head, ids: torch.Tensor, mask: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Return the loss in nats of each answer token, row by row: float32 of shape [answers.sum()]. Only these go through the head."""
    causal: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    hidden = getattr(causal, causal.base_model_prefix)(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    states, tokens = hidden[:, :-1][answers[:, 1:]], ids[:, 1:][answers[:, 1:]]
    parts = zip(torch.split(states, HEAD_TOKENS), torch.split(tokens, HEAD_TOKENS), strict=True)
    return torch.cat([torch.nn.functional.cross_entropy(head(h).float(), token, reduction="none") for h, token in parts])
