"""Put a LoRA from a folder on a view of the model: every tensor of the file in its place, or `IntegrityError`.

PEFT warns where tensors are missing, ignores those that fit nowhere, and looks for absent files on the hub; none of that is left to it
here. Whether the files are those that were published is not known here: `adapters/verify.py` sees to that, before.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import torch
from peft import LoraConfig, PeftModel, PeftModelForCausalLM, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedModel

from seal_agent.errors import IntegrityError

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
MAKING = Lock()
"""Random state and warning filters belong to the process, not to a model."""


def attach(view: PreTrainedModel, folder: Path) -> PeftModel:
    """Return the view with the adapter on it; raise `IntegrityError` naming the folder and what is wrong with it."""
    absent = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if absent:
        raise refused(folder, f"{absent[0]} is missing")
    try:
        config = LoraConfig.from_pretrained(str(folder))
        stored = load_file(folder / WEIGHTS)
        if not isinstance(config, LoraConfig):  # from_pretrained makes whatever the file says
            raise refused(folder, "it is not a LoRA")
        with making_lora():
            # Never with low_cpu_mem_usage: it patches torch for the whole process, and a LoRA that is trained meanwhile loses its weights.
            attached = PeftModelForCausalLM(view, config)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, SafetensorError) as error:  # AttributeError: JSON, but no object
        raise refused(folder, str(error)) from error
    check_fit(folder, stored, get_peft_model_state_dict(attached, save_embedding_layers=False))
    set_peft_model_state_dict(attached, stored)
    return attached


def check_fit(folder: Path, stored: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> None:
    """Each tensor of the file has its place in the model, each place its tensor, of one shape."""
    for name in sorted(stored.keys() | wanted.keys()):
        if name not in wanted:
            raise refused(folder, f"{name} has no place in this model")
        if name not in stored:
            raise refused(folder, f"{name} is missing from {WEIGHTS}")
        if stored[name].shape != wanted[name].shape:
            raise refused(folder, f"{name} has shape {list(stored[name].shape)}, this model needs {list(wanted[name].shape)}")


def refused(folder: Path, reason: str) -> IntegrityError:
    return IntegrityError(
        f"The adapter in {str(folder)!r} can't be put on this model: {reason}. Was it trained on another base, or damaged?"
        " Roll back to an earlier one, or consolidate again."
    )


@contextmanager
def making_lora(seed: int = 0) -> Iterator[None]:
    """Let PEFT make a LoRA, one at a time: it draws from torch's global random state, which is put back afterwards.

    Its one warning that is its own affair is held back: it asks transformers 5 for an attribute under its old name.
    """
    with MAKING, torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        torch.manual_seed(seed)
        yield
