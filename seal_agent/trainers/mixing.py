"""MixSD's targets (arXiv 2605.16865): answers mixed, token by token, from what the base says with the source before it and without.

Such an answer tells the fact in words that the model would nearly have chosen anyway, so that learning it moves the model less. Targets
are written before training starts and are then learnt like any other answer. One that has lost the fact is written again with other
draws, and after `TRIES` the given answer stands. What a fact is, is judged by words alone.
"""

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch

from seal_agent.models.batches import pad
from seal_agent.models.local import LocalModel
from seal_agent.trainers.frozen import Item

TRIES = 10
"""As in the paper."""
ROWS = 16
"""Answers written side by side."""
LONGEST = 2.0
"""Times the tokens of the given answer."""
TOLD = 0.6
"""Share of an answer's telling words that a target must hold."""
SHORTEST_WORD = 4
"""Letters of a word that tells something; numbers always do."""


class Mixer:
    """Writes mixed targets with the base that a `LocalModel` holds. Same items and seed, same targets."""

    def __init__(self, model: LocalModel, share: float, seed: int) -> None:
        self._model = model
        self._view: Any = model.new_view()  # Any: a causal model, whose `__call__` is untyped
        self._share = share
        self._order = random.Random(seed)

    def rewrite(self, items: Sequence[Item], check: Callable[[], None]) -> int:
        """Put mixed answers in place of the given ones where there is a source; return how many kept the given one.

        `check` is called before each token and raises to stop.
        """
        missing = [item for item in items if item.open_ids and not item.anchor]
        for _ in range(TRIES):
            failed = []
            for first in range(0, len(missing), ROWS):
                batch = missing[first : first + ROWS]
                for item, target in zip(batch, self._write(batch, check), strict=True):
                    if self._tells(item, target):
                        item.ids = item.ids[: item.start] + target
                    else:
                        failed.append(item)
            missing = failed
        return len(missing)

    def _write(self, batch: Sequence[Item], check: Callable[[], None]) -> list[list[int]]:
        expert = Speaker(self._view, [item.open_ids for item in batch], self._model)
        naive = Speaker(self._view, [item.ids[: item.start] for item in batch], self._model)
        limits = [self._limit(item) for item in batch]
        targets: list[list[int]] = [[] for _ in batch]
        while any(is_open(target, limit, self._model.end_id) for target, limit in zip(targets, limits, strict=True)):
            check()
            said = [
                without if self._order.random() < self._share else within
                for within, without in zip(expert.choices, naive.choices, strict=True)
            ]
            for target, limit, token in zip(targets, limits, said, strict=True):
                if is_open(target, limit, self._model.end_id):
                    target.append(token)
            expert.hear(said)
            naive.hear(said)
        return targets

    def _limit(self, item: Item) -> int:
        """An answer that was cut off stays as short, or its beginning would not be one any more."""
        given = len(item.ids) - item.start
        return round(LONGEST * given) if item.ended else given

    def _tells(self, item: Item, target: Sequence[int]) -> bool:
        if not target or (item.ended and target[-1] != self._model.end_id):
            return False
        decode: Any = self._model.tokenizer.decode  # Any: typed as one text or several
        return tells(decode(list(target), skip_special_tokens=True), decode(item.ids[item.start :], skip_special_tokens=True))


class Speaker:
    """The base in front of one set of prompts, saying greedily what comes next after what both have heard."""

    def __init__(self, view: Any, prompts: Sequence[Sequence[int]], model: LocalModel) -> None:  # Any: see Mixer
        self._view, self._device = view, model.device
        ids, self._mask = pad(prompts, model.pad_id, left=True)
        self._kept: Any = None  # Any: the model's own kind of cache
        self.choices = self._step(ids, (self._mask.cumsum(dim=1) - 1).clamp(min=0))

    def hear(self, tokens: Sequence[int]) -> None:
        """Take in one token per row."""
        self._mask = torch.cat([self._mask, torch.ones((len(tokens), 1), dtype=self._mask.dtype)], dim=1)
        self.choices = self._step(torch.tensor(tokens)[:, None], self._mask.sum(dim=1, keepdim=True) - 1)

    def _step(self, ids: torch.Tensor, places: torch.Tensor) -> list[int]:
        with torch.inference_mode():
            made = self._view(
                input_ids=ids.to(self._device),
                attention_mask=self._mask.to(self._device),
                position_ids=places.to(self._device),
                past_key_values=self._kept,
                use_cache=True,
                logits_to_keep=1,
            )
        self._kept = made.past_key_values
        return [int(token) for token in made.logits[:, -1].argmax(dim=-1)]


def is_open(target: Sequence[int], limit: int, end_id: int) -> bool:
    return len(target) < limit and (not target or target[-1] != end_id)


def tells(target: str, answer: str) -> bool:
    """Whether a target still holds the words that an answer is about."""
    wanted = telling(answer) or words(answer)
    said = words(target)
    return bool(wanted) and len(wanted & said) >= TOLD * len(wanted)


def telling(text: str) -> set[str]:
    return {word for word in words(text) if len(word) >= SHORTEST_WORD or any(letter.isdigit() for letter in word)}


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
