"""API keys: who may speak to this brain over a network, as whom, and until when.

A key is `seal-<id>-<secret>`: the id (6 bytes) finds its row, the secret (32 random bytes) is kept as a SHA-256 only. A random secret of
that length needs no slow hash: there is nothing to guess. Comparison takes the same time whatever was sent. Deliberately knows no HTTP.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

from sqlalchemy import Connection

from seal_agent.errors import UsageError
from seal_agent.ledger import api_keys as rows
from seal_agent.ledger.api_keys import ApiKey, KeyRole
from seal_agent.ledger.beside import Rows, rows_of_folder
from seal_agent.turns import check_label
from seal_agent.types import ScopeId

__all__ = ["ApiKey", "ApiKeys", "KeyRole", "keys_of_folder"]

PREFIX = "seal"
ID_BYTES = 6
SECRET_BYTES = 32
TOKEN = re.compile(rf"{PREFIX}-([0-9a-f]{{{2 * ID_BYTES}}})-([A-Za-z0-9_-]{{43}})")
LONGEST_NAME = 128
NO_KEY_SHA256 = hashlib.sha256(b"the hash that no secret of 32 random bytes has").hexdigest()
"""Compared with when the id is unknown, so that a wrong id takes as long as a wrong secret."""


class ApiKeys:
    """Made by `Memory.keys`. Safe to use from several threads.

    >>> import tempfile
    >>> from seal_agent.ledger.beside import Rows, rows_of_folder
    >>> with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder)) as ledger:
    ...     keys = ApiKeys(ledger)
    ...     key, token = keys.create(ScopeId(user="ana"))
    ...     (keys.authenticate(token) == key, keys.authenticate(token + "x"))
    (True, None)
    """

    __slots__ = ("_clock", "_rows")

    def __init__(self, rows: Rows, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._rows = rows
        self._clock = clock

    def create(
        self,
        scope: ScopeId,
        *,
        role: KeyRole = "agent",
        any_user: bool = False,
        name: str = "",
        lifetime: timedelta | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key for a scope and return it with its token, which can't be had again; `lifetime=None` never expires.

        With `any_user` a request may name a user of the scope's agent: for a backend that serves many. Raise `UsageError`.
        """
        if role not in get_args(KeyRole):
            raise UsageError(f"role={role!r} is no role of a key; say one of {', '.join(get_args(KeyRole))}.")
        if any_user and (scope.user is not None or scope.agent is None):
            raise UsageError(f"any_user is for a key of an agent, not of {scope.key!r}: leave the user out and name an agent.")
        if lifetime is not None and lifetime <= timedelta(0):
            raise UsageError(f"lifetime={lifetime} is over before it begins: give a positive time, or None for no end.")
        check_label("name", name or None, LONGEST_NAME)
        now = self._clock()
        key = ApiKey(
            id=secrets.token_hex(ID_BYTES),
            name=name,
            scope=scope,
            role=role,
            any_user=any_user,
            created_at=now,
            expires_at=None if lifetime is None else now + lifetime,
        )
        with self._rows.write() as connection:
            return key, _stored(connection, key)

    def list(self) -> list[ApiKey]:
        """Return all keys, oldest first, the expired and revoked ones too."""
        with self._rows.read() as connection:
            return rows.list_keys(connection)

    def exist(self) -> bool:
        """Was a key ever made? From then on nobody gets in without one, also when all are revoked."""
        with self._rows.read() as connection:
            return rows.has_keys(connection)

    def revoke(self, key_id: str) -> ApiKey:
        """Make a key invalid at once. Idempotent; raise `UnknownRecordError`."""
        with self._rows.write() as connection:
            rows.end_key(connection, key_id, self._clock())
            return rows.get_key(connection, key_id)

    def rotate(self, key_id: str, *, grace: timedelta = timedelta(0)) -> tuple[ApiKey, str]:
        """Make a key like this one, with the same lifetime, and end the old one after `grace`; return the new one with its token.

        Raise `UnknownRecordError`, or `UsageError` for a key that is revoked or expired already.
        """
        if grace < timedelta(0):
            raise UsageError(f"grace={grace} is negative: give the time for which the old key still works, 0 for none.")
        now = self._clock()
        with self._rows.write() as connection:
            old = rows.get_key(connection, key_id)
            if not old.is_valid(now):
                raise UsageError(f"Key {key_id!r} is revoked or expired; make a new one with keys create.")
            lifetime = None if old.expires_at is None else old.expires_at - old.created_at
            key = replace(
                old,
                id=secrets.token_hex(ID_BYTES),
                created_at=now,
                expires_at=None if lifetime is None else now + lifetime,
                revoked_at=None,
                replaces=old.id,
            )
            token = _stored(connection, key)
            rows.end_key(connection, key_id, now + grace)
        return key, token

    def authenticate(self, token: str) -> ApiKey | None:
        """Return the key that a token belongs to; None for one that is wrong, revoked or expired, whichever it is."""
        parts = TOKEN.fullmatch(token)
        with self._rows.read() as connection:
            found = rows.find_key(connection, parts[1] if parts else "")
        is_right = hmac.compare_digest(_sha256(parts[2] if parts else ""), found[1] if found else NO_KEY_SHA256)
        if found is None or not is_right or not found[0].is_valid(self._clock()):
            return None
        return found[0]


def _stored(connection: Connection, key: ApiKey) -> str:
    secret = secrets.token_urlsafe(SECRET_BYTES)
    rows.add_key(connection, key, _sha256(secret))
    return f"{PREFIX}-{key.id}-{secret}"


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@contextmanager
def keys_of_folder(folder: Path) -> Iterator[ApiKeys]:
    """Yield the keys of the brain in `folder`, also while a server has it open; the server heeds a change at the next request."""
    with rows_of_folder(folder) as ledger:
        yield ApiKeys(ledger)
