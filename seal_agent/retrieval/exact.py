"""The exact scan: every vector of a scope against the query, in memory.

It is how small scopes are searched and what large ones fall back to. Deliberately no index of its own and no copy on disk: it reads the
ledger, and keeps what it read for as long as the ledger's entries of that scope have not changed.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, func, select

from seal_agent.ledger.entries import count_vectors, scan_vectors
from seal_agent.ledger.ledger import Ledger
from seal_agent.ledger.schema import entries
from seal_agent.protocols import Vectors

KEPT_VECTORS = 100_000
"""Vectors kept in memory over all scopes: 154 MB at 384 dimensions. The scope in use is kept whatever its size."""

Revision = tuple[int, int, int]
"""Count, highest and sum of the sequence numbers of a scope's vectors, read from an index alone.

Numbers are never used twice, so an addition raises the highest; the sum tells of an entry that went while an older one got its vector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    revision: Revision
    ids: tuple[str, ...]
    vectors: Vectors


class ExactScan:
    """The vectors of one embedder, scope by scope, the most recently used kept in memory. Safe to use from several threads."""

    def __init__(self, ledger: Ledger, embedder_id: str, kept_vectors: int = KEPT_VECTORS) -> None:
        self._ledger = ledger
        self._embedder_id = embedder_id
        self._kept_vectors = kept_vectors
        self._kept: OrderedDict[str, Scanned] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, scope_key: str) -> int:
        """Return how many vectors the scope has now."""
        with self._ledger.read() as connection:
            return count_vectors(connection, [scope_key], self._embedder_id)

    def cosines(self, scope_key: str, vector: Vectors) -> tuple[tuple[str, ...], Vectors]:
        """Return the ids of all entries of exactly this scope and their cosines with the vector."""
        scanned = self._scanned(scope_key)
        if not scanned.ids:
            return (), np.empty(0, dtype=np.float32)
        return scanned.ids, scanned.vectors @ vector

    def _scanned(self, scope_key: str) -> Scanned:
        with self._ledger.read() as connection:
            revision = self._revision(connection, scope_key)
            with self._lock:
                kept = self._kept.get(scope_key)
                if kept is not None and kept.revision == revision:
                    self._kept.move_to_end(scope_key)
                    return kept
            ids, vectors = scan_vectors(connection, [scope_key], self._embedder_id)
        scanned = Scanned(revision=revision, ids=tuple(ids), vectors=vectors)
        self._keep(scope_key, scanned)
        return scanned

    def _keep(self, scope_key: str, scanned: Scanned) -> None:
        with self._lock:
            self._kept[scope_key] = scanned
            self._kept.move_to_end(scope_key)
            while len(self._kept) > 1 and sum(len(kept.ids) for kept in self._kept.values()) > self._kept_vectors:
                self._kept.popitem(last=False)

    def _revision(self, connection: Connection, scope_key: str) -> Revision:
        seq = entries.c.seq
        query = select(func.count(), func.coalesce(func.max(seq), 0), func.coalesce(func.sum(seq), 0)).where(
            entries.c.scope_key == scope_key, entries.c.embedder == self._embedder_id
        )
        count, newest, total = connection.execute(query).one()
        return count, newest, total
