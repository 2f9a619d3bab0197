"""Let PEFT make a LoRA for training, one at a time. Adapters that answer are read by `lora_weights.py`, without PEFT."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

MAKING = Lock()
"""Random state and warning filters belong to the process, not to a model."""


@contextmanager
def making_lora(seed: int = 0) -> Iterator[None]:
    """Let PEFT make a LoRA, one at a time: it draws from torch's global random state, which is put back afterwards.

    Its one warning that is its own affair is held back: it asks transformers 5 for an attribute under its old name.
    """
    with MAKING, torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        torch.manual_seed(seed)
        yield
