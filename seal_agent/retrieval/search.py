"""Search: what a scope may see, ranked by meaning and by words.

A scope sees its own entries and those recorded at its agent and its tenant, never another user's; whatever an index returns is checked
against that once more before it becomes a hit. Meaning is compared by an exact scan, or by the vector index in large scopes; words by the
ledger's full-text index. Deliberately knows no Chroma: the index is made by a factory, when a scope is first large enough.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

import numpy as np

from seal_agent.config import RetrievalSettings
from seal_agent.errors import UsageError
from seal_agent.ledger.entries import Entry, entries_at, large_scopes
from seal_agent.ledger.filters import matching
from seal_agent.ledger.ledger import Ledger
from seal_agent.ledger.postings import Seqs
from seal_agent.protocols import Embedder, Reranker, Vectors
from seal_agent.retrieval.by_words import ByWords, Found
from seal_agent.retrieval.dense import Cosines, Dense
from seal_agent.retrieval.fusion import Arms, Fused, fuse
from seal_agent.retrieval.generation_folders import discard_generations
from seal_agent.retrieval.lexical import text_key
from seal_agent.retrieval.second_reading import reranked
from seal_agent.retrieval.vector_index import IndexStatus
from seal_agent.types import Hit, ScopeId, Where

logger = logging.getLogger(__name__)

MAX_K = 1_000
MAX_QUERY_CHARACTERS = 20_000
SORTED_AT_ONCE = 500
"""Scores put in order at a time: a search seldom looks further."""
QUOTED = re.compile(r".{1,160}? said: (.+)", re.DOTALL)
"""How a fact is written that gives somebody's own words."""


Scored = tuple[str, float]
"""An entry's id and its cosine."""


class Index(Protocol):
    """What search needs of `vector_index.VectorIndex`: nothing of it waits or raises unless it says so."""

    def want(self, scope_key: str) -> None: ...

    def query(self, scope_key: str, vector: Vectors, k: int) -> Sequence[Scored] | None: ...

    def embedded_late(self, scope_key: str, ids: Sequence[str]) -> None: ...

    def status(self) -> IndexStatus: ...

    def wait(self, seconds: float) -> IndexStatus: ...

    def discard(self) -> None:
        """Raise `VectorIndexError`."""

    def rebuild(self, scope_keys: Sequence[str] = ()) -> None:
        """Raise `VectorIndexError`."""

    def close(self) -> None: ...


class Searcher:
    """Finds what is relevant. Safe to use from several threads.

        searcher = Searcher(ledger, embedder, lambda: build_index(ledger, embedder.id), settings)
        searcher.search(ScopeId(user="ana"), "what may she eat?", k=8)

    The vector index is asked first and never waited for: what it does not serve is scanned exactly.
    """

    def __init__(
        self,
        ledger: Ledger,
        embedder: Embedder,
        index: Callable[[], Index] | None,
        settings: RetrievalSettings,
        reranker: Callable[[], Reranker] | None = None,
    ) -> None:
        self._ledger = ledger
        self._embedder = embedder
        self._make_index = index
        self._settings = settings
        self._reranker = reranker
        self._words = ByWords(ledger)
        self._dense = Dense(ledger, embedder.id)
        self._index: Index | None = None
        self._index_lock = threading.Lock()

    def search(self, scope: ScopeId, query: str, k: int | None = None, where: Where | None = None) -> list[Hit]:
        """Return the `k` best entries, best first, each text once; raise `UsageError` for a query or `k` that can't be meant."""
        check_query(query)
        wanted = check_k(self._settings.k if k is None else k)
        visible = {seen.key: seen for seen in (scope, *scope.ancestors)}
        allowed = self._allowed(visible, where)
        found = [one for one in self._words.find(list(visible.values()), query) if len(one.catalogue)]
        vector = self._embedded(query) if found else None
        cosines = [self._cosines(one, vector, allowed) for one in found]
        arms = [
            Arms(
                catalogue=one.catalogue,
                lexical=one.lexical,
                spoken_of=one.spoken_of,
                cosines=known.values,
                allowed=allowed,
            )
            for one, known in zip(found, cosines, strict=True)
        ]
        entries = sum(len(one.catalogue) for one in found)
        mean = sum(known.mean * len(known.values) for known in cosines) / max(1, entries)
        ranking = ranked(fuse(arms, mean, self._settings))
        if self._reranker is None:
            return self._hits(ranking, visible, wanted)
        hits = self._hits(ranking, visible, max(wanted, self._settings.reranked))
        return reranked(self._reranker, query, hits, self._settings.reranked)[:wanted]

    def _allowed(self, visible: Mapping[str, ScopeId], where: Where | None) -> Seqs | None:
        """The sequence numbers that meet the conditions; None when there are none."""
        if where is None:
            return None
        with self._ledger.read() as connection:
            return matching(connection, list(visible), where)

    def _embedded(self, query: str) -> Vectors | None:
        """The query's vector, unless meaning does not count."""
        if self._settings.dense_weight == self._settings.near_weight == 0.0:
            return None
        vector: Vectors = self._embedder.embed([query])[0]
        return vector

    def _cosines(self, found: Found, vector: Vectors | None, allowed: Seqs | None) -> Cosines:
        key, catalogue = found.scope.key, found.catalogue
        if vector is None:
            return Cosines(values=np.full(len(catalogue), np.nan), mean=0.0)
        if allowed is not None:
            return self._dense.cosines(key, catalogue, vector, catalogue.places(allowed))
        by_index = self._dense.nearest(key, catalogue, vector, found.lexical.windows, self._ask) if self._is_large(found) else None
        return by_index or self._dense.cosines(key, catalogue, vector, None)

    def _is_large(self, found: Found) -> bool:
        return self._make_index is not None and len(found.catalogue) >= max(1, self._settings.exact_scan_below)

    def _ask(self, scope_key: str, vector: Vectors, k: int) -> Sequence[Scored] | None:
        """Ask the vector index; None, and it is told to, when it does not serve this scope now."""
        found = None if self.index is None else self.index.query(scope_key, vector, k)
        if found is None and (index := self._opened_index()) is not None:
            index.want(scope_key)
        return found

    @property
    def index(self) -> Index | None:
        """The vector index, if one was needed so far."""
        with self._index_lock:
            return self._index

    def embedded_late(self, scope_key: str, ids: Sequence[str]) -> None:
        """Tell the index, if there is one, of entries that got their vectors after it may have passed them by."""
        if self.index is not None:
            self.index.embedded_late(scope_key, ids)

    def discard_index(self) -> None:
        """Delete the vector index from disk now; it is made anew in the background without what has left the ledger.

        Searches are scanned exactly meanwhile. Raise `VectorIndexError` when a folder can't be deleted.
        """
        if self.index is None:
            discard_generations(self._ledger)
        else:
            self.index.discard()

    def rebuild_index(self) -> None:
        """Make the vector index of all large scopes anew now; the old one serves meanwhile. Raise `VectorIndexError` if it fails."""
        index = self._opened_index()
        if index is not None:
            index.rebuild(self.large_scopes())

    def large_scopes(self) -> list[str]:
        """The keys of the scopes that the vector index is for."""
        with self._ledger.read() as connection:
            return large_scopes(connection, self._embedder.id, max(1, self._settings.exact_scan_below))

    def close(self) -> None:
        """Release the vector index, if one was opened. Idempotent."""
        with self._index_lock:
            if self._index is not None:
                self._index.close()
                self._index = None

    def _opened_index(self) -> Index | None:
        with self._index_lock:
            if self._index is None and self._make_index is not None:
                self._index = self._make_index()
            return self._index

    def _hits(self, ranking: Iterable[tuple[int, float]], visible: Mapping[str, ScopeId], wanted: int) -> list[Hit]:
        hits: list[Hit] = []
        texts: set[str] = set()
        remaining = iter(ranking)
        with self._ledger.read() as connection:
            # Twice as many as wanted at a time, so that enough remain when duplicates have been dropped.
            while batch := list(islice(remaining, 2 * wanted)):
                known = entries_at(connection, [seq for seq, _ in batch])
                for seq, score in batch:
                    entry = known.get(seq)
                    if entry is None or not is_visible(entry, visible) or not texts.isdisjoint(same := text_keys(entry)):
                        continue
                    texts |= same
                    hits.append(hit(entry, score, visible[entry.scope_key]))
                    if len(hits) == wanted:
                        return hits
        return hits


def ranked(fused: Sequence[Fused]) -> Iterator[tuple[int, float]]:
    """Yield sequence numbers with their scores, best first; equals in recorded order. Sorts no more than is asked for."""
    if not fused:
        return
    seqs = np.concatenate([results.seqs for results in fused])
    totals = np.concatenate([results.scores for results in fused])
    left = np.arange(len(totals))
    while len(left):
        step = min(SORTED_AT_ONCE, len(left))
        least = np.partition(totals[left], len(left) - step)[len(left) - step]
        top = left[totals[left] >= least]
        top = top[np.lexsort((seqs[top], -totals[top]))]
        yield from zip(seqs[top].tolist(), totals[top].tolist(), strict=True)
        left = left[totals[left] < least]


def text_keys(entry: Entry) -> set[str]:
    """What an entry says: a fact that quotes somebody says the same as the turn it was drawn from."""
    quoted = QUOTED.fullmatch(entry.text) if entry.fact_id is not None else None
    return {text_key(entry.text), text_key(quoted[1])} if quoted else {text_key(entry.text)}


def is_visible(entry: Entry, visible: Mapping[str, ScopeId]) -> bool:
    """Fail closed: no index is trusted to have kept the scopes apart."""
    if entry.scope_key not in visible:
        logger.error("an index returned entry %s of scope %s, which is not visible here; dropped", entry.id, entry.scope_key)
    return entry.scope_key in visible


def hit(entry: Entry, score: float, scope: ScopeId) -> Hit:
    return Hit(
        text=entry.text,
        score=score,
        source="turn" if entry.fact_id is None else "fact",
        episode_id=entry.episode_id,
        fact_id=entry.fact_id,
        role=entry.role,
        at=entry.at,
        scope=scope,
        turn=entry.turn,
        name=entry.name,
    )


def check_k(k: int) -> int:
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= MAX_K:
        raise UsageError(f"k={k!r} is not a number of hits: give 1 to {MAX_K}.")
    return k


def check_query(query: str) -> None:
    if not isinstance(query, str) or not query.strip():
        raise UsageError(f"query={query!r} asks nothing: give a non-empty string.")
    if len(query) > MAX_QUERY_CHARACTERS:
        raise UsageError(f"The query has {len(query):,} characters; at most {MAX_QUERY_CHARACTERS:,} are allowed. Ask for its gist.")
    if any("\ud800" <= character <= "\udfff" for character in query):
        raise UsageError("The query holds a lone surrogate, half a character; decode the bytes that it came from as UTF-8.")
