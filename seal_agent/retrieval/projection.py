"""The Chroma side of search: a copy of the ledger's vectors that can be thrown away and made anew at any time.

Copies live in numbered generations, `index/gen-N/`; the ledger records which one is current and its watermark, the last entry known to
be in it. Deliberately never the truth: Chroma 1.5.9 loses or bricks its index on about 2 % of hard kills, can lie by silence, and keeps
deleted vectors on disk. So nothing is ever deleted from a collection (a rebuild leaves it out), results are checked against the ledger by
whoever asks, and every failure is a `VectorIndexError`, upon which search goes on without this module.

The only module that imports chromadb. `_connect` is where a folder is first touched, so a probe in a child process belongs there.
"""

import hashlib
import logging
import shutil
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import chromadb
import numpy as np
from chromadb.api.client import Client
from chromadb.config import Settings as ChromaSettings

from seal_agent.errors import VectorIndexError
from seal_agent.ledger.entries import vectors_after
from seal_agent.ledger.generations import advance, create_generation, current_generation, retire
from seal_agent.ledger.ledger import Ledger
from seal_agent.protocols import Vectors

logger = logging.getLogger(__name__)

PAGE = 1_000
"""Entries per upsert, about half a second; Chroma refuses more than 5,461."""

DATABASE = "chroma.sqlite3"
"""The file without which a folder is no Chroma index. Chroma would silently start an empty one in its place."""


@dataclass(slots=True, kw_only=True)
class Opened:
    """A generation that is being worked with."""

    client: Client
    folder: Path
    number: int
    watermark: int
    collections: dict[str, chromadb.Collection] = field(default_factory=dict)


class Projection:
    """The vectors of one embedder in Chroma. Opens nothing until it is first needed; safe to use from several threads of one process.

    projection = Projection(ledger, embedder.id)
    projection.catch_up()
    projection.query(scope.key, embedder.embed(["dinner"])[0], k=10)
    """

    def __init__(self, ledger: Ledger, embedder_id: str) -> None:
        self._ledger = ledger
        self._embedder_id = embedder_id
        self._opened: Opened | None = None
        self._lock = threading.RLock()
        self._rebuilding = threading.Lock()

    def catch_up(self, limit: int | None = None) -> bool:
        """Copy what the ledger has beyond the watermark, at most `limit` entries; return whether nothing is left to copy.

        A copy that is interrupted is repeated: upserts by the entries' ids make that harmless.
        """
        copied = 0
        while limit is None or copied < limit:
            page = PAGE if limit is None else min(PAGE, limit - copied)
            # One page at a time, so that a long copy does not keep queries waiting.
            with self._lock:
                opened = self._open()
                found, opened.watermark = self._copy_page(opened, page)
                if found:
                    with self._ledger.write() as connection:
                        advance(connection, opened.number, opened.watermark)
            copied += found
            if found < page:
                return True
        return False

    def query(self, scope_key: str, vector: Vectors, k: int) -> list[tuple[str, float]]:
        """Return up to `k` entry ids with their cosines, nearest first. Some may have left the ledger since they were copied."""
        with self._lock:
            opened = self._open()
            with chroma("answer a query", opened.folder):
                collection = self._collection(opened, scope_key)
                found = collection.query(query_embeddings=vector[np.newaxis], n_results=k, include=["distances"])
                ids, distances = found["ids"][0], (found["distances"] or [[]])[0]
                return [(entry_id, 1.0 - distance) for entry_id, distance in zip(ids, distances, strict=True)]

    def count(self, scope_key: str) -> int:
        """Return how many vectors of a scope the current generation holds."""
        with self._lock:
            opened = self._open()
            with chroma("count", opened.folder):
                return self._collection(opened, scope_key).count()

    def rebuild(self) -> None:
        """Make a new generation from the vectors in the ledger, switch to it, and delete every other one. Needs no model.

        Queries are answered by the old generation meanwhile. What was forgotten is gone from disk afterwards.
        """
        with self._rebuilding:
            fresh = self._connect(self._new_folder(), number=0, watermark=0)
            try:
                while self._copy_onwards(fresh):
                    pass
                with self._lock:
                    while self._copy_onwards(fresh):  # What came in meanwhile: no query may find less than before.
                        pass
                    self._record(fresh)
                    old, self._opened = self._opened, fresh
            except BaseException:
                release(fresh)
                shutil.rmtree(fresh.folder, ignore_errors=True)
                raise
            if old is not None:
                release(old)
            self._delete_all_but(fresh.folder)

    def close(self) -> None:
        """Release Chroma's files. Idempotent; the next call opens them again."""
        with self._lock:
            opened, self._opened = self._opened, None
            if opened is not None:
                release(opened)

    def _open(self) -> Opened:
        if self._opened is None:
            with self._ledger.read() as connection:
                current = current_generation(connection, self._embedder_id)
            if current is not None and (self._ledger.folder / current.path / DATABASE).exists():
                folder = self._ledger.folder / current.path
                self._opened = self._connect(folder, number=current.number, watermark=current.watermark)
            else:
                # None yet, or somebody removed the folder, which is allowed: it can be made anew.
                fresh = self._connect(self._new_folder(), number=0, watermark=0)
                self._record(fresh)
                self._opened = fresh
        return self._opened

    def _connect(self, folder: Path, *, number: int, watermark: int) -> Opened:
        with chroma("open", folder):
            folder.mkdir(parents=True, exist_ok=True)
            client = chromadb.PersistentClient(path=str(folder), settings=ChromaSettings(anonymized_telemetry=False))
        assert isinstance(client, Client)  # typed as its interface, which lacks close()
        return Opened(client=client, folder=folder, number=number, watermark=watermark)

    def _new_folder(self) -> Path:
        """A name never used before: Chroma keeps state per path for the life of the process."""
        with self._ledger.read() as connection:
            current = current_generation(connection, self._embedder_id)
        taken = [int(number) for path in self._generations() if (number := path.name.removeprefix("gen-")).isdecimal()]
        return self._index / f"gen-{max([current.number if current else 0, *taken]) + 1}"

    def _record(self, fresh: Opened) -> None:
        """Make it the current generation, in one transaction."""
        with self._ledger.write() as connection:
            old = current_generation(connection, self._embedder_id)
            if old is not None:
                retire(connection, old.number)
            created = create_generation(connection, self._embedder_id, fresh.folder.relative_to(self._ledger.folder).as_posix())
            advance(connection, created.number, fresh.watermark)
        fresh.number = created.number
        logger.info("vector index generation %d is current, watermark %d", fresh.number, fresh.watermark)

    def _copy_onwards(self, opened: Opened) -> int:
        found, opened.watermark = self._copy_page(opened, PAGE)
        return found

    def _copy_page(self, opened: Opened, limit: int) -> tuple[int, int]:
        """Return how many entries were copied, and the watermark once Chroma has said that it holds them."""
        with self._ledger.read() as connection:
            rows = vectors_after(connection, opened.watermark, limit, self._embedder_id)
        by_scope: dict[str, list[tuple[str, Vectors]]] = defaultdict(list)
        for _, entry_id, scope_key, vector in rows:
            by_scope[scope_key].append((entry_id, vector))
        with chroma("take in vectors", opened.folder):
            for scope_key, pairs in by_scope.items():
                collection = self._collection(opened, scope_key, create=True)
                collection.upsert(ids=[entry_id for entry_id, _ in pairs], embeddings=np.stack([vector for _, vector in pairs]))
        return len(rows), (rows[-1][0] if rows else opened.watermark)

    def _collection(self, opened: Opened, scope_key: str, *, create: bool = False) -> chromadb.Collection:
        found = opened.collections.get(scope_key)
        if found is None:
            name = collection_name(scope_key)
            if create:
                found = opened.client.get_or_create_collection(name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
            else:
                found = opened.client.get_collection(name, embedding_function=None)
            opened.collections[scope_key] = found
        return found

    @property
    def _index(self) -> Path:
        return self._ledger.folder / "index"

    def _generations(self) -> list[Path]:
        return sorted(self._index.glob("gen-*"))

    def _delete_all_but(self, kept: Path) -> None:
        for folder in self._generations():
            if folder != kept:
                try:
                    shutil.rmtree(folder)
                except OSError as error:
                    raise VectorIndexError(f"The old index {folder} could not be deleted ({error}); delete it by hand.") from error


def release(opened: Opened) -> None:
    """Close the files; a client too broken to close must not keep its replacement from being used."""
    try:
        with chroma("close", opened.folder):
            opened.client.close()
    except VectorIndexError as error:
        logger.warning("%s", error)


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
        raise VectorIndexError(
            f"Chroma could not {doing} in {folder}: {type(error).__name__}: {error}. Search goes on without it; rebuild the index."
        ) from error
