"""Search: what a scope may see, ranked by meaning and by words.

A scope sees its own entries and those recorded at its agent and its tenant, never another user's; whatever an index returns is checked
against that once more before it becomes a hit. Meaning is compared by an exact scan, or by the vector index in large scopes; words by the
ledger's full-text index. Deliberately knows no Chroma: the index is made by a factory, when a scope is first large enough.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from seal_agent.config import RetrievalSettings
from seal_agent.errors import UsageError
from seal_agent.ledger.entries import Entry, get_entries, large_scopes, match_text
from seal_agent.ledger.filters import matching
from seal_agent.ledger.ledger import Ledger
from seal_agent.protocols import Embedder, Vectors
from seal_agent.retrieval.exact import ExactScan
from seal_agent.retrieval.fusion import Scored, fuse, height_over_mean, share_of_best
from seal_agent.retrieval.generation_folders import discard_generations
from seal_agent.retrieval.lexical import fts_query, text_key
from seal_agent.retrieval.neighbours import Place, lend
from seal_agent.retrieval.vector_index import IndexStatus
from seal_agent.types import Hit, ScopeId, Where

logger = logging.getLogger(__name__)

MAX_K = 1_000
MAX_QUERY_CHARACTERS = 20_000
CANDIDATES = 200
"""Fewest entries that each list gives to the fusion."""
SPARE = 4
"""Candidates per hit asked for, so that enough remain when duplicates and superseded facts have been dropped."""
LENDERS = 100
"""Entries beyond the hits asked for that lend to their neighbours. More cost time and raised no recall: 100 or 400, same figures."""
EVERYTHING = 1_000_000


class Index(Protocol):
    """What search needs of `vector_index.VectorIndex`: nothing of it waits or raises unless it says so."""

    def want(self, scope_key: str) -> None: ...

    def query(self, scope_key: str, vector: Vectors, k: int) -> list[Scored] | None: ...

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

    def __init__(self, ledger: Ledger, embedder: Embedder, index: Callable[[], Index] | None, settings: RetrievalSettings) -> None:
        self._ledger = ledger
        self._embedder = embedder
        self._make_index = index
        self._settings = settings
        self._exact = ExactScan(ledger, embedder.id)
        self._index: Index | None = None
        self._index_lock = threading.Lock()

    def search(self, scope: ScopeId, query: str, k: int | None = None, where: Where | None = None) -> list[Hit]:
        """Return the `k` best entries, best first, each text once; raise `UsageError` for a query or `k` that can't be meant."""
        check_query(query)
        wanted = check_k(self._settings.k if k is None else k)
        visible = {seen.key: seen for seen in (scope, *scope.ancestors)}
        allowed = self._allowed(visible, where)
        candidates = max(CANDIDATES, SPARE * wanted) if allowed is None else EVERYTHING
        ranking = fuse(
            [
                (self._settings.lexical_weight, self._lexical(query, list(visible), candidates)),
                (self._settings.dense_weight, self._dense(query, list(visible), candidates)),
            ]
        )
        return self._hits(ranking, visible, allowed, wanted)

    def _allowed(self, visible: Mapping[str, ScopeId], where: Where | None) -> frozenset[int] | None:
        """The sequence numbers that meet the conditions; None when there are none."""
        if where is None:
            return None
        with self._ledger.read() as connection:
            return frozenset(matching(connection, list(visible), where).tolist())

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

    def _lexical(self, query: str, scope_keys: Sequence[str], candidates: int) -> list[Scored]:
        words = fts_query(query)
        if not words or self._settings.lexical_weight == 0.0:
            return []
        with self._ledger.read() as connection:
            return share_of_best(match_text(connection, words, scope_keys, candidates))

    def _dense(self, query: str, scope_keys: Sequence[str], candidates: int) -> list[Scored]:
        if self._settings.dense_weight == 0.0:
            return []
        vector = self._embedder.embed([query])[0]
        ids: list[str] = []
        cosines: list[Vectors] = []
        for scope_key in scope_keys:
            found, scores = self._indexed(scope_key, vector, candidates) or self._exact.cosines(scope_key, vector)
            ids.extend(found)
            cosines.append(scores)
        scores = np.concatenate(cosines)
        if not ids:
            return []
        # Of a scope served by the index only the candidates are known, so there the mean lies higher and fewer entries stand out.
        nearest = sorted(zip(ids, scores.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))[:candidates]
        return height_over_mean(nearest, float(scores.mean()))

    def _indexed(self, scope_key: str, vector: Vectors, candidates: int) -> tuple[list[str], Vectors] | None:
        """Ask the vector index; None when the scope is too small for it, or when it does not serve it now."""
        if self._make_index is None:
            return None
        found = None if self.index is None else self.index.query(scope_key, vector, candidates)
        if found is None:
            if self._exact.count(scope_key) >= max(1, self._settings.exact_scan_below):
                index = self._opened_index()
                if index is not None:
                    index.want(scope_key)
            return None
        return [entry_id for entry_id, _ in found], np.array([cosine for _, cosine in found], dtype=np.float32)

    def _opened_index(self) -> Index | None:
        with self._index_lock:
            if self._index is None and self._make_index is not None:
                self._index = self._make_index()
            return self._index

    def _hits(self, ranking: Sequence[Scored], visible: dict[str, ScopeId], allowed: frozenset[int] | None, wanted: int) -> list[Hit]:
        hits: list[Hit] = []
        texts: set[str] = set()
        with self._ledger.read() as connection:
            known = get_entries(connection, [entry_id for entry_id, _ in ranking[: LENDERS + wanted]])
            ranking = lend(ranking, places(known))
            step = SPARE * wanted
            for start in range(0, len(ranking), step):
                batch = ranking[start : start + step]
                known |= get_entries(connection, [entry_id for entry_id, _ in batch if entry_id not in known])
                for entry_id, score in batch:
                    entry = known.get(entry_id)
                    if entry is None or not is_visible(entry, visible) or text_key(entry.text) in texts:
                        continue
                    if allowed is not None and entry.seq not in allowed:
                        continue
                    texts.add(text_key(entry.text))
                    hits.append(hit(entry, score, visible[entry.scope_key]))
                    if len(hits) == wanted:
                        return hits
        return hits


def places(entries: Mapping[str, Entry]) -> dict[str, Place]:
    """Where in which episode the turns among the entries were said."""
    return {
        entry.id: (entry.episode_id, entry.turn) for entry in entries.values() if entry.episode_id is not None and entry.turn is not None
    }


def is_visible(entry: Entry, visible: dict[str, ScopeId]) -> bool:
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
