"""What the frozen base computes for each example, run once instead of once per pass.

Layers below the lowest one that carries a LoRA never change, so neither do their outputs: they are kept per example, and a training
step starts at the first trained layer. For anchors the base's own last hidden states are kept as well: they are the teacher. Exact, not
an approximation: `Upper.check` compares both ways before training relies on it.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel

from seal_agent.errors import TrainingError
from seal_agent.models.batches import batches_by_length, pad
from seal_agent.models.head import Head
from seal_agent.models.local import LocalModel
from seal_agent.trainers.layout import can_pack, packed, padded, pays

logger = logging.getLogger(__name__)

TOLERANCE = 1e-2
"""Largest relative difference between the two ways; bfloat16 rounds at 4e-3."""


@dataclass(slots=True, kw_only=True)
class Item:
    """One tokenised example with what the frozen base made of it."""

    ids: list[int]
    start: int
    """Where the answer begins."""
    weight: float
    fact: str | None
    """Id of the fact that it teaches or asks for; None for anchors."""
    entering: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    """Hidden states entering the first trained layer: [len(ids), hidden]."""
    teacher: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    """For anchors, the base's last hidden states at the positions that predict the answer: [len(ids) - start, hidden]."""
    ended: bool = True
    """False when the answer was cut off."""
    open_ids: list[int] = field(default_factory=list)
    """The prompt with the source in it, up to where the answer begins; empty where there is no source."""
    likely: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    """Token ids that the base finds likeliest after `open_ids`, for each position of the answer: [len(ids) - start, k]."""
    shares: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    """Their log-probabilities, made to add up to 1: same shape."""
    rests: bool = False
    """Whether the next pass goes without it: `loop.awake`."""

    @property
    def anchor(self) -> bool:
        return self.fact is None


def layers_of(model: PreTrainedModel) -> torch.nn.ModuleList:
    """Return the decoder layers, lowest first; raise `TrainingError` for a model that is not a plain stack of them."""
    wanted = getattr(model.config, "num_hidden_layers", None)
    for child in backbone_of(model).children():
        if isinstance(child, torch.nn.ModuleList) and len(child) == wanted:
            return child
    raise TrainingError(f"{type(model).__name__} has no plain list of decoder layers; its architecture is not supported for training.")


def backbone_of(model: PreTrainedModel) -> Any:  # Any: which class it is depends on the architecture
    return getattr(model, model.base_model_prefix)


def fill(model: LocalModel, items: Sequence[Item], first_layer: int, batch_tokens: int) -> None:
    """Run the frozen base over the items, once, and keep what training needs of it: the upper layers' work for anchors only."""
    base = model.new_view()
    entering: list[torch.Tensor] = []
    hook = layers_of(base)[first_layer].register_forward_pre_hook(
        lambda _, args, kwargs: entering.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    with torch.inference_mode():
        keep(model, backbone_of(base), [item for item in items if item.anchor], entering, batch_tokens)
        for layer in layers_of(base)[first_layer:]:
            layer.forward = passed_on
        keep(model, backbone_of(base), [item for item in items if not item.anchor], entering, batch_tokens)
    hook.remove()


def keep(model: LocalModel, backbone: Any, items: Sequence[Item], entering: list[torch.Tensor], batch_tokens: int) -> None:
    """Fill the items from runs of the backbone, during which a hook puts into `entering` what reaches the first trained layer."""
    for rows in batches_by_length([len(item.ids) for item in items], batch_tokens):
        batch = [items[row] for row in rows]
        ids, mask = pad([item.ids for item in batch], model.pad_id, left=False)
        last = backbone(input_ids=ids.to(model.device), attention_mask=mask.to(model.device), use_cache=False).last_hidden_state
        hidden = entering.pop()
        for place, item in enumerate(batch):
            item.entering = hidden[place, : len(item.ids)].clone()
            if item.anchor:
                item.teacher = last[place, item.start - 1 : len(item.ids) - 1].clone()


class Upper:
    """The trained upper part of a view: runs from kept hidden states to the last ones.

    The layers below stay where they are, since a layer's number decides its kind of attention in some architectures, but pass on what
    they are given; what the backbone does to its input before the first trained layer is replaced by the kept states just there.
    """

    def __init__(self, causal: PreTrainedModel, head: Head, first_layer: int) -> None:
        self._backbone = backbone_of(causal)
        self._head = head
        self._skipped = list(layers_of(causal))[:first_layer]
        self._entering = threading.local()
        self._packs = False
        """Whether `check` found that this model may be given rows in one."""
        for layer in self._skipped:
            layer.forward = passed_on
        self._hook = layers_of(causal)[first_layer].register_forward_pre_hook(self._enter, with_kwargs=True)

    def _enter(self, _: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        # Any: a decoder layer's arguments, which depend on the architecture.
        hidden = self._entering.hidden
        return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})

    def last_hidden(self, batch: Sequence[Item]) -> torch.Tensor:
        """Hidden states that predict the answers' tokens, all rows one after the other: [answer tokens, hidden]."""
        layout = packed(batch) if self._packs and pays([item.ids for item in batch]) else padded(batch)
        self._entering.hidden = layout.hidden
        last = self._backbone(inputs_embeds=layout.hidden, use_cache=False, **layout.how).last_hidden_state
        return last.flatten(0, 1)[layout.places]  # type: ignore[no-any-return]  # the backbone is of any class

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return self._head(hidden).float()

    def check(self, model: LocalModel, items: Sequence[Item]) -> None:
        """Before anything is learnt, both ways must agree; raise `TrainingError` where an architecture hides more between the layers.

        Rows are packed where that agrees as well, for the longest of them beside the first.
        """
        longest = max(items, key=lambda item: len(item.ids))
        base = backbone_of(model.new_view())
        with torch.inference_mode():
            whole = [self._whole(model, base, item) for item in (longest, items[0])]
            if can_pack(base.config, len(longest.ids)):
                self._packs = True
                try:
                    if apart(torch.cat(whole), self.last_hidden([longest, items[0]])) < TOLERANCE:
                        return
                except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
                    # an attention of another kind, which takes no such mask
                    logger.info("%s is trained with padding: %s", type(base).__name__, type(error).__name__)
            self._packs = False
            difference = apart(whole[0], self.last_hidden([longest]))
        if not difference < TOLERANCE:
            raise TrainingError(f"{type(model.new_view()).__name__} can't be trained from kept activations (difference {difference:.2g}).")

    def _whole(self, model: LocalModel, base: Any, item: Item) -> torch.Tensor:  # Any: which class it is depends on the architecture
        ids = torch.tensor([item.ids], device=model.device)
        return base(input_ids=ids, use_cache=False).last_hidden_state[0, item.start - 1 : -1]  # type: ignore[no-any-return]  # as above

    def restore(self) -> None:
        """Put the lower layers back, so that the view answers and saves as a whole."""
        self._hook.remove()
        for layer in self._skipped:
            del layer.forward


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """Relative difference."""
    return float((one - other).norm() / one.norm())


def passed_on(hidden_states: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
    return hidden_states
