"""The database file: how it is created, recognised and brought up to date, one transaction per step, a copy kept before the first.

The steps themselves are in `steps.py`; `schema.py` describes the result. Deliberately speaks SQLite only, on the driver's own connection:
pragmas and the backup interface have no portable form. Rows are never read or written here.
"""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from seal_agent.errors import IntegrityError, NewerSchemaError, StoreError
from seal_agent.ledger.foreign_log import refuse_foreign_log
from seal_agent.ledger.steps import MIGRATIONS

logger = logging.getLogger(__name__)

APPLICATION_ID = 0x5EA1A6E7
"""Written into the file's header, a signed number of 32 bits: our databases are told from others by it."""

BACKUP_PATTERN = "seal.db.v*.backup"
"""Copies kept by migrations, in the brain directory. They hold personal data: whoever forgets must remove them too."""


def migrate(path: Path, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Create the database or bring it up to date; raise `NewerSchemaError`, or `StoreError` for a file that is not ours.

    `sqlite3.Error` passes through: `ledger.py` names it.
    """
    refuse_foreign_log(path, APPLICATION_ID)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA busy_timeout=30000")
        version = _recognise(connection, path, newest=len(migrations))
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise StoreError(f"{path.parent} lies on a file system that can't hold a write-ahead log ({mode!r}); use a local disk.")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")
        if version == 0:  # nothing to lose on the way: one transaction, one wait for the disk
            _apply(connection, [*chain.from_iterable(migrations)], len(migrations))
            return
        if version < len(migrations):
            back_up(connection, path.with_name(f"{path.name}.v{version}.backup"))
        for step in range(version, len(migrations)):
            _apply(connection, migrations[step], step + 1)


def _recognise(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    is_new = application == 0 and version == 0 and tables == 0
    if application != APPLICATION_ID and not is_new:
        raise StoreError(f"{path} is a database of another application; name another folder, or move that file away.")
    if version > newest:
        raise NewerSchemaError(
            f"{path} has schema {version}, this seal-agent knows up to {newest}: pip install --upgrade seal-agent, or open a backup."
        )
    return version


def _apply(connection: sqlite3.Connection, statements: Sequence[str], version: int) -> None:
    # Off while tables are rebuilt, as SQLite's own recipe for ALTER TABLE asks; the check below stands in for it.
    connection.execute("PRAGMA foreign_keys=OFF")
    with _transaction(connection):
        for statement in statements:
            connection.execute(statement)
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()
        if broken:
            raise IntegrityError(
                f"Migration to schema {version} left {len(broken)} dangling rows, first {broken[0]!r}; nothing was changed."
            )
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={version}")
    logger.info("ledger schema is now %d", version)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def back_up(connection: sqlite3.Connection, to: Path) -> None:
    """Copy the whole database to `to`, which appears complete and on disk or not at all."""
    part = to.with_name(f"{to.name}.part")
    part.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(part)) as copy:
        connection.backup(copy)
    with part.open("rb+") as written:
        os.fsync(written.fileno())
    part.replace(to)
    logger.info("kept a copy of the ledger at %s before migrating it", to)
