"""Entries: the searchable texts, one per turn and one per fact that is told, with their vectors and the lexical index over them.

The read side serves `retrieval/`; ranking and fusion live there. Deliberately embeds nothing. Entries of superseded and forgotten facts
are gone, so an index built earlier may name ids that `get_entries` no longer knows: those are not to be shown.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy.typing as npt
from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, insert, or_, select, text, update
from sqlalchemy.exc import IntegrityError as ConstraintError

from seal_agent.errors import EmbeddingError, IntegrityError, UnknownRecordError, UsageError
from seal_agent.ledger.encoding import Columns, Vectors, batches, decode_time, decode_vector, decode_vectors, encode_vector, hash_text
from seal_agent.ledger.schema import entries, episodes
from seal_agent.types import Role

SAID_IN = and_(entries.c.scope_key == episodes.c.scope_key, entries.c.episode_id == episodes.c.id)
"""Joins a turn to its episode."""
# Built once: putting a statement together costs as much as running it.
NEW_ENTRY = insert(entries)
OF_ENTRY = tuple(entries.c[name] for name in ("seq", "id", "kind", "scope_key", "episode_id", "turn", "fact_id", "role", "name", "text"))
FIELDS = tuple(column.name for column in OF_ENTRY)
WHOLE = select(*OF_ENTRY, entries.c.at, entries.c.sha256)
AT = WHOLE.where(entries.c.seq.in_(bindparam("seqs", expanding=True)))
IN_SCOPE = WHOLE.where(entries.c.scope_key == bindparam("scope_key"), entries.c.id.in_(bindparam("ids", expanding=True)))
SEQS_OF = select(entries.c.id, entries.c.seq).where(
    entries.c.scope_key == bindparam("scope_key"), entries.c.id.in_(bindparam("ids", expanding=True))
)
# Left to itself SQLite reads every row in the order that is asked for, vectors and all, at each search; hence the index by its name.
_FROM_INDEX = "SELECT seq FROM entries INDEXED BY entries_by_embedder WHERE embedder"
MISSING = text(
    f"SELECT seq FROM ({_FROM_INDEX} IS NULL UNION ALL {_FROM_INDEX} < :embedder UNION ALL {_FROM_INDEX} > :embedder)"
    " ORDER BY seq LIMIT :limit"
)
STORED_LENGTH = select(func.length(entries.c.vector)).where(entries.c.embedder == bindparam("embedder")).limit(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One searchable text. A turn has `episode_id`, `turn` and `role`; a fact has `fact_id`."""

    seq: int
    id: str
    kind: str
    scope_key: str
    episode_id: str | None
    turn: int | None
    fact_id: str | None
    role: Role | None
    name: str | None
    at: datetime
    text: str


def embedding_columns(vector: npt.ArrayLike | None, embedder_id: str | None) -> Columns:
    """The two columns that go together; raise `EmbeddingError` for a vector that nobody made."""
    if vector is None:
        return {"embedder": None, "vector": None}
    if not embedder_id:
        raise EmbeddingError("A vector without an embedder id can't be compared with any other; pass embedder_id.")
    return {"embedder": embedder_id, "vector": encode_vector(vector)}


def turn_vectors(conn: Connection, scope_key: str, episode_ids: Sequence[str], embedder_id: str) -> dict[str, Vectors | None]:
    """Return the vectors of the turns of a scope's episodes by the turn's entry id; None for one that this embedder has not embedded."""
    found: dict[str, Vectors | None] = {}
    for batch in batches(list(dict.fromkeys(episode_ids))):
        columns = (entries.c.id, entries.c.vector, entries.c.embedder)
        query = select(*columns).where(entries.c.scope_key == scope_key, entries.c.episode_id.in_(batch))
        for id, vector, embedder in conn.execute(query):
            found[id] = None if vector is None or embedder != embedder_id else decode_vector(vector)
    return found


def add_entries(conn: Connection, rows: Sequence[Columns]) -> None:
    """Insert prepared rows; for the modules of the ledger only. Raise `UsageError` for an id that is taken."""
    for embedder, vector in {(row["embedder"], len(vector)): vector for row in rows if isinstance(vector := row["vector"], bytes)}.items():
        _check_length(conn, embedder[0], vector)
    try:
        conn.execute(NEW_ENTRY, list(rows))
    except ConstraintError as error:
        if "entries.id" not in str(error.orig):
            raise
        ids = f"{rows[0]['id']!r}" if len(rows) == 1 else f"among {len(rows)} beginning with {rows[0]['id']!r}"
        raise UsageError(f"Entry id {ids} is taken: fact ids and episode ids followed by :position must differ.") from error


def _check_length(conn: Connection, embedder: object, vector: object) -> None:
    if not isinstance(vector, bytes):
        return
    stored = conn.execute(STORED_LENGTH, {"embedder": embedder}).scalar_one_or_none()
    if stored is not None and stored != len(vector):
        raise EmbeddingError(f"{embedder!r} gave a vector of {len(vector) // 4} numbers where it gave {stored // 4} before; name it anew.")


def count_vectors(conn: Connection, scope_keys: Sequence[str], embedder_id: str) -> int:
    """Count the vectors of these exact scopes."""
    query = select(func.count()).where(entries.c.embedder == embedder_id, entries.c.scope_key.in_(scope_keys))
    return int(conn.execute(query).scalar_one())


def large_scopes(conn: Connection, embedder_id: str, at_least: int) -> list[str]:
    """Return the keys of the scopes with so many vectors or more."""
    query = select(entries.c.scope_key).where(entries.c.embedder == embedder_id).group_by(entries.c.scope_key)
    return list(conn.execute(query.having(func.count() >= at_least)).scalars())


def get_entries(conn: Connection, scope_key: str, ids: Sequence[str]) -> dict[str, Entry]:
    """Return a scope's entries that exist, by id; raise `IntegrityError` when a text is not what was recorded."""
    found = (conn.execute(IN_SCOPE, {"scope_key": scope_key, "ids": batch}) for batch in batches(list(dict.fromkeys(ids))))
    return {entry.id: entry for rows in found for entry in _checked(rows)}


def entries_at(conn: Connection, seqs: Sequence[int]) -> dict[int, Entry]:
    """Return the entries that exist, by sequence number; raise `IntegrityError` when a text is not what was recorded."""
    return {entry.seq: entry for batch in batches(seqs) for entry in _checked(conn.execute(AT, {"seqs": batch}))}


def _checked(rows: Iterable[Any]) -> Iterator[Entry]:  # Any: rows of `WHOLE`, typed by their number of columns
    for row in rows:
        if hash_text(row.text) != row.sha256:
            raise IntegrityError(f"Entry {row.id!r} is not what was recorded; restore a backup, or forget it.")
        yield Entry(at=decode_time(row.at), **dict(zip(FIELDS, row, strict=False)))


def seqs_of(conn: Connection, scope_key: str, ids: Sequence[str]) -> dict[str, int]:
    """Return the sequence numbers of a scope's entries that exist, by id."""
    found: dict[str, int] = {}
    for batch in batches(ids):
        found.update((row[0], row[1]) for row in conn.execute(SEQS_OF, {"scope_key": scope_key, "ids": batch}))
    return found


def scope_vectors_after(
    conn: Connection, scope_key: str, embedder_id: str, seq: int, limit: int, *, up_to: int | None = None
) -> tuple[list[int], list[str], Vectors]:
    """Return seqs, ids and vectors [n, dim] of a scope's next entries after a watermark, in order; `up_to` is the last one to return.

    Entries that got their vector later keep their old seq: whoever projects past them is told of them another way.
    """
    query = select(entries.c.seq, entries.c.id, entries.c.vector).where(
        entries.c.embedder == embedder_id, entries.c.scope_key == scope_key, entries.c.seq > seq
    )
    if up_to is not None:
        query = query.where(entries.c.seq <= up_to)
    rows = conn.execute(query.order_by(entries.c.seq).limit(limit)).all()
    return [row[0] for row in rows], [row[1] for row in rows], decode_vectors([row[2] for row in rows], repr(embedder_id))


def vectors_of(conn: Connection, scope_key: str, ids: Sequence[str], embedder_id: str) -> tuple[list[str], Vectors]:
    """Return which of these entries of a scope this embedder has embedded, and their vectors [n, dim]."""
    found: list[str] = []
    blobs: list[bytes] = []
    for batch in batches(ids):
        query = select(entries.c.id, entries.c.vector).where(entries.c.scope_key == scope_key, entries.c.id.in_(batch))
        query = query.where(entries.c.embedder == embedder_id)
        for id, blob in conn.execute(query):
            found.append(id)
            blobs.append(blob)
    return found, decode_vectors(blobs, repr(embedder_id))


def missing_vectors(conn: Connection, embedder_id: str, limit: int) -> list[Entry]:
    """Return entries of any scope that this embedder has not embedded, oldest first; raise as `entries_at`."""
    found = entries_at(conn, conn.execute(MISSING, {"embedder": embedder_id, "limit": limit}).scalars().all())
    return [found[seq] for seq in sorted(found)]


def count_missing_vectors(conn: Connection, embedder_id: str) -> int:
    """Count all that `missing_vectors` could return."""
    return int(conn.execute(select(func.count()).select_from(entries).where(_not_embedded_by(embedder_id))).scalar_one())


def _not_embedded_by(embedder_id: str) -> ColumnElement[bool]:
    # Two ranges instead of <>: so SQLite reads an index, not every vector.
    return or_(entries.c.embedder.is_(None), entries.c.embedder < embedder_id, entries.c.embedder > embedder_id)


def set_vector(conn: Connection, seq: int, embedder_id: str, vector: npt.ArrayLike) -> None:
    """Replace an entry's vector; raise `UnknownRecordError` when the entry is gone."""
    columns = embedding_columns(vector, embedder_id)
    _check_length(conn, columns["embedder"], columns["vector"])
    if conn.execute(update(entries).where(entries.c.seq == seq).values(**columns)).rowcount == 0:
        raise UnknownRecordError(f"No entry of number {seq} in the ledger.")
