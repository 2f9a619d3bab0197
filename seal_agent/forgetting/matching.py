"""What a query means in a scope's own memory, and what says nearly the same as something that goes.

By all of the query's telling words, or by nearness of meaning. Deliberately no ranking and no limit of hits: forgetting is not a search,
and whoever asks for it sees the preview.
"""

from collections.abc import Collection, Sequence

import numpy as np
from sqlalchemy import Connection

from seal_agent.forgetting.records import Targets
from seal_agent.ledger.encoding import decode_vector
from seal_agent.ledger.entries import entries_at, get_entries, scope_vectors_after
from seal_agent.ledger.postings import seqs_with
from seal_agent.protocols import Vectors
from seal_agent.retrieval.lexical import STOP_WORDS, terms
from seal_agent.retrieval.search import hit
from seal_agent.types import Hit, ScopeId

NEAR = 0.6
"""Cosine from which a text is about what was asked for. With MiniLM a question lies at about 0.5 to 0.8 from its answer."""
SIMILAR = 0.7
"""Cosine from which a text says nearly the same as another."""
ALL = 2**31
"""Entries; nothing that is meant may be passed over."""
SHOWN = 10


def targets_matching(conn: Connection, scope: ScopeId, query: str, vector: Vectors | None, embedder_id: str) -> Targets:
    """Return the facts and turns of exactly this scope that hold all telling words of the query, or lie near it in meaning."""
    found = terms(query)
    telling = [term for term in found if term not in STOP_WORDS] or found
    holding = [set(seqs_with(conn, term, scope.key).tolist()) for term in telling]
    chosen = set.intersection(*holding) if holding else set()
    if vector is not None:
        seqs, _, vectors = scope_vectors_after(conn, scope.key, embedder_id, 0, ALL)
        if seqs and vectors.shape[1:] == vector.shape:
            chosen |= {seq for seq, cosine in zip(seqs, vectors @ vector, strict=True) if cosine >= NEAR}
    entries = entries_at(conn, sorted(chosen))
    in_order = [entries[seq] for seq in sorted(entries)]
    return Targets(
        facts=tuple(entry.fact_id for entry in in_order if entry.fact_id is not None),
        turns=tuple(entry.id for entry in in_order if entry.fact_id is None),
    )


def similar_to(
    conn: Connection, scope: ScopeId, going: Sequence[tuple[str, str, bytes | None]], touched: Collection[str], embedder_id: str
) -> tuple[Hit, ...]:
    """Return what stays although it says nearly the same as something that goes, nearest first; `going` are rows of `entry_rows`."""
    _, ids, vectors = scope_vectors_after(conn, scope.key, embedder_id, 0, ALL)
    removed = [decode_vector(vector) for id, _, vector in going if vector is not None and id in set(ids)]
    removed = [vector for vector in removed if vectors.shape[1:] == vector.shape]
    if not removed:
        return ()
    nearness = (vectors @ np.stack(removed).T).max(axis=1)
    gone = {id for id, _, _ in going} | set(touched)
    near = [(id, float(n)) for id, n in zip(ids, nearness, strict=True) if n >= SIMILAR and id not in gone]
    near = sorted(near, key=lambda pair: -pair[1])[:SHOWN]
    entries = get_entries(conn, scope.key, [id for id, _ in near])
    return tuple(hit(entries[id], score, scope) for id, score in near if id in entries)
