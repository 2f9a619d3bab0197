"""Texts to vectors with a transformer encoder: the `Embedder` for any BERT-like model folder, on plain transformers.

Reads the pooling of a sentence-transformers folder (mean and first-token are supported) and does not need that library. Does not know
where the folder came from (`models/weights.py`) and stores nothing.
"""

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer, BatchEncoding

from seal_agent.errors import EmbeddingError
from seal_agent.protocols import Vectors

MAX_TOKENS = 256
BATCH_SIZE = 32
SMALLEST_NORM = 1e-12

Pooling = Literal["mean", "cls"]


class TransformerEmbedder:
    """Embed texts of up to 256 tokens; what is longer is cut off. Safe to share between threads."""

    def __init__(self, folder: Path, id: str) -> None:
        """Load the model in `folder` as float32 on the CPU; `id` names its vectors. Raise `EmbeddingError` if it can't be loaded."""
        self._id = id
        self._pooling = pooling_of(folder)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            self._model = AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False).eval()
        except (OSError, ValueError, KeyError) as error:
            raise EmbeddingError(f"The embedder in {str(folder)!r} can't be loaded: {error}") from error
        self._dim = int(self._model.config.hidden_size)
        self._max_tokens = min(MAX_TOKENS, int(getattr(self._model.config, "max_position_embeddings", MAX_TOKENS)))
        # a fast tokenizer keeps its truncation and padding as state: two threads at once raise "Already borrowed"
        self._lock = threading.Lock()

    @property
    def id(self) -> str:
        return self._id

    @property
    def dim(self) -> int:
        return self._dim

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per text, in order; raise `EmbeddingError` for anything that is not a finite vector of length 1."""
        vectors = np.zeros((len(texts), self._dim), dtype=np.float32)
        # longest first: neighbours have about the same length, so little is padding, and what needs most memory fails first
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]), reverse=True)
        with self._lock:
            for start in range(0, len(order), BATCH_SIZE):
                rows = order[start : start + BATCH_SIZE]
                vectors[rows] = self._embed_batch([storable(texts[i]) for i in rows])
        return vectors

    def _embed_batch(self, texts: list[str]) -> Vectors:
        try:
            with torch.inference_mode():
                batch = self._tokenizer(texts, padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt")
                hidden: torch.Tensor = self._model(**batch).last_hidden_state
                pooled = torch.nn.functional.normalize(self._pool(hidden, batch), dim=1, eps=SMALLEST_NORM)
        except (RuntimeError, IndexError) as error:
            raise EmbeddingError(f"The embedder {self._id!r} failed on {len(texts)} texts: {error}") from error
        vectors: Vectors = pooled.float().numpy()
        if vectors.shape != (len(texts), self._dim):
            raise EmbeddingError(f"The embedder {self._id!r} gave vectors of shape {vectors.shape}, not {(len(texts), self._dim)}.")
        if not np.isfinite(vectors).all() or not vectors.any(axis=1).all():
            raise EmbeddingError(f"The embedder {self._id!r} gave vectors that are zero or not finite; its weights may be damaged.")
        return vectors

    def _pool(self, hidden: torch.Tensor, batch: BatchEncoding) -> torch.Tensor:
        if self._pooling == "cls":
            return hidden[:, 0]
        mask: torch.Tensor = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def pooling_of(folder: Path) -> Pooling:
    """How a sentence-transformers folder makes one vector of many; a plain folder gets the mean."""
    file = folder / "1_Pooling" / "config.json"
    if not file.is_file():
        return "mean"
    try:
        settings: dict[str, object] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EmbeddingError(f"{str(file)!r} can't be read: {error}") from error
    # some versions of sentence-transformers write one name, others a flag per mode
    named = settings.get("pooling_mode")
    modes = [named] if named else sorted(key for key, on in settings.items() if key.startswith("pooling_mode_") and on is True)
    if modes in (["mean"], ["pooling_mode_mean_tokens"]):
        return "mean"
    if modes in (["cls"], ["pooling_mode_cls_token"]):
        return "cls"
    raise EmbeddingError(f"{str(file)!r} asks for the pooling {modes!r}; only mean and cls are supported. Use another embedder.")


def storable(text: str) -> str:
    """Tokenizers refuse lone surrogates, which broken emoji leave behind."""
    return text.encode("utf-8", "replace").decode("utf-8")
