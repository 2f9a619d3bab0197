"""Counting tokens with a model's own tokenizer and without its weights: a prompt can be measured before anything large is loaded.

`tokenizers` alone reads `tokenizer.json` in half a second and 80 MB, where transformers takes torch along. What has no such file (GGUF,
older tokenizers) is read by transformers. Nothing is downloaded.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from seal_agent.errors import ModelNotFoundError
from seal_agent.models.weights import find


def token_counter(model_id: str, *, cache: Path | None = None) -> Callable[[str], int]:
    """Return what counts a text's tokens, special tokens left out, as `Model.count_tokens` does; raise `ModelNotFoundError`."""
    found = find(model_id, cache=cache)
    file = found / "tokenizer.json"
    if not file.is_file():
        return by_transformers(found)
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:
        # The library raises bare `Exception` for a file that it can't read.
        raise ModelNotFoundError(f"{str(file)!r} can't be read as a tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def by_transformers(found: Path) -> Callable[[str], int]:
    from transformers import AutoTokenizer  # here, because it takes torch along

    try:
        tokenizer: Any = (  # Any: its auto classes are not typed
            AutoTokenizer.from_pretrained(found, trust_remote_code=False)
            if found.is_dir()
            else AutoTokenizer.from_pretrained(found.parent, gguf_file=found.name)
        )
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise ModelNotFoundError(f"The tokenizer in {str(found)!r} can't be read: {type(error).__name__}: {error}") from error
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))
