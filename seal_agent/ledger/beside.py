"""The way into a ledger for a process that does not own the brain: for rows that their owner reads anew each time it needs them.

API keys and the pauses and records of nights are such rows, so they are managed while a server runs. SQLite keeps two processes apart.
Deliberately for nothing that anybody keeps in memory: episodes, facts and live pointers belong to the owner alone.
"""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection

from seal_agent.errors import NewerSchemaError, StoreError, StoreLockedError
from seal_agent.ledger.ledger import DATABASE, Ledger, connect_beside
from seal_agent.ledger.steps import MIGRATIONS


class Rows(Protocol):
    """Where rows lie: an open ledger, or one that another process owns."""

    def read(self) -> AbstractContextManager[Connection]: ...

    def write(self) -> AbstractContextManager[Connection]: ...


class Beside:
    """The rows of a brain that another process has open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> AbstractContextManager[Connection]:
        return beside(self._folder)

    def write(self) -> AbstractContextManager[Connection]:
        return beside(self._folder)


@contextlib.contextmanager
def rows_of_folder(folder: Path) -> Iterator[Rows]:
    """Yield the rows of the brain in `folder`, whether it is free or another process has it open; raise what `Ledger.open` raises."""
    try:
        ledger = Ledger.open(folder)
    except StoreLockedError:
        yield Beside(folder)
        return
    with ledger:
        yield ledger


@contextlib.contextmanager
def beside(folder: Path) -> Iterator[Connection]:
    """Yield a connection to the ledger of a brain that another process owns, in one transaction.

    Raise `StoreError` when the database is not of this schema.
    """
    with connect_beside(folder) as conn:
        version = int(conn.exec_driver_sql("PRAGMA user_version").scalar_one())
        if version > len(MIGRATIONS):
            raise NewerSchemaError(f"{folder / DATABASE} has schema {version}, this seal-agent knows up to {len(MIGRATIONS)}: upgrade it.")
        if version < len(MIGRATIONS):
            raise StoreError(f"{folder} is open in an older seal-agent, whose tables are others: restart that process first.")
        yield conn
