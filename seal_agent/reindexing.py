"""Reindexing: the vector index made anew, from the stored vectors or with another embedder, while what there was goes on serving.

With another embedder every text is embedded beside the vectors that serve; the next generation takes over in one transaction once it is
complete. Interrupted, it is gone on with at the next call. Deliberately changes no setting: which embedder serves, the ledger knows.
"""

import logging
from dataclasses import dataclass

from seal_agent.errors import EmbeddingError
from seal_agent.ledger.entries import entries_at
from seal_agent.ledger.staging import count_unstaged, drop_staged, stage, switch_embedder, unstaged
from seal_agent.parts import Parts
from seal_agent.protocols import Embedder
from seal_agent.retrieval.backlog import text_to_embed
from seal_agent.types import Progress, ProgressCallback

logger = logging.getLogger(__name__)

PORTION = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ReindexReport:
    """What was made anew."""

    embedder: str
    embedded: int
    """Texts that were embedded; 0 where the stored vectors served."""
    scopes: int
    """Scopes large enough for the vector index; the others are scanned exactly."""
    generation: int | None


def reindex(parts: Parts, embedder: Embedder | None, progress: ProgressCallback) -> ReindexReport:
    """Make the index anew; raise `EmbeddingError` or `VectorIndexError`, and then everything serves as before."""
    embedded = 0
    if embedder is not None and embedder.id != parts.embedder_id:
        embedded = embed_all(parts, embedder, progress)
        parts.use_embedder(embedder)
        logger.info("the vectors of %s are now by %s", parts.folder, embedder.id)
    searcher = parts.searcher
    scopes = searcher.large_scopes()
    if scopes:
        searcher.rebuild_index()
    else:
        searcher.discard_index()
    index = searcher.index
    generation = None if index is None else index.status().generation
    return ReindexReport(embedder=parts.embedder_id, embedded=embedded, scopes=len(scopes), generation=generation)


def embed_all(parts: Parts, embedder: Embedder, progress: ProgressCallback) -> int:
    """Embed every text and switch to the new vectors; return how many were embedded now."""
    with parts.ledger.read() as connection:
        total = count_unstaged(connection, embedder.id)
    done = 0
    while True:
        with parts.ledger.read() as connection:
            waiting = list(entries_at(connection, unstaged(connection, embedder.id, PORTION)).values())
        if waiting:
            vectors = embedder.embed([text_to_embed(entry) for entry in waiting])
            if len(vectors) != len(waiting):
                raise EmbeddingError(f"The embedder {embedder.id!r} gave {len(vectors)} vectors for {len(waiting)} texts.")
            with parts.ledger.write() as connection:
                stage(connection, embedder.id, [entry.seq for entry in waiting], vectors)
            done += len(waiting)
            progress(Progress(stage="reindex", done=done, total=max(total, done)))
            continue
        with parts.ledger.write() as connection:
            # What was added between the last look and this lock is embedded in the next round.
            if switch_embedder(connection, embedder.id):
                return done


def abandon(parts: Parts) -> None:
    """Forget what an interrupted reindexing had embedded."""
    with parts.ledger.write() as connection:
        drop_staged(connection)
