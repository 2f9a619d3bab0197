"""Items: what a host's own code keeps under a namespace and a key, with vectors to search them by.

They are the application's notes: never a fact, never in a prompt by themselves, never trained on. Deliberately knows no host: namespaces
are tuples of labels, values JSON text, and which of a value's texts are embedded is decided by the caller.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, true, tuple_, update

from seal_agent.errors import EmbeddingError
from seal_agent.ledger.encoding import (
    BATCH,
    Columns,
    Vectors,
    batches,
    check_text,
    decode_time,
    decode_vectors,
    encode_optional_time,
    encode_time,
    encode_vector,
    scope_columns,
)
from seal_agent.ledger.schema import item_vectors, items
from seal_agent.types import ScopeId

Namespace = tuple[str, ...]
Address = tuple[Namespace, str]
"""Where an item is: its namespace and its key."""

END = "."
"""Ends each label of a stored namespace; labels hold none, so a prefix of labels is a prefix of the text."""
AFTER_END = chr(ord(END) + 1)
ADDRESSES = BATCH // 2
"""Addresses in one IN list: each binds two parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredItem:
    """One item as it lies in the ledger."""

    seq: int
    namespace: Namespace
    key: str
    value: str
    """JSON."""
    texts: str
    """JSON list of the paths that are to be embedded; `[]` for none."""
    created_at: datetime
    updated_at: datetime
    ttl: timedelta | None
    """How long the item lives after it was last written, or read with a refresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """An item to be written; `vectors` by path, all of one embedder."""

    namespace: Namespace
    key: str
    value: str
    texts: str
    ttl: timedelta | None
    vectors: dict[str, Vectors]


def encode_namespace(namespace: Namespace) -> str:
    """Raise `UsageError` for a label that no database holds faithfully; that labels hold no dot is the caller's to check."""
    return "".join(check_text("The namespace", label) + END for label in namespace)


def decode_namespace(text: str) -> Namespace:
    return tuple(text.split(END)[:-1])


def put_items(conn: Connection, scope: ScopeId, new: Sequence[NewItem], embedder_id: str, now: datetime) -> None:
    """Write items, replacing those of the same address; their time of creation stays."""
    for item in new:
        where = {"namespace": encode_namespace(item.namespace), "key": check_text("The key", item.key)}
        values: Columns = {
            "value": item.value,
            "texts": item.texts,
            "updated_at": encode_time(now),
            "ttl_seconds": None if item.ttl is None else item.ttl.total_seconds(),
            "expires_at": encode_optional_time(None if item.ttl is None else now + item.ttl),
        }
        found = conn.execute(select(items.c.seq).where(*_at(scope, where["namespace"], where["key"]))).scalar()
        if found is None:
            row = scope_columns(scope) | where | values | {"created_at": encode_time(now)}
            seq = conn.execute(insert(items).values(**row).returning(items.c.seq)).scalar_one()
        else:
            seq = found
            conn.execute(update(items).where(items.c.seq == seq).values(**values))
            conn.execute(delete(item_vectors).where(item_vectors.c.item == seq))
        set_item_vectors(conn, seq, item.vectors, embedder_id)


def set_item_vectors(conn: Connection, seq: int, vectors: dict[str, Vectors], embedder_id: str) -> None:
    """Add the vectors of an item, by path; those of another embedder go."""
    conn.execute(delete(item_vectors).where(item_vectors.c.item == seq))
    rows = [{"item": seq, "path": path, "embedder": embedder_id, "vector": encode_vector(vector)} for path, vector in vectors.items()]
    if rows:
        conn.execute(insert(item_vectors), rows)


def _at(scope: ScopeId, namespace: str, key: str) -> tuple[ColumnElement[bool], ...]:
    return items.c.scope_key == scope.key, items.c.namespace == namespace, items.c.key == key


def get_items(conn: Connection, scope: ScopeId, addresses: Sequence[Address], alive_at: datetime | None) -> dict[Address, StoredItem]:
    """Return the items that exist; with `alive_at`, only those that have not expired by then."""
    wanted = list(dict.fromkeys((encode_namespace(namespace), check_text("The key", key)) for namespace, key in addresses))
    found: dict[Address, StoredItem] = {}
    for start in range(0, len(wanted), ADDRESSES):
        here = tuple_(items.c.namespace, items.c.key).in_(wanted[start : start + ADDRESSES])
        for row in conn.execute(select(items).where(items.c.scope_key == scope.key, here, _alive(alive_at))):
            item = _stored(row)
            found[item.namespace, item.key] = item
    return found


def delete_items(conn: Connection, scope: ScopeId, addresses: Sequence[Address]) -> None:
    """Delete items and their vectors; those that do not exist are ignored."""
    for namespace, key in addresses:
        conn.execute(delete(items).where(*_at(scope, encode_namespace(namespace), check_text("The key", key))))


def find_items(
    conn: Connection, scope: ScopeId, prefix: Namespace, alive_at: datetime | None, page: tuple[int, int] | None = None
) -> Iterator[StoredItem]:
    """Yield the items under a prefix of labels, last written first; `page` is (offset, limit)."""
    query = select(items).where(*_under(scope, prefix), _alive(alive_at)).order_by(items.c.updated_at.desc(), items.c.seq.desc())
    if page is not None:
        query = query.offset(page[0]).limit(page[1])
    for row in conn.execute(query):
        yield _stored(row)


def get_by_seq(conn: Connection, seqs: Sequence[int]) -> dict[int, StoredItem]:
    """Return items by their number."""
    found = {}
    for start in range(0, len(seqs), BATCH):
        for row in conn.execute(select(items).where(items.c.seq.in_(seqs[start : start + BATCH]))):
            found[row.seq] = _stored(row)
    return found


def scan_items(
    conn: Connection, scope: ScopeId, prefix: Namespace, alive_at: datetime | None, embedder_id: str
) -> tuple[list[int], Vectors]:
    """Return item numbers (one per vector, so an item may occur several times) and vectors [n, dim] under a prefix."""
    joined = item_vectors.join(items, item_vectors.c.item == items.c.seq)
    query = select(item_vectors.c.item, item_vectors.c.vector).select_from(joined)
    query = query.where(*_under(scope, prefix), _alive(alive_at), item_vectors.c.embedder == embedder_id)
    rows = conn.execute(query.order_by(items.c.updated_at.desc(), items.c.seq.desc(), item_vectors.c.path)).all()
    return [row[0] for row in rows], decode_vectors([row[1] for row in rows], repr(embedder_id))


def without_vectors(conn: Connection, scope: ScopeId, prefix: Namespace, embedder_id: str, limit: int) -> list[StoredItem]:
    """Return items under a prefix that are to be embedded and have no vector of this embedder, oldest first."""
    embedded = select(item_vectors.c.item).where(item_vectors.c.item == items.c.seq, item_vectors.c.embedder == embedder_id)
    query = select(items).where(*_under(scope, prefix), items.c.texts != "[]", ~embedded.exists())
    return [_stored(row) for row in conn.execute(query.order_by(items.c.seq).limit(limit))]


def namespaces(conn: Connection, scope: ScopeId, alive_at: datetime | None) -> list[Namespace]:
    """Return every namespace that holds an item, in order of their labels."""
    query = select(items.c.namespace).where(items.c.scope_key == scope.key, _alive(alive_at)).distinct()
    return sorted(decode_namespace(text) for text in conn.execute(query).scalars())


def refresh_items(conn: Connection, refreshed: Sequence[StoredItem], now: datetime) -> None:
    """Let items with a time to live live that long from now on."""
    for item in refreshed:
        if item.ttl is not None:
            conn.execute(update(items).where(items.c.seq == item.seq).values(expires_at=encode_time(now + item.ttl)))


def sweep_items(conn: Connection, scope: ScopeId, now: datetime) -> int:
    """Delete what has expired; return how many items that were."""
    return conn.execute(delete(items).where(items.c.scope_key == scope.key, items.c.expires_at <= encode_time(now))).rowcount


def erase_items(conn: Connection, scope_keys: Sequence[str]) -> int:
    """Delete every item of these exact scopes; return how many that were."""
    return sum(conn.execute(delete(items).where(items.c.scope_key.in_(batch))).rowcount for batch in batches(scope_keys))


def check_dimension(conn: Connection, embedder_id: str, dim: int) -> None:
    """Raise `EmbeddingError` when this embedder's stored vectors have another length."""
    stored = conn.execute(
        select(func.length(item_vectors.c.vector)).where(item_vectors.c.embedder == embedder_id).limit(1)
    ).scalar_one_or_none()
    if stored is not None and stored != 4 * dim:
        raise EmbeddingError(f"{embedder_id!r} gave a vector of {dim} numbers where it gave {stored // 4} before; name it anew.")


def _under(scope: ScopeId, prefix: Namespace) -> tuple[ColumnElement[bool], ...]:
    mine = items.c.scope_key == scope.key
    if not prefix:
        return (mine,)
    start = encode_namespace(prefix)
    return mine, items.c.namespace >= start, items.c.namespace < start[: -len(END)] + AFTER_END


def _alive(at: datetime | None) -> ColumnElement[bool]:
    return true() if at is None else (items.c.expires_at.is_(None) | (items.c.expires_at > encode_time(at)))


def _stored(row: Row[tuple[object, ...]]) -> StoredItem:
    return StoredItem(
        seq=row.seq,
        namespace=decode_namespace(row.namespace),
        key=row.key,
        value=row.value,
        texts=row.texts,
        created_at=decode_time(row.created_at),
        updated_at=decode_time(row.updated_at),
        ttl=None if row.ttl_seconds is None else timedelta(seconds=row.ttl_seconds),
    )
