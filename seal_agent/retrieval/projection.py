"""The Chroma side of search: one folder that holds a copy of the ledger's vectors, one collection per scope.

Deliberately never the truth, and knows no ledger: which folder is current and what it should hold is `vector_index.py`'s business. Chroma
1.5.9 loses or bricks its index on about 2 % of hard kills, can lie by silence, and keeps deleted vectors on disk. So nothing is ever
deleted from a collection (a new generation leaves it out), and every failure is a `VectorIndexError`, upon which search goes on without it.

The only module that imports chromadb. A folder that another process may have left damaged is opened here only after the probe
(`probe.py`) has opened it in a process that may die of it.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import chromadb
import numpy as np
from chromadb.api.client import Client
from chromadb.config import Settings as ChromaSettings

from seal_agent.errors import VectorIndexError
from seal_agent.protocols import Vectors

logger = logging.getLogger(__name__)

PAGE = 1_000
"""Most vectors in one upsert, about half a second; Chroma refuses more than 5,461."""

DATABASE = "chroma.sqlite3"
"""The file without which a folder is no index: Chroma would start an empty one in its place."""


class ChromaProjection:
    """An open folder. One process has it open at a time; its threads take turns (`vector_index.py` sees to both)."""

    def __init__(self, folder: Path) -> None:
        """Open the folder, creating it if absent. Never one that was open before in this process: Chroma keeps state per path."""
        self._folder = folder
        self._collections: dict[str, chromadb.Collection] = {}
        with chroma("open", folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            client = chromadb.PersistentClient(path=str(folder), settings=ChromaSettings(anonymized_telemetry=False))
        assert isinstance(client, Client)  # typed as its interface, which lacks close()
        self._client = client

    def fill(self, scope_key: str, ids: Sequence[str], vectors: Vectors) -> None:
        """Take in vectors [n, dim]; those of known ids are replaced, so a repetition does no harm."""
        with chroma("take in vectors", self._folder):
            collection = self._collection(scope_key, create=True)
            for start in range(0, len(ids), PAGE):
                collection.upsert(ids=list(ids[start : start + PAGE]), embeddings=vectors[start : start + PAGE])

    def query(self, scope_key: str, vector: Vectors, k: int) -> list[tuple[str, float]]:
        """Return up to `k` entry ids with their cosines, nearest first."""
        with chroma("answer a query", self._folder):
            found = self._collection(scope_key).query(query_embeddings=vector[np.newaxis], n_results=k, include=["distances"])
            ids, distances = found["ids"][0], (found["distances"] or [[]])[0]
            return [(entry_id, 1.0 - distance) for entry_id, distance in zip(ids, distances, strict=True)]

    def best_cosines(self, scope_key: str, vectors: Vectors, among: int = 1) -> list[float]:
        """Return for each vector [n, dim] the cosine of the nearest one held, -1 where nothing is found; the more it is looked for among,
        the more surely the nearest."""
        with chroma("answer queries", self._folder):
            found = self._collection(scope_key).query(query_embeddings=vectors, n_results=among, include=["distances"])
            return [1.0 - distances[0] if distances else -1.0 for distances in found["distances"] or []]

    def ids(self, scope_key: str) -> set[str]:
        with chroma("list its ids", self._folder):
            return set(self._collection(scope_key).get(include=[])["ids"])

    def count(self, scope_key: str) -> int:
        with chroma("count", self._folder):
            return self._collection(scope_key).count()

    def close(self) -> None:
        """Release the files; a client too broken to close must not keep its replacement from being used."""
        try:
            with chroma("close", self._folder):
                self._client.close()
        except VectorIndexError as error:
            logger.warning("%s", error)

    def _collection(self, scope_key: str, *, create: bool = False) -> chromadb.Collection:
        found = self._collections.get(scope_key)
        if found is None:
            name = collection_name(scope_key)
            if create:
                found = self._client.get_or_create_collection(name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
            else:
                found = self._client.get_collection(name, embedding_function=None)
            self._collections[scope_key] = found
        return found


def collection_name(scope_key: str) -> str:
    """A name that Chroma accepts whatever the ids hold, and that differs where they differ by case alone."""
    return f"s-{hashlib.sha256(scope_key.encode()).hexdigest()[:56]}"


@contextmanager
def chroma(doing: str, folder: Path) -> Iterator[None]:
    """Name the boundary: whatever Chroma raises becomes a `VectorIndexError`.

    A panic in its native code derives from BaseException alone, so that is what is caught; an interrupt passes.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:
        raise VectorIndexError(f"Chroma could not {doing} in {folder}: {type(error).__name__}: {error}.") from error
