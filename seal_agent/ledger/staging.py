"""Vectors of another embedder, gathered beside those that serve until every entry has one, and then put in their place at once.

Deliberately embeds nothing (`reindexing.py` does). What was staged when a process ended is gone on with.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, select

from seal_agent.ledger.encoding import Vectors, encode_vector
from seal_agent.ledger.schema import entries, staged_vectors


def serving_embedder(conn: Connection, preferred: str) -> str:
    """Return which embedder the ledger's vectors are by: `preferred` when it made some of them, or when there are none."""
    counts = {row[0]: row[1] for row in conn.execute(select(entries.c.embedder, func.count()).group_by(entries.c.embedder)) if row[0]}
    return preferred if preferred in counts or not counts else max(sorted(counts), key=lambda embedder: counts[embedder])


def unstaged(conn: Connection, embedder_id: str, limit: int) -> list[int]:
    """Return the numbers of the oldest entries without a staged vector of this embedder."""
    staged = select(staged_vectors.c.seq).where(staged_vectors.c.embedder == embedder_id)
    return list(conn.execute(select(entries.c.seq).where(entries.c.seq.not_in(staged)).order_by(entries.c.seq).limit(limit)).scalars())


def count_unstaged(conn: Connection, embedder_id: str) -> int:
    staged = select(staged_vectors.c.seq).where(staged_vectors.c.embedder == embedder_id)
    return int(conn.execute(select(func.count()).select_from(entries).where(entries.c.seq.not_in(staged))).scalar_one())


def stage(conn: Connection, embedder_id: str, seqs: Sequence[int], vectors: Vectors) -> None:
    """Keep vectors [n, dim] for these entries; one that has left the ledger meanwhile is skipped."""
    known = set(conn.execute(select(entries.c.seq).where(entries.c.seq.in_(seqs))).scalars())
    conn.execute(delete(staged_vectors).where(staged_vectors.c.seq.in_(seqs)))
    rows = [
        {"seq": seq, "embedder": embedder_id, "vector": encode_vector(vector)}
        for seq, vector in zip(seqs, vectors, strict=True)
        if seq in known
    ]
    if rows:
        conn.execute(staged_vectors.insert(), rows)


def switch_embedder(conn: Connection, embedder_id: str) -> bool:
    """Put the staged vectors in place of those that serve, if every entry has one; return whether that was so."""
    if count_unstaged(conn, embedder_id):
        return False
    conn.exec_driver_sql(
        "UPDATE entries SET embedder = staged.embedder, vector = staged.vector FROM staged_vectors AS staged WHERE staged.seq = entries.seq"
    )
    conn.execute(delete(staged_vectors))
    return True


def drop_staged(conn: Connection) -> None:
    """Forget what was staged."""
    conn.execute(delete(staged_vectors))
