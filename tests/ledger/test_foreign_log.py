"""A write-ahead log that is not this database's: told apart where it can be, before SQLite touches anything."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from seal_agent.errors import StoreError
from seal_agent.ledger.episodes import add_episode, count_episodes
from seal_agent.ledger.ledger import DATABASE, Ledger
from tests.ledger.records import ANA, episode

LOG, SHARED = f"{DATABASE}-wal", f"{DATABASE}-shm"


def logged(folder: Path, *statements: str) -> tuple[Path, Path]:
    """The log and its index as another application leaves them when it is killed."""
    path = folder / "theirs.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in ("PRAGMA journal_mode=WAL", "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)", *statements):
            connection.execute(statement)
        copies = folder / "copied-wal", folder / "copied-shm"
        for copy, suffix in zip(copies, ("-wal", "-shm"), strict=True):
            shutil.copy(f"{path}{suffix}", copy)
    return copies


@pytest.fixture
def brain(tmp_path: Path) -> Path:
    folder = tmp_path / "brain"
    with Ledger.open(folder) as ledger, ledger.write() as conn:
        add_episode(conn, episode("e1"), None, None)
    return folder


@pytest.mark.parametrize("first", [(), ("PRAGMA application_id=7",)], ids=["without a mark", "with its own mark"])
def test_another_application_s_log_is_refused_and_nothing_is_touched(brain: Path, tmp_path: Path, first: tuple[str, ...]) -> None:
    log, _ = logged(tmp_path, *first)
    shutil.copy(log, brain / LOG)
    before = (brain / DATABASE).read_bytes()
    with pytest.raises(StoreError, match=r"seal\.db-wal is the log of another database.*Move it"):
        Ledger.open(brain)
    assert (brain / DATABASE).read_bytes() == before
    assert (brain / LOG).read_bytes() == log.read_bytes()
    (brain / LOG).unlink()
    assert counted(brain) == 1


def test_a_log_of_another_page_size_is_refused(brain: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as connection:
        connection.execute("PRAGMA page_size=1024")
        connection.execute("CREATE TABLE first (a)")
    log, _ = logged(tmp_path)
    shutil.copy(log, brain / LOG)
    with pytest.raises(StoreError, match="another database"):
        Ledger.open(brain)


def test_a_foreign_index_of_a_log_does_no_harm(brain: Path, tmp_path: Path) -> None:
    _, shared = logged(tmp_path)
    shutil.copy(shared, brain / SHARED)
    assert counted(brain) == 1


@pytest.mark.parametrize("content", [b"", b"Dear diary", b"\0" * 5000])
def test_what_is_no_log_is_ignored(brain: Path, content: bytes) -> None:
    (brain / LOG).write_bytes(content)
    assert counted(brain) == 1


def test_our_own_log_is_replayed(brain: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with Ledger.open(brain) as ledger:
        with ledger.write() as conn:
            add_episode(conn, episode("e2"), None, None)
            conn.exec_driver_sql("CREATE TABLE another_page_one (a)")
        copy.mkdir()
        for name in (DATABASE, LOG):
            shutil.copy(brain / name, copy / name)
    assert counted(copy) == 2


def counted(folder: Path) -> int:
    with Ledger.open(folder) as ledger, ledger.read() as conn:
        return count_episodes(conn, ANA)
