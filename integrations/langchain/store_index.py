"""What of an item's value is embedded, and with what: LangGraph's `IndexConfig`, or the brain's own embedder.

Deliberately stores nothing. An embedder of the brain that can't be had leaves items without vectors, to be embedded at a later search;
embeddings that the caller chose raise what they raise.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Literal, cast

import numpy as np
from langchain_core.embeddings import Embeddings
from langgraph.store.base import IndexConfig, ensure_embeddings, get_text_at_path, tokenize_path

from seal_agent.errors import EmbeddingError, MissingDependencyError, ModelNotFoundError, UsageError
from seal_agent.protocols import Vectors
from seal_agent.scope import Scope

from .embeddings import SealEmbeddings, embeddings_id

logger = logging.getLogger(__name__)

WHOLE = "$"
Embedded = dict[str, Vectors]
"""Vectors by the text that they are of."""
NO_EMBEDDER = (EmbeddingError, ModelNotFoundError, MissingDependencyError)


class OwnEmbeddings(SealEmbeddings):
    """The brain's own embedder, loaded when first asked."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._scope.items.embedder.embed(texts).tolist()
        return vectors


class StoreIndex:
    """Made from LangGraph's `IndexConfig`; None takes the brain's embedder over the whole value."""

    def __init__(self, scope: Scope, config: IndexConfig | None) -> None:
        self.own = config is None
        self.fields: tuple[str, ...] = (WHOLE,) if config is None else fields_of(config)
        self.embeddings: Embeddings = OwnEmbeddings(scope) if config is None else ensure_embeddings(config["embed"])
        self._scope = scope
        self._dims = None if config is None else config.get("dims")
        self._named = None if config is None else embeddings_id(self.embeddings)

    @property
    def embedder_id(self) -> str:
        """Stored beside the vectors; only vectors of the same id are compared."""
        return self._scope.items.embedder_id if self._named is None else f"{self._named}:{self._dims}"

    def paths(self, index: Literal[False] | Sequence[str] | None) -> tuple[str, ...]:
        """Which paths of a value are embedded, by what the put said."""
        if index is False:
            return ()
        return self.fields if index is None else tuple(index)

    def embed(self, texts: Sequence[str], queries: Sequence[str]) -> tuple[Embedded, Embedded]:
        """Return the vectors of texts and of queries."""
        try:
            found = self.embeddings.embed_documents(list(texts)) if texts else []
            asked = [self.embeddings.embed_query(query) for query in queries]
        except NO_EMBEDDER as error:
            return self._nothing(error)
        return self._table(texts, found), self._table(queries, asked)

    async def aembed(self, texts: Sequence[str], queries: Sequence[str]) -> tuple[Embedded, Embedded]:
        """Return the same without blocking the event loop, where the embeddings don't."""
        try:
            found = await self.embeddings.aembed_documents(list(texts)) if texts else []
            asked = [await self.embeddings.aembed_query(query) for query in queries]
        except NO_EMBEDDER as error:
            return self._nothing(error)
        return self._table(texts, found), self._table(queries, asked)

    def _nothing(self, error: Exception) -> tuple[Embedded, Embedded]:
        if not self.own:
            raise error
        logger.warning("items of %s are stored and listed without vectors: %s", self._scope.id.key, error)
        return {}, {}

    def _table(self, texts: Sequence[str], rows: Sequence[Sequence[float]]) -> Embedded:
        if len(rows) != len(texts):
            raise EmbeddingError(f"{self.embedder_id!r} gave {len(rows)} vectors for {len(texts)} texts.")
        return {text: np.asarray(row, dtype=np.float32) for text, row in zip(texts, rows, strict=True)}


def fields_of(config: IndexConfig) -> tuple[str, ...]:
    """The paths to embed: `fields`, or `text_fields` as LangGraph's SQLite store calls them."""
    fields = config.get("fields") or cast(Mapping[str, list[str] | str | None], config).get("text_fields") or (WHOLE,)
    return (fields,) if isinstance(fields, str) else tuple(fields)


def texts_of(value: dict[str, object], paths: Sequence[str]) -> dict[str, str]:
    """The texts of a value that are to be embedded, by path; a path that leads to several numbers them."""
    found: dict[str, str] = {}
    for path in paths:
        texts = get_text_at_path(value, path if path == WHOLE else tokenize_path(path))
        found |= {path: texts[0]} if len(texts) == 1 else {f"{path}.{place}": text for place, text in enumerate(texts)}
    return {path: text for path, text in found.items() if text}


def encode_paths(paths: Sequence[str]) -> str:
    return json.dumps(list(paths), ensure_ascii=False)


def decode_paths(text: str) -> list[str]:
    paths: list[str] = json.loads(text)
    return paths


def check_index(index: object) -> None:
    """Refuse what is no `IndexConfig`; raise `UsageError`."""
    if index is None or index is False:
        return
    if not isinstance(index, dict) or "embed" not in index:
        raise UsageError(
            f'index={index!r} is no index: give {{"dims": ..., "embed": ...}}, None for the brain\'s embedder, or False for none.'
        )
