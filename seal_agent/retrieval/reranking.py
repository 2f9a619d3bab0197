"""A cross-encoder on plain transformers: the `Reranker` for any model folder that scores a query and a text read together.

Nogueira and Cho 2019, https://arxiv.org/abs/1901.04085; for one, cross-encoder/ms-marco-MiniLM-L6-v2. Does not need
sentence-transformers. Slower than a search by far, since each text is read anew with each query: it sees a search's first hits only. Does
not know where the folder came from (`models/weights.py`).
"""

import threading
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from seal_agent.errors import RerankingError
from seal_agent.retrieval.embedding import storable

MAX_TOKENS = 512
QUERY_SHARE = 0.5
"""Most of a pair's tokens that the query may take, so that something is left of the text."""
BATCH_SIZE = 16


class CrossEncoder:
    """Score pairs of up to 512 tokens; of longer ones the text is cut off. Safe to share between threads."""

    def __init__(self, folder: Path, id: str) -> None:
        """Load the model in `folder` as float32 on the CPU. Raise `RerankingError` if it can't be loaded or scores no relevance."""
        self._id = id
        load = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, **load)
            self._model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, **load).eval()
        except (OSError, ValueError, KeyError) as error:
            raise RerankingError(f"The reranker in {str(folder)!r} can't be loaded: {error}") from error
        labels = int(self._model.config.num_labels)
        if labels != 1:
            raise RerankingError(f"The reranker {id!r} tells {labels} classes apart; name a cross-encoder with one output, the relevance.")
        self._max_tokens = min(MAX_TOKENS, int(getattr(self._model.config, "max_position_embeddings", MAX_TOKENS)))
        # a fast tokenizer keeps its truncation and padding as state: two threads at once raise "Already borrowed"
        self._lock = threading.Lock()

    @property
    def id(self) -> str:
        return self._id

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return how relevant each text is, in order, as the model's logit; raise `RerankingError`."""
        scores = [0.0] * len(texts)
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]), reverse=True)
        with self._lock:
            asked = self._cut(storable(query))
            for start in range(0, len(order), BATCH_SIZE):
                places = order[start : start + BATCH_SIZE]
                for place, score in zip(places, self._score_batch(asked, [storable(texts[place]) for place in places]), strict=True):
                    scores[place] = score
        return scores

    def _cut(self, query: str) -> str:
        """A query without the tokens that would leave the text no room."""
        most = int(self._max_tokens * QUERY_SHARE)
        encoded = self._tokenizer(query, add_special_tokens=False, return_offsets_mapping=True)
        offsets = encoded["offset_mapping"]
        return query if len(offsets) <= most else query[: offsets[most - 1][1]]

    def _score_batch(self, query: str, texts: list[str]) -> list[float]:
        try:
            with torch.inference_mode():
                limits = {"truncation": "only_second", "max_length": self._max_tokens, "padding": True, "return_tensors": "pt"}
                batch = self._tokenizer([query] * len(texts), texts, **limits)
                logits: torch.Tensor = self._model(**batch).logits[:, 0].float()
        except (RuntimeError, IndexError, ValueError) as error:
            raise RerankingError(f"The reranker {self._id!r} failed on {len(texts)} texts: {error}") from error
        if not torch.isfinite(logits).all():
            raise RerankingError(f"The reranker {self._id!r} gave scores that are not finite; its weights may be damaged.")
        return [float(score) for score in logits]
