"""Embedders across the border: any LangChain `Embeddings` as ours, and ours as theirs.

Deliberately no cache and no batching of its own: both sides have theirs.
"""

from collections.abc import Sequence

import numpy as np

from seal_agent.errors import EmbeddingError, MissingDependencyError
from seal_agent.protocols import Embedder, Vectors

try:
    from langchain_core.embeddings import Embeddings
except ImportError as error:
    raise MissingDependencyError("LangChain is not installed: pip install 'langchain-core>=1.7,<2'") from error

NAMED_BY = ("model", "model_name", "model_id", "repo_id", "deployment", "id")
"""Attributes by which LangChain's embeddings say what they are, the first that holds a string wins."""
PROBE = "dimension"


class SealEmbeddings(Embeddings):
    """A seal-agent embedder for whatever takes LangChain embeddings.

    >>> from seal_agent.testing import HashEmbedder
    >>> len(SealEmbeddings(HashEmbedder(dim=8)).embed_query("a cat"))
    8
    """

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector of length 1 per text; raise `EmbeddingError`."""
        vectors: list[list[float]] = self.embedder.embed(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of one text: queries are embedded as documents are."""
        return self.embed_documents([text])[0]


class LangChainEmbedder:
    """Any LangChain `Embeddings` as the embedder of a brain: `Memory.open(folder, embedder=LangChainEmbedder(embeddings))`.

    Vectors are brought to length 1. `id` is stored beside every vector and must change when the vectors do; unless given, it is made of the
    class and the model's name. Queries are embedded by `embed_documents`, as seal-agent compares texts with one another.
    """

    def __init__(self, embeddings: Embeddings, *, id: str | None = None, dim: int | None = None) -> None:
        self._embeddings = embeddings
        self._id = embeddings_id(embeddings) if id is None else id
        self._dim = dim

    @property
    def id(self) -> str:
        return self._id

    @property
    def dim(self) -> int:
        """Length of a vector; found by embedding a word once if it was not given."""
        if self._dim is None:
            self._dim = self.embed([PROBE]).shape[1]
        return self._dim

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return float32 of shape [len(texts), dim], each row of length 1; raise `EmbeddingError` whatever the embeddings raised."""
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        try:
            rows = np.asarray(self._embeddings.embed_documents(list(texts)), dtype=np.float32)
        except Exception as error:
            # Providers raise errors of their own kinds; search then goes by words alone, which it does for no other name than this.
            raise EmbeddingError(f"{self._id!r} could not embed {len(texts)} texts: {type(error).__name__}: {error}") from error
        if rows.ndim != 2 or len(rows) != len(texts) or (self._dim is not None and rows.shape[1] != self._dim):
            raise EmbeddingError(f"{self._id!r} gave vectors of shape {rows.shape} for {len(texts)} texts of {self._dim or 'any'} numbers.")
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(rows).all() or not (lengths > 0).all():
            raise EmbeddingError(f"{self._id!r} gave vectors that are zero or not finite.")
        vectors: Vectors = rows / lengths
        return vectors


def embeddings_id(embeddings: Embeddings) -> str:
    """What the vectors are, as far as LangChain's embeddings tell: the class, and the model's name if they have one."""
    if isinstance(embeddings, SealEmbeddings):
        return embeddings.embedder.id
    named = next((name for name in (getattr(embeddings, attribute, None) for attribute in NAMED_BY) if isinstance(name, str)), None)
    kind = type(embeddings).__name__
    return f"langchain:{kind}" if named is None else f"langchain:{kind}:{named}"
