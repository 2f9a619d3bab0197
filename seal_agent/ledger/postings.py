"""What ranking reads of a scope: which entries hold a word, where each entry stands, and how often something recorded earlier has changed.

The lexical index is SQLite's FTS5, written in the transaction that records the text. Deliberately scores nothing: FTS5's own `bm25()`
counts words over everybody's entries, so that one customer's talk would move another's ranking, and knows no neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, bindparam, func, select, text

from seal_agent.ledger.encoding import Vectors, batches, decode_vectors
from seal_agent.ledger.entries import SAID_IN
from seal_agent.ledger.schema import entries, episodes, scope_changes
from seal_agent.types import Role

Seqs = npt.NDArray[np.int64]

# FTS5 has no SQLAlchemy construct; on another database these two statements are to be replaced.
_HOLDING = text("SELECT rowid FROM entries_fts WHERE entries_fts MATCH :query AND rowid > :after ORDER BY rowid")
_STANDING = select(
    select(func.max(entries.c.seq)).where(entries.c.scope_key == bindparam("scope_key")).scalar_subquery(),
    select(scope_changes.c.changes).where(scope_changes.c.scope_key == bindparam("scope_key")).scalar_subquery(),
)
_SHARE = 0.5
"""A scope that holds more of the brain's entries is not named to the index: walking its own list would cost more than it saves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a scope is recorded; two that are equal hold the same entries."""

    newest: int
    """Highest sequence number, 0 for an empty scope."""
    changes: int
    """How often an entry was changed or removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One entry and where it stands."""

    seq: int
    thread: str | None
    """The conversation that a turn is part of: its session, or else its episode. None for a fact."""
    role: Role | None
    name: str | None
    day: str
    characters: int


def standing(conn: Connection, scope_key: str) -> Standing:
    """Read two index entries; cheap enough for every search."""
    newest, changes = conn.execute(_STANDING, {"scope_key": scope_key}).one()
    return Standing(newest=newest or 0, changes=changes or 0)


def placed_after(conn: Connection, scope_key: str, seq: int) -> list[Placed]:
    """List the scope's entries beyond `seq`, in recorded order."""
    query = (
        select(
            entries.c.seq,
            entries.c.episode_id,
            episodes.c.session,
            entries.c.role,
            entries.c.name,
            func.substr(entries.c.at, 1, 10),
            func.length(entries.c.text),
        )
        .outerjoin_from(entries, episodes, SAID_IN)
        .where(entries.c.scope_key == scope_key, entries.c.seq > seq)
        .order_by(entries.c.seq)
    )
    return [
        # A session and an episode of the same name must not run into one another.
        Placed(
            seq=number,
            thread=f"e:{episode}" if session is None and episode is not None else (None if episode is None else f"s:{session}"),
            role=role,
            name=name,
            day=day,
            characters=characters,
        )
        for number, episode, session, role, name, day, characters in conn.execute(query)
    ]


def seqs_with(conn: Connection, word: str, scope_key: str, after: int = 0, *, share: float = 0.0) -> Seqs:
    """Return the entries beyond `after` that hold the word or another form of its stem, ascending.

    Entries of other scopes may be among them when `share`, how much of the brain is this scope's, is large; the caller knows its own.
    `word` must hold a letter or a digit; whatever else it holds is data.
    """
    query = f"text : {quoted(word)}"
    if share <= _SHARE:
        query += f' AND scope_token : "s{scope_key.encode().hex()}"'
    rows = conn.execute(_HOLDING, {"query": query, "after": after}).all()
    return np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows))


def quoted(word: str) -> str:
    """A string of FTS5's language, in which nothing is an operator."""
    return '"' + word.replace('"', '""') + '"'


def vectors_after(conn: Connection, scope_key: str, embedder_id: str, seq: int) -> tuple[Seqs, Vectors]:
    """Return the sequence numbers and vectors [n, dim] of the scope's embedded entries beyond `seq`, in recorded order."""
    query = select(entries.c.seq, entries.c.vector).where(
        entries.c.embedder == embedder_id, entries.c.scope_key == scope_key, entries.c.seq > seq
    )
    rows = conn.execute(query.order_by(entries.c.seq)).all()
    return np.array([row[0] for row in rows], dtype=np.int64), decode_vectors([row[1] for row in rows], repr(embedder_id))


def vectors_at(conn: Connection, seqs: Sequence[int], embedder_id: str) -> tuple[Seqs, Vectors]:
    """Return those of the entries that this embedder has embedded, ascending, and their vectors [n, dim]."""
    found: list[tuple[int, bytes]] = []
    for batch in batches(seqs):
        query = select(entries.c.seq, entries.c.vector).where(entries.c.seq.in_(batch), entries.c.embedder == embedder_id)
        found.extend((row[0], row[1]) for row in conn.execute(query))
    found.sort()
    return np.array([seq for seq, _ in found], dtype=np.int64), decode_vectors([blob for _, blob in found], repr(embedder_id))
