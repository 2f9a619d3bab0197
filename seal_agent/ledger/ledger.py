"""The ledger: one SQLite database in the brain directory, owned by one process at a time.

`Ledger` holds the lock, the connections and the transactions, and gives SQLite's failures their names. It deliberately knows no record:
episodes, facts, cycles, adapters, entries and generations each have their module of functions over a connection.
"""

import contextlib
import errno
import json
import logging
import os
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import filelock
import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import QueuePool

from seal_agent.errors import IntegrityError, SealAgentError, StoreError, StoreFullError, StoreLockedError, UsageError
from seal_agent.ledger import cycles, leases
from seal_agent.ledger.migrations import migrate

logger = logging.getLogger(__name__)

DATABASE = "seal.db"
LOCK = ".lock"
LOCK_OWNER = ".lock-owner"
CLOSE_TIMEOUT = 30.0
"""Seconds that `close` waits for transactions of other threads."""

# Over quota and past a file-size limit, SQLite says "disk I/O error" instead of "disk is full": the write is what failed.
FULL = {"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE"}
FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
DAMAGED = ("SQLITE_CORRUPT", "SQLITE_IOERR_SHORT_READ", "SQLITE_IOERR_DATA")


class Ledger:
    """Open with `Ledger.open(folder)`; read and write through `read()` and `write()`; close when done.

    One instance may be used from many threads: writers take turns, readers see the state before or after a write, never between.

    >>> import tempfile
    >>> from seal_agent.ledger.episodes import count_episodes
    >>> with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder)) as ledger, ledger.read() as conn:
    ...     count_episodes(conn, None)
    0
    """

    def __init__(self, folder: Path, lock: filelock.BaseFileLock) -> None:
        """Private: `open` checks the folder, takes the lock and migrates first."""
        self.folder = folder
        self._lock = lock
        self._pid = os.getpid()
        self._writer = _engine(folder / DATABASE, "BEGIN IMMEDIATE")
        self._readers = _engine(folder / DATABASE, "BEGIN")
        self._write_turn = threading.Lock()
        self._state = threading.Condition()
        self._blocks: list[int] = []
        self._writing: int | None = None
        self._closed = False

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the brain in `folder`, creating it if absent. Cycles that a killed process left running are free to be taken up again.

        Raise `StoreLockedError` at once when another process has it open, `NewerSchemaError`, or `StoreError` with the way out.
        """
        folder = Path(folder)
        lock = _lock(folder)
        try:
            with _named_errors(folder):
                migrate(folder / DATABASE)
                _sign(folder)
            ledger = cls(folder, lock)
        except OSError as error:
            lock.release()
            raise name_of(folder, error) from error
        except BaseException:
            lock.release()
            raise
        try:
            ledger._fail_interrupted_cycles()
        except BaseException:
            ledger.close()
            raise
        return ledger

    def announce(self, url: str) -> None:
        """Tell whoever finds the folder in use where it is served."""
        _sign(self.folder, url)

    def _fail_interrupted_cycles(self) -> None:
        with self.write() as conn:
            leases.release_all(conn)  # whoever held one is gone, or was taken for gone: its token is worth nothing any more
            failed = cycles.fail_running(conn, datetime.now(UTC), "The process ended in the middle of this cycle; nothing was promoted.")
        if failed:
            logger.warning("cycles left running by a process that ended are now failed: %s", ", ".join(failed))

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection inside one transaction: all of it is on disk when the block ends, or none of it if it raises."""
        if self._writing == threading.get_ident():
            raise RuntimeError("write() inside write() would wait for itself: pass the connection down instead.")
        with self._block(), self._write_turn:
            self._writing = threading.get_ident()
            try:
                with _named_errors(self.folder), self._writer.connect() as conn, conn.begin():
                    yield conn
            finally:
                self._writing = None

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection that sees one unchanging state of the ledger and can't write."""
        with self._block(), _named_errors(self.folder), self._readers.connect() as conn, conn.begin():
            yield conn

    @contextlib.contextmanager
    def _block(self) -> Iterator[None]:
        if os.getpid() != self._pid:
            raise StoreError(f"The ledger of {self.folder} was opened before this process was forked; open it after the fork instead.")
        with self._state:
            if self._closed:
                raise StoreError(f"The ledger of {self.folder} is closed; open it again.")
            self._blocks.append(threading.get_ident())
        try:
            yield
        finally:
            with self._state:
                self._blocks.remove(threading.get_ident())
                self._state.notify_all()

    def close(self) -> None:
        """Wait for other threads' transactions, fold the write-ahead log into the database and let go of the folder. Idempotent."""
        if os.getpid() != self._pid:
            return  # the parent's connections and lock are the parent's to close
        with self._state:
            if self._closed:
                return
            self._closed = True
            others = self._state.wait_for(lambda: not any(b != threading.get_ident() for b in self._blocks), timeout=CLOSE_TIMEOUT)
        if not others:
            logger.warning("closing %s while other threads still use it: their transactions will fail or be undone", self.folder)
        try:
            self._readers.dispose()
            self._checkpoint()
            self._writer.dispose()
            with contextlib.suppress(OSError):
                (self.folder / LOCK_OWNER).unlink(missing_ok=True)
        finally:
            self._lock.release()

    def _checkpoint(self) -> bool:
        connection = self._writer.raw_connection()
        try:
            busy, *_ = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            # Nothing is lost: the log stays beside the database and is read at the next open.
            logger.warning("could not fold the write-ahead log of %s: %s", self.folder, error)
            return False
        finally:
            connection.close()
        return not busy

    def scrub(self) -> bool:
        """Make deleted text unreadable on disk: merge every lexical index, which keeps removed words, and empty the write-ahead log.

        Return False when another reader or program held the log longer than SQLite waits (30 s): then it still holds what was deleted.
        """
        with self.write() as conn:
            indexes = (
                conn.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%USING fts5%'").scalars().all()
            )
            for name in indexes:
                conn.exec_driver_sql(f"INSERT INTO {name}({name}) VALUES ('optimize')")
        return self._checkpoint()

    def vacuum(self) -> bool:
        """Write the database anew without its empty pages, for bytes that `scrub` left behind; return as `scrub` does."""
        with self._block(), self._write_turn, _named_errors(self.folder):
            connection = self._writer.raw_connection()
            try:
                connection.cursor().execute("VACUUM")
            finally:
                connection.close()
        return self._checkpoint()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def connect_beside(folder: Path) -> Iterator[Connection]:
    """Yield a connection inside one transaction without owning the brain: for a row that its owner reads anew each time.

    SQLite keeps the two processes apart. Nothing is created or migrated: raise `StoreError` when there is no database.
    """
    if not (folder / DATABASE).exists():
        raise StoreError(f"There is no brain in {folder}: run seal-agent init, or name another folder.")
    engine = _engine(folder / DATABASE, "BEGIN IMMEDIATE")
    try:
        with _named_errors(folder), engine.connect() as conn, conn.begin():
            yield conn
    finally:
        engine.dispose()


def _engine(path: Path, begin: str) -> Engine:
    """Build a pool whose transactions start with `begin`; a deferred one is for reading only, and SQLite holds it to that."""
    engine = sqlalchemy.create_engine(
        sqlalchemy.URL.create("sqlite", database=str(path)),
        poolclass=QueuePool,
        max_overflow=-1,  # as many readers as there are threads: none waits for another
        connect_args={"check_same_thread": False},
    )

    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late and is never IMMEDIATE
        for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")
        if begin == "BEGIN":
            connection.execute("PRAGMA query_only=ON")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", lambda conn: conn.exec_driver_sql(begin))
    return engine


def _lock(folder: Path) -> filelock.BaseFileLock:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not thread-local: the thread that closes need not be the one that opened.
        lock = filelock.FileLock(folder / LOCK, thread_local=False)
        lock.acquire(blocking=False)
    except filelock.Timeout as error:
        raise StoreLockedError(
            f"{folder} is in use by {_owner(folder)}; stop it, talk to it through its server, or name another folder."
        ) from error
    except FileExistsError as error:
        raise StoreError(f"{folder} is a file, not a folder; name a folder for the brain.") from error
    except (OSError, NotImplementedError) as error:
        raise StoreError(f"{folder} can't hold a brain ({error}); name a folder on a local disk that you may write to.") from error
    return lock


def _sign(folder: Path, url: str | None = None) -> None:
    """Say who has the folder: for the error that others get, and for nothing else; the lock itself is the operating system's."""
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    since = datetime.now(UTC).isoformat(timespec="seconds")
    said = {"pid": os.getpid(), "host": socket.gethostname(), "program": program, "since": since, "url": url}
    (folder / LOCK_OWNER).write_text(json.dumps(said), encoding="utf-8")


def _owner(folder: Path) -> str:
    try:
        said = json.loads((folder / LOCK_OWNER).read_text(encoding="utf-8"))
        elsewhere = f", on {said['host']}" if said["host"] != socket.gethostname() else ""
        served = f", which serves it at {said['url']}" if said["url"] else ""
        return f"process {int(said['pid'])} ({said['program']}, since {said['since']}{elsewhere}){served}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


@contextlib.contextmanager
def _named_errors(folder: Path) -> Iterator[None]:
    """Give SQLite's and the driver's errors the names of `errors.py`; anything else passes."""
    try:
        yield
    except sqlalchemy.exc.DBAPIError as error:
        raise name_of(folder, error.orig) from error
    except sqlite3.Error as error:
        raise name_of(folder, error) from error


def name_of(folder: Path, error: Any) -> SealAgentError:  # Any: SQLAlchemy types the driver's error as BaseException | None
    """Return the error of ours that says what an error of SQLite's means for the brain in `folder`."""
    code = getattr(error, "sqlite_errorname", "")
    if code in FULL or getattr(error, "errno", None) in FULL_ERRNOS:
        return StoreFullError(f"{folder} takes no more ({error}): the disk is full or a quota is reached. Make room and try again.")
    if code.startswith(DAMAGED):
        return IntegrityError(f"{folder / DATABASE} is damaged ({error}); restore a backup, or move the file away.")
    if code == "SQLITE_NOTADB":
        return StoreError(f"{folder / DATABASE} is not a database; name another folder, or move that file away.")
    if code.startswith("SQLITE_BUSY"):
        return StoreLockedError(f"{folder / DATABASE} is locked by another program ({error}); close it and try again.")
    if code.startswith("SQLITE_CONSTRAINT"):
        return UsageError(f"The ledger refuses this record: {error}.")
    return StoreError(f"{folder / DATABASE} can't be used ({error}); check that the folder exists, is writable and on a local disk.")
