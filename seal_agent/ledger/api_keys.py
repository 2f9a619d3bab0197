"""API keys in the ledger: whose memory a key opens, what it may do, until when. Only the hash of its secret is kept.

Functions over a connection, also one beside a running server (`beside.py`). Deliberately draws no secret and judges no request:
`api_keys.py` above does.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, insert, select, update

from seal_agent.errors import UnknownRecordError
from seal_agent.ledger.encoding import decode_optional_time, decode_time, encode_optional_time, encode_time, scope_columns, scope_of
from seal_agent.ledger.schema import api_keys
from seal_agent.types import ScopeId

KeyRole = Literal["reader", "agent", "operator"]
"""reader: search, context, facts. agent: also chat and add. operator: also consolidate, adapters, nights, forget and metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is known of a key; its secret is not."""

    id: str
    name: str
    scope: ScopeId
    role: KeyRole
    any_user: bool
    """Whether a request may name a user of the scope's agent and act in that user's memory."""
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    replaces: str | None = None
    """The key that this one was rotated from."""

    def is_valid(self, now: datetime) -> bool:
        """Neither revoked nor past its end."""
        return all(end is None or now < end for end in (self.expires_at, self.revoked_at))


def add_key(conn: Connection, key: ApiKey, sha256: str) -> None:
    """Store a key under the hash of its secret."""
    row = {
        "id": key.id,
        "name": key.name,
        **scope_columns(key.scope),
        "role": key.role,
        "any_user": key.any_user,
        "sha256": sha256,
        "created_at": encode_time(key.created_at),
        "expires_at": encode_optional_time(key.expires_at),
        "revoked_at": encode_optional_time(key.revoked_at),
        "replaces": key.replaces,
    }
    conn.execute(insert(api_keys), row)


def list_keys(conn: Connection) -> list[ApiKey]:
    """Return all keys, oldest first, the expired and revoked ones too."""
    return [_key(row) for row in conn.execute(select(api_keys).order_by(api_keys.c.seq))]


def get_key(conn: Connection, key_id: str) -> ApiKey:
    """Raise `UnknownRecordError` for an id that is no key."""
    found = find_key(conn, key_id)
    if found is None:
        raise UnknownRecordError(f"No API key has the id {key_id!r}; seal-agent keys list shows them.")
    return found[0]


def find_key(conn: Connection, key_id: str) -> tuple[ApiKey, str] | None:
    """Return a key and the hash of its secret; None for an id that is no key."""
    row = conn.execute(select(api_keys).where(api_keys.c.id == key_id)).first()
    return None if row is None else (_key(row), row.sha256)


def has_keys(conn: Connection) -> bool:
    """Was a key ever made? A brain whose last key was revoked does not become open by that."""
    return conn.execute(select(api_keys.c.id).limit(1)).first() is not None


def end_key(conn: Connection, key_id: str, at: datetime) -> None:
    """Make a key invalid from `at` on, unless it ends sooner. Raise `UnknownRecordError`."""
    key = get_key(conn, key_id)
    if key.revoked_at is None or at < key.revoked_at:
        conn.execute(update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=encode_time(at)))


def _key(row: Row[Any]) -> ApiKey:  # Any: the columns of one table
    return ApiKey(
        id=row.id,
        name=row.name,
        scope=scope_of(row),
        role=row.role,
        any_user=row.any_user,
        created_at=decode_time(row.created_at),
        expires_at=decode_optional_time(row.expires_at),
        revoked_at=decode_optional_time(row.revoked_at),
        replaces=row.replaces,
    )
