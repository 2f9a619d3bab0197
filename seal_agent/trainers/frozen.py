"""What the frozen base computes for each example, run once instead of once per pass.

Layers below the lowest one that carries a LoRA never change, so neither do their outputs: they are kept per example, and a training
step starts at the first trained layer. For anchors the base's own last hidden states are kept as well: they are the teacher. Exact, not
an approximation: `Frozen.check` compares both ways before training relies on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel

from seal_agent.errors import TrainingError
from seal_agent.models.local import LocalModel, batches_by_length, pad

TOLERANCE = 1e-2
"""Largest relative difference between the two ways; bfloat16 rounds at 4e-3."""


@dataclass(slots=True, kw_only=True)
class Item:
    """One tokenised example with what the frozen base made of it."""

    ids: list[int]
    start: int
    """Where the answer begins."""
    weight: float
    anchor: bool
    entering: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    """Hidden states entering the first trained layer: [len(ids), hidden]."""
    teacher: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    """For anchors, the base's last hidden states at the positions that predict the answer: [len(ids) - start, hidden]."""


def layers_of(model: PreTrainedModel) -> tuple[Any, str]:
    """Return (the module that holds the list of decoder layers, the list's name)."""
    # Any: which class the backbone is depends on the architecture.
    backbone: Any = getattr(model, model.base_model_prefix)
    for name, child in backbone.named_children():
        if isinstance(child, torch.nn.ModuleList) and len(child) == model.config.num_hidden_layers:
            return backbone, name
    raise TrainingError(f"{type(model).__name__} has no plain list of decoder layers; its architecture is not supported for training.")


def fill(model: LocalModel, items: Sequence[Item], first_layer: int, batch_tokens: int) -> None:
    """Run the frozen base over the items, once, and keep what training needs of it."""
    base = model.new_view()
    backbone, name = layers_of(base)
    entering: list[torch.Tensor] = []
    hook = getattr(backbone, name)[first_layer].register_forward_pre_hook(
        lambda _, args, kwargs: entering.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    with torch.inference_mode():
        for rows in batches_by_length([len(item.ids) for item in items], batch_tokens):
            batch = [items[row] for row in rows]
            ids, mask = pad([item.ids for item in batch], model.pad_id, left=False)
            last = backbone(input_ids=ids.to(model.device), attention_mask=mask.to(model.device), use_cache=False).last_hidden_state
            hidden = entering.pop()
            for place, item in enumerate(batch):
                item.entering = hidden[place, : len(item.ids)].clone()
                if item.anchor:
                    item.teacher = last[place, item.start - 1 : len(item.ids) - 1].clone()
    hook.remove()


def entering_batch(batch: Sequence[Item]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (hidden states [rows, longest, hidden], attention mask), right-padded."""
    longest = max(len(item.ids) for item in batch)
    first = batch[0].entering
    hidden = torch.zeros((len(batch), longest, first.shape[-1]), dtype=first.dtype, device=first.device)
    mask = torch.zeros((len(batch), longest), dtype=torch.long, device=first.device)
    for place, item in enumerate(batch):
        hidden[place, : len(item.ids)] = item.entering
        mask[place, : len(item.ids)] = 1
    return hidden, mask


class Upper:
    """The trained upper part of a view: runs from kept hidden states to the last ones."""

    def __init__(self, causal: PreTrainedModel, first_layer: int) -> None:
        self._backbone, self._name = layers_of(causal)
        self._all = getattr(self._backbone, self._name)
        setattr(self._backbone, self._name, torch.nn.ModuleList(list(self._all)[first_layer:]))
        self._head = causal.get_output_embeddings()  # type: ignore[no-untyped-call]  # untyped in transformers

    def last_hidden(self, batch: Sequence[Item]) -> torch.Tensor:
        """Hidden states that predict the answers' tokens, all rows one after the other: [answer tokens, hidden]."""
        hidden, mask = entering_batch(batch)
        last = self._backbone(inputs_embeds=hidden, attention_mask=mask, use_cache=False).last_hidden_state
        return torch.cat([last[place, item.start - 1 : len(item.ids) - 1] for place, item in enumerate(batch)])

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """The output head, on the given positions only: for a large vocabulary it is a third of the forward pass."""
        return self._head(hidden).float()  # type: ignore[no-any-return]  # Module.__call__ is untyped

    def check(self, model: LocalModel, item: Item) -> None:
        """Before anything is learnt, both ways must agree; raise `TrainingError` where an architecture hides more between the layers."""
        base = model.new_view()
        ids = torch.tensor([item.ids], device=model.device)
        with torch.inference_mode():
            whole = getattr(base, base.base_model_prefix)(input_ids=ids, use_cache=False).last_hidden_state[0, item.start - 1 : -1]
            short = self.last_hidden([item])
        difference = float((whole - short).norm() / whole.norm())
        if not difference < TOLERANCE:
            raise TrainingError(f"{type(base).__name__} can't be trained from kept activations (difference {difference:.2g}).")

    def restore(self) -> None:
        """Put the lower layers back, so that the view answers and saves as a whole."""
        setattr(self._backbone, self._name, self._all)
