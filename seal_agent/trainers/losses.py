"""What one row costs: likelihood of an answer, or distance from a teacher's next-token distribution.

In nats per answer token, weighted by the row. A teacher is the base itself: as it is for anchors, with the source before it for facts.
"""

import math

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from seal_agent.trainers.frozen import Item


def likelihood_loss(item: Item, logits: torch.Tensor, known_above: float) -> torch.Tensor:
    """Mean over the answer's tokens that are not known yet (MemFT, arXiv 2605.30260); logits are [answer tokens, vocabulary]."""
    targets = torch.tensor(item.ids[item.start :], device=logits.device)
    losses = cross_entropy(logits, targets, reduction="none")
    # A token with p above the bound is recalled by greedy decoding already: pushing it further only costs drift.
    unknown = losses.detach() > -math.log(known_above)
    return item.weight * (losses * unknown).sum() / unknown.sum().clamp(min=1)


def distilled_loss(item: Item, logits: torch.Tensor) -> torch.Tensor:
    """KL from the teacher that sees the source, over the tokens it finds likeliest, to the student that doesn't.

    The teacher's shares add up to 1 and the student's to less, so the loss is 0 only where both agree and nothing is left for the rest.
    """
    student = log_softmax(logits, dim=-1).gather(1, item.likely)
    return item.weight * (item.shares.exp() * (item.shares - student)).sum(dim=1).mean()


def anchor_loss(item: Item, logits: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """KL to the base's own log-probabilities, [answer tokens, vocabulary]: what is no fact should stay as it was."""
    return item.weight * kl_div(log_softmax(logits, dim=-1), teacher, reduction="batchmean", log_target=True)
