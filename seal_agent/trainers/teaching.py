"""Context distillation: what the base would say if it saw the source, kept for training as its likeliest next tokens.

The teacher never changes, so it runs once and not once per pass, and its `TOP` likeliest tokens stand for the whole vocabulary. It follows
the answers as they are given; it writes none itself (`trainers/mixing.py` does).
"""

from collections.abc import Sequence

import torch
from torch.nn.functional import log_softmax

from seal_agent.models.batches import batches_by_length, pad
from seal_agent.models.local import LocalModel
from seal_agent.trainers.frozen import Item, backbone_of

TOP = 32
"""Tokens kept per position. Twenty come close to the whole vocabulary in published runs; more cost little."""


def fill_teachers(model: LocalModel, items: Sequence[Item], batch_tokens: int) -> None:
    """Give each item that has a source its teacher; the others are learnt by likelihood."""
    backbone = backbone_of(model.new_view())
    taught = [item for item in items if item.open_ids and not item.anchor]
    texts = [item.open_ids + item.ids[item.start :] for item in taught]
    for rows in batches_by_length([len(text) for text in texts], batch_tokens):
        ids, mask = pad([texts[row] for row in rows], model.pad_id, left=False)
        with torch.inference_mode():
            last = backbone(input_ids=ids.to(model.device), attention_mask=mask.to(model.device), use_cache=False).last_hidden_state
            for place, row in enumerate(rows):
                item = taught[row]
                hidden = last[place, len(item.open_ids) - 1 : len(texts[row]) - 1]
                logits = model.head(hidden).float()
                best = log_softmax(logits, dim=-1).topk(min(TOP, logits.shape[-1]), dim=-1)
                item.likely = best.indices.clone()
                item.shares = log_softmax(best.values, dim=-1)
    for item in taught:  # out of inference mode, or autograd refuses them
        item.likely, item.shares = item.likely.clone(), item.shares.clone()
