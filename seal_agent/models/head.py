"""From last hidden states to logits, the way the model itself goes it: Gemma caps them, Granite and Cohere scale them.

Run on chosen positions only: for a vocabulary of 49,152 the head is a third of the forward pass.
"""

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import MoeModelOutputWithPast


class Head:
    """What a model does after its last layer. Shares the base's tensors; safe to use from several threads."""

    def __init__(self, view: PreTrainedModel) -> None:
        setattr(view, view.base_model_prefix, Given())
        self._view = view

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states: [n, hidden] to [n, vocabulary]."""
        return self._view(inputs_embeds=hidden[None], use_cache=False).logits[0]  # type: ignore[no-any-return]  # Module.__call__ is untyped


@dataclass
class Outputs(MoeModelOutputWithPast):
    """Everything that the causal models of transformers look for in what their backbone returns."""

    cross_attentions: None = None


class Given(torch.nn.Module):
    """Stands where the backbone was, and returns what it is given."""

    def forward(self, *_: object, inputs_embeds: torch.Tensor, **__: object) -> Outputs:
        return Outputs(last_hidden_state=inputs_embeds)
