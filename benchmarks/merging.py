"""Adapters merged into the weights one after the other, as SEAL does with several edits. For benchmarks: a night never merges."""

from collections.abc import Sequence
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from seal_agent.models.making_lora import making_lora


def merged(base: Path, adapters: Sequence[Path], out: Path) -> Path:
    """Write a model folder to `out` with the adapters merged in, in this order; each was trained on what the ones before left."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    for adapter in adapters:
        with making_lora():
            model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(base).save_pretrained(out)
    return out
