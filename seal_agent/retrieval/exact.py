"""The exact scan: every vector of a scope against the query, in memory.

It is how all but the largest scopes are searched and what those fall back to. Deliberately no index of its own and no copy on disk: it
reads the ledger, adds what was recorded since, and reads all of it anew only when something earlier was changed or removed.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from seal_agent.ledger.entries import count_vectors
from seal_agent.ledger.ledger import Ledger
from seal_agent.ledger.postings import Seqs, Standing, standing, vectors_after
from seal_agent.protocols import Vectors

KEPT_VECTORS = 100_000
"""Vectors kept in memory over all scopes: 154 MB at 384 dimensions. The scope in use is kept whatever its size."""
ROOM = 1.25
"""Rows made room for, as a multiple of those needed, so that one more turn does not copy all before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """A scope's vectors as they were at one time: the first `len(seqs)` rows of `rows`, which may have more by now."""

    standing: Standing
    seqs: Seqs
    rows: Vectors

    @property
    def vectors(self) -> Vectors:
        return self.rows[: len(self.seqs)]


NOTHING = Scanned(standing=Standing(newest=0, changes=0), seqs=np.empty(0, dtype=np.int64), rows=np.empty((0, 0), dtype=np.float32))


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

    def cosines(self, scope_key: str, vector: Vectors) -> tuple[Seqs, Vectors]:
        """Return the sequence numbers of all embedded entries of exactly this scope, ascending, and their cosines with the vector."""
        scanned = self._scanned(scope_key)
        if not len(scanned.seqs):
            return scanned.seqs, np.empty(0, dtype=np.float32)
        # One thread reads a matrix as fast as memory gives it; BLAS would wait for several, and for whichever core is busy.
        cosines: Vectors = np.einsum("ij,j->i", scanned.vectors, vector)
        return scanned.seqs, cosines

    def cosines_of(self, scope_key: str, seqs: Seqs, vector: Vectors) -> tuple[Seqs, Vectors]:
        """Return those of these entries (ascending) that are embedded, and their cosines; reads all of the scope at its first call."""
        scanned = self._scanned(scope_key)
        if not len(scanned.seqs):
            return scanned.seqs, np.empty(0, dtype=np.float32)
        rows = np.minimum(np.searchsorted(scanned.seqs, seqs), len(scanned.seqs) - 1)
        rows = rows[scanned.seqs[rows] == seqs]
        return scanned.seqs[rows], scanned.vectors[rows] @ vector

    def _scanned(self, scope_key: str) -> Scanned:
        with self._lock, self._ledger.read() as connection:
            now = standing(connection, scope_key)
            kept = self._kept.get(scope_key, NOTHING)
            if kept.standing != now:
                if kept.standing.changes != now.changes:
                    kept = NOTHING
                seqs, vectors = vectors_after(connection, scope_key, self._embedder_id, kept.standing.newest)
                kept = appended(kept, seqs, vectors, now)
            self._kept[scope_key] = kept
            self._kept.move_to_end(scope_key)
            while len(self._kept) > 1 and sum(len(scanned.seqs) for scanned in self._kept.values()) > self._kept_vectors:
                self._kept.popitem(last=False)
            return kept


def appended(old: Scanned, seqs: Seqs, vectors: Vectors, now: Standing) -> Scanned:
    """Return the old vectors with the new ones below; rows that somebody may be reading stay as they are."""
    start, end = len(old.seqs), len(old.seqs) + len(seqs)
    rows = old.rows
    if len(seqs):
        if end > len(rows):
            # What is known whole gets no spare room: most scopes are read once and grow little.
            room = end if not start else int(end * ROOM) + 1
            rows = np.empty((room, vectors.shape[1]), dtype=np.float32)
            if start:
                rows[:start] = old.vectors
        rows[start:end] = vectors
    return Scanned(standing=now, seqs=np.concatenate([old.seqs, seqs]), rows=rows)
