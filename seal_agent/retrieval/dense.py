"""Meaning: how near the query's vector is to the entries', by an exact scan or, in the largest scopes, by the vector index.

The index gives the nearest only. The vectors of what the words found, and of the turns next to either, are then read from the ledger,
so that all candidates are judged alike. Deliberately ranks nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seal_agent.ledger.entries import seqs_of
from seal_agent.ledger.ledger import Ledger
from seal_agent.ledger.postings import Seqs, vectors_at
from seal_agent.protocols import Vectors
from seal_agent.retrieval.catalogue import Catalogue, Numbers, Positions
from seal_agent.retrieval.exact import KEPT_VECTORS, ExactScan

NEAREST = 100
"""Entries asked of the vector index."""
LEXICAL = 100
"""Of the entries found by words, those whose vectors are read when the index serves."""
SAMPLE = 1_000
"""Vectors from which the mean cosine of an indexed scope is estimated; its standard error is then 0.004 at most."""
FEW = 5_000
"""Up to so many entries that meet a search's conditions are read from the ledger one by one; beyond, the scope is scanned."""

Ask = Callable[[str, Vectors, int], Sequence[tuple[str, float]] | None]
"""The vector index: (scope key, vector, k) to (entry id, cosine), or None when it does not serve this scope now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosines:
    """One per entry of a catalogue, NaN where unknown; and what is known of their mean."""

    values: Numbers
    mean: float


class Dense:
    """The dense arm of one embedder. Safe to use from several threads."""

    def __init__(self, ledger: Ledger, embedder_id: str) -> None:
        self._ledger = ledger
        self._embedder_id = embedder_id
        self.exact = ExactScan(ledger, embedder_id)
        self._samples: dict[str, tuple[int, Vectors]] = {}

    def cosines(self, scope_key: str, catalogue: Catalogue, vector: Vectors, allowed: Positions | None) -> Cosines:
        """Scan the scope, or only the allowed entries where these are few."""
        if allowed is not None and len(allowed) <= FEW:
            return known_only(self._read(scope_key, catalogue, allowed, vector))
        seqs, values = self.exact.cosines(scope_key, vector)
        return known_only(laid_out(catalogue, seqs, values))

    def nearest(self, scope_key: str, catalogue: Catalogue, vector: Vectors, by_words: Numbers, ask: Ask) -> Cosines | None:
        """Ask the index, then read the vectors of what the words found and of all candidates' neighbours."""
        found = ask(scope_key, vector, NEAREST)
        if found is None:
            return None
        with self._ledger.read() as connection:
            seqs = seqs_of(connection, scope_key, [entry_id for entry_id, _ in found])
        pairs = sorted((seqs[entry_id], cosine) for entry_id, cosine in found if entry_id in seqs)
        near = laid_out(catalogue, np.array([seq for seq, _ in pairs], dtype=np.int64), np.array([cosine for _, cosine in pairs]))
        candidates = np.union1d(np.flatnonzero(np.isfinite(near)), highest(by_words, LEXICAL))
        places = np.unique(np.concatenate([candidates, *catalogue.neighbours(candidates)]))
        values = self._read(scope_key, catalogue, places[places < len(catalogue)], vector)
        # Of entries that left the ledger since they were indexed nothing was read, and nothing is to be shown.
        return Cosines(values=values, mean=self._sampled_mean(scope_key, catalogue, vector))

    def _read(self, scope_key: str, catalogue: Catalogue, places: Positions, vector: Vectors) -> Numbers:
        seqs = catalogue.seqs[places]
        if len(catalogue) <= KEPT_VECTORS:
            return laid_out(catalogue, *self.exact.cosines_of(scope_key, seqs, vector))
        # A matrix that large is not kept for a few hundred rows of it.
        with self._ledger.read() as connection:
            seqs, vectors = vectors_at(connection, seqs.tolist(), self._embedder_id)
        return laid_out(catalogue, seqs, vectors @ vector if len(seqs) else np.empty(0))

    def _sampled_mean(self, scope_key: str, catalogue: Catalogue, vector: Vectors) -> float:
        """The sample is read anew when the scope has grown by half; what a forgotten entry adds to a mean of a thousand tells nothing."""
        entries, sample = self._samples.get(scope_key, (0, np.empty((0, 0), dtype=np.float32)))
        if not entries or not entries / 1.5 <= len(catalogue) <= entries * 1.5:
            evenly = catalogue.seqs[np.linspace(0, len(catalogue) - 1, min(SAMPLE, len(catalogue))).astype(np.int64)]
            with self._ledger.read() as connection:
                _, sample = vectors_at(connection, evenly.tolist(), self._embedder_id)
            self._samples[scope_key] = (len(catalogue), sample)
        return float(np.mean(sample @ vector)) if len(sample) else 0.0


def known_only(values: Numbers) -> Cosines:
    known = values[np.isfinite(values)]
    return Cosines(values=values, mean=float(known.mean()) if len(known) else 0.0)


def laid_out(catalogue: Catalogue, seqs: Seqs, values: Numbers | Vectors) -> Numbers:
    """Put values by ascending sequence number in their places; entries that the catalogue does not know yet are left out."""
    laid = np.full(len(catalogue), np.nan)
    if len(seqs) and len(catalogue):
        found = np.minimum(np.searchsorted(catalogue.seqs, seqs), max(0, len(catalogue) - 1))
        known = catalogue.seqs[found] == seqs
        laid[found[known]] = values[known]
    return laid


def highest(values: Numbers, count: int) -> Positions:
    """The places of the highest positive values, at most so many."""
    places = np.flatnonzero(values > 0.0)
    if len(places) > count:
        places = np.sort(places[np.argpartition(-values[places], count)[:count]])
    return places
