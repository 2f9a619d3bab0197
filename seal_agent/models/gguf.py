"""GGUF to safetensors, once: transformers keeps GGUF weights packed, and packed weights can't be trained.

Written as float32 although the source is smaller: a Q4_1 weight is `scale * q + offset`, and only a quarter of those sums survive
bfloat16 and two thirds float16 (measured on SmolLM2-135M), so any smaller type would change the model a second time. For the embedded
model that is 538 MB on disk. Does not download anything.
"""

import contextlib
import errno
import io
import os
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from seal_agent.errors import ModelNotFoundError
from seal_agent.types import Progress, ProgressCallback

STEPS = ("reading weights", "reading the tokenizer", "writing safetensors")


def dequantise(file: Path, into: Path, progress: ProgressCallback) -> None:
    """Write model and tokenizer of one GGUF file to `into`; raise `ModelNotFoundError` for a file that can't be read."""
    # the callback is the progress shown; transformers' own bars know no off switch
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            tell(progress, 0)
            model = load(file)
            tell(progress, 1)
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        except (ValueError, RuntimeError, KeyError, NotImplementedError) as error:
            raise ModelNotFoundError(f"{file.name} can't be read as GGUF ({type(error).__name__}: {error}).") from error
        if unusable := [name for name, weight in model.named_parameters() if not torch.isfinite(weight).all()]:
            raise ModelNotFoundError(f"{file.name} holds weights that are not finite: {unusable[0]}.")
        tell(progress, 2)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        tokenizer.model_max_length = model.config.max_position_embeddings
        save(model, into)
        tokenizer.save_pretrained(into)
    progress(Progress(stage="dequantise", done=len(STEPS), total=len(STEPS)))


def load(file: Path) -> Any:  # transformers' auto classes are not typed
    options = {}
    if config := getattr(transformers, "GgufConfig", None):  # early 5.x always dequantises and has no such class
        options["quantization_config"] = config(dequantize=True)
    return AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32, **options)


def save(model: Any, into: Path) -> None:
    try:
        model.save_pretrained(into)
    except SafetensorError as error:  # safetensors reports a full disk in words
        if f"os error {errno.ENOSPC}" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(into)) from error
        raise


def tell(progress: ProgressCallback, step: int) -> None:
    progress(Progress(stage="dequantise", done=step, total=len(STEPS), detail=STEPS[step]))
