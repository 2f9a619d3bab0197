"""The backlog: entries that were recorded while no embedder could be had, or by another one, embedded a portion at a time.

Deliberately only fills in vectors. The vector index, which may have passed these entries by, is for the caller to tell.
"""

import logging

from seal_agent.errors import EmbeddingError, UnknownRecordError
from seal_agent.ledger.entries import Entry, missing_vectors, set_vector
from seal_agent.ledger.ledger import Ledger
from seal_agent.protocols import Embedder
from seal_agent.retrieval.labels import embedded_text
from seal_agent.types import ScopeId

logger = logging.getLogger(__name__)

PORTION = 256
"""Most entries that one search embeds first, about a second's work."""


def text_to_embed(entry: Entry) -> str:
    """Return what the embedder is given for an entry."""
    return embedded_text(entry.text, ScopeId.of(entry.scope_key), entry.role, entry.name, entry.at)


def embed_backlog(ledger: Ledger, embedder: Embedder, limit: int = PORTION) -> dict[str, list[str]]:
    """Embed the oldest entries that wait; return their ids per scope key.

    Raise `EmbeddingError` when the embedder fails.
    """
    with ledger.read() as connection:
        waiting = missing_vectors(connection, embedder.id, limit)
    if not waiting:
        return {}
    vectors = embedder.embed([text_to_embed(entry) for entry in waiting])
    if len(vectors) != len(waiting):
        raise EmbeddingError(f"The embedder {embedder.id!r} gave {len(vectors)} vectors for {len(waiting)} texts.")
    with ledger.write() as connection:
        for entry, vector in zip(waiting, vectors, strict=True):
            try:
                set_vector(connection, entry.seq, embedder.id, vector)
            except UnknownRecordError:
                logger.debug("entry %s was superseded or forgotten while it was embedded", entry.id)
    logger.info("embedded %d entries that had waited for it", len(waiting))
    late: dict[str, list[str]] = {}
    for entry in waiting:
        late.setdefault(entry.scope_key, []).append(entry.id)
    return late
