"""The ledger as a resource: one owner, nothing acknowledged is lost, every failure has a name."""

import contextlib
import multiprocessing
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from seal_agent.errors import IntegrityError, StoreError, StoreLockedError, UsageError
from seal_agent.ledger.cycles import list_cycles
from seal_agent.ledger.entries import count_vectors
from seal_agent.ledger.episodes import add_episode, count_episodes, get_episode
from seal_agent.ledger.facts import get_fact
from seal_agent.ledger.ledger import DATABASE, Ledger
from tests.ledger.processes import fill_the_disk, hold, open_with_a_full_disk, write_until_killed
from tests.ledger.records import ANA, EMBEDDER, episode
from tests.waiting import LONG

KILLS = 10
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.ledger.processes"])


@contextlib.contextmanager
def running(target: Callable[..., None], *args: Any) -> Iterator[tuple[BaseProcess, Pipe]]:  # Any: whatever the target takes
    """Run a function in another process; it is killed when the block ends."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=target, args=(*args, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield process, ours
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


def answer(pipe: Pipe) -> Any:  # Any: whatever the other process sends
    assert pipe.poll(LONG), "the other process did not answer"
    return pipe.recv()


def test_a_second_process_is_told_at_once_who_owns_the_folder_and_may_enter_once_it_is_killed(tmp_path: Path) -> None:
    with running(hold, tmp_path) as (owner, pipe):
        pid = answer(pipe)
        started = time.monotonic()
        with pytest.raises(StoreLockedError, match=rf"in use by process {pid} \(.*, since 20.*\); stop it, talk to it") as caught:
            Ledger.open(tmp_path)
        assert time.monotonic() - started < LONG / 2
        assert str(tmp_path) in str(caught.value)
        owner.kill()
        owner.join()
        with Ledger.open(tmp_path) as ledger, ledger.read() as conn:
            (cycle,) = list_cycles(conn, ANA)
            assert (cycle.state, get_fact(conn, "f1").state) == ("failed", "active")
            assert "nothing was promoted" in str(cycle.reason)


def test_a_second_opener_in_the_same_process_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        with pytest.raises(StoreLockedError, match=f"process {os.getpid()}"):
            Ledger.open(tmp_path)
        with ledger.write() as conn:
            add_episode(conn, episode("e1"), None, None)
    Ledger.open(tmp_path).close()


def test_whoever_finds_the_folder_in_use_is_told_where_it_is_served(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        ledger.announce("http://127.0.0.1:8000")
        with pytest.raises(StoreLockedError, match=r"which serves it at http://127\.0\.0\.1:8000; stop it"):
            Ledger.open(tmp_path)
        (tmp_path / ".lock-owner").write_text("scribble")
        with pytest.raises(StoreLockedError, match="in use by another process;"):
            Ledger.open(tmp_path)


def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    wait = random.Random(0)
    for round_ in range(KILLS):
        with running(write_until_killed, tmp_path, f"r{round_}") as (writer, pipe):
            acknowledged.add(answer(pipe))
            time.sleep(wait.uniform(0.0, 0.1))
            writer.kill()
            writer.join()
            with contextlib.suppress(EOFError):
                while True:
                    acknowledged.add(pipe.recv())
    with Ledger.open(tmp_path) as ledger, ledger.read() as conn:
        assert conn.execute(text("PRAGMA integrity_check")).scalars().all() == ["ok"]
        for id in acknowledged:
            assert get_episode(conn, ANA, id).turns[1].content == "second"
        # At most one more per round: written, but killed before it could say so. No episode is there in part.
        assert len(acknowledged) <= count_episodes(conn, ANA) <= len(acknowledged) + KILLS
        assert count_vectors(conn, [ANA.key], EMBEDDER) == 2 * count_episodes(conn, ANA)


def test_a_full_disk_is_named_loses_nothing_and_passes_when_room_is_made(tmp_path: Path) -> None:
    with running(fill_the_disk, tmp_path) as (_, pipe):
        acknowledged, errors, kept_while_full = answer(pipe)
    assert [name for name, _ in errors] == ["StoreFullError"] * 3
    assert all("Make room" in message for _, message in errors)
    assert kept_while_full == len(acknowledged) > 1
    with Ledger.open(tmp_path) as ledger, ledger.read() as conn:
        assert conn.execute(text("PRAGMA integrity_check")).scalars().all() == ["ok"]
        assert {id for (id,) in conn.execute(text("SELECT id FROM episodes"))} == {*acknowledged, "last"}


def test_opening_on_a_full_disk_is_named_and_works_once_there_is_room(tmp_path: Path) -> None:
    with running(open_with_a_full_disk, tmp_path / "brain") as (_, pipe):
        assert answer(pipe) == "StoreFullError"
    Ledger.open(tmp_path / "brain").close()


def test_a_write_that_raises_leaves_no_trace(ledger: Ledger) -> None:
    def add_and_fail() -> None:
        with ledger.write() as conn:
            add_episode(conn, episode("e1"), None, None)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_fail()
    with ledger.read() as conn:
        assert count_episodes(conn, None) == 0


def test_an_error_of_the_callers_own_keeps_its_type(ledger: Ledger) -> None:
    with pytest.raises(FileNotFoundError), ledger.write():
        raise FileNotFoundError("a file of the caller's")


def test_a_broken_constraint_is_the_callers_mistake(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="refuses this record"), ledger.write() as conn:
        conn.execute(text("INSERT INTO live VALUES ('default', 'no such adapter', '2026-01-01T00:00:00.000000+00:00')"))


def test_reading_can_not_write(ledger: Ledger) -> None:
    with pytest.raises(StoreError, match="readonly"), ledger.read() as conn:
        add_episode(conn, episode("e1"), None, None)


def test_writing_inside_writing_is_a_bug_and_says_so_instead_of_hanging(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError, match="pass the connection down"), ledger.write(), ledger.write():
        pass
    with ledger.write() as conn:
        add_episode(conn, episode("e1"), None, None)


def test_every_connection_is_as_safe_as_the_first(ledger: Ledger) -> None:
    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "busy_timeout": 30000}
    with ledger.read() as first, ledger.read() as second, ledger.write() as third:
        for conn in (first, second, third):
            assert {name: conn.execute(text(f"PRAGMA {name}")).scalar_one() for name in expected} == expected


def test_many_threads_may_read_and_write_at_once(ledger: Ledger) -> None:
    def work(n: int) -> int:
        with ledger.write() as conn:
            add_episode(conn, episode(f"e{n}"), None, None)
        with ledger.read() as conn:
            return count_episodes(conn, ANA)

    with ThreadPoolExecutor(16) as pool:
        counts = list(pool.map(work, range(64)))
    assert max(counts) == 64


def test_closing_twice_is_fine_and_use_after_is_refused(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    ledger.close()
    ledger.close()
    for use in (ledger.read, ledger.write):
        with pytest.raises(StoreError, match="closed; open it again"), use():
            pass


def test_a_write_begins_by_keeping_others_out_so_what_it_read_still_holds_when_it_writes(ledger: Ledger) -> None:
    other = sqlite3.connect(ledger.folder / DATABASE, timeout=0)
    with contextlib.closing(other), ledger.write(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")


@pytest.mark.parametrize("kind", ["read", "write"])
def test_closing_waits_for_the_transaction_of_another_thread(tmp_path: Path, kind: str) -> None:
    ledger = Ledger.open(tmp_path)
    inside, finished = threading.Event(), threading.Event()

    def work() -> None:
        with ledger.read() if kind == "read" else ledger.write() as conn:
            inside.set()
            time.sleep(0.2)
            count_episodes(conn, None)
            finished.set()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        assert inside.wait(LONG)
        ledger.close()
        assert finished.is_set()
        future.result(LONG)


def test_a_closed_folder_holds_one_file_with_everything_in_it(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger, ledger.write() as conn:
        add_episode(conn, episode("e1"), None, None)
    assert {path.name for path in tmp_path.iterdir()} <= {DATABASE, ".lock"}
    with contextlib.closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        assert connection.execute("SELECT id FROM episodes").fetchall() == [("e1",)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_may_neither_use_nor_close_its_parents_ledger(ledger: Ledger) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = "used it"
        try:
            ledger.close()
            with ledger.read():
                pass
        except StoreError as error:
            said = str(error)
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert "before this process was forked" in pipe.read()
    with pytest.raises(StoreLockedError):
        Ledger.open(ledger.folder)
    with ledger.write() as conn:
        add_episode(conn, episode("e1"), None, None)


def test_a_path_that_is_a_file_or_lies_below_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="is a file, not a folder"):
        Ledger.open(tmp_path / "notes.txt")
    with pytest.raises(StoreError, match="can't hold a brain"):
        Ledger.open(tmp_path / "notes.txt" / "brain")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_loop_of_links_or_a_folder_named_like_the_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(StoreError):
        Ledger.open(tmp_path / "loop")
    (tmp_path / "brain" / DATABASE).mkdir(parents=True)
    with pytest.raises(StoreError, match="can't be used"):
        Ledger.open(tmp_path / "brain")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="may write to"):
        Ledger.open(tmp_path)


def test_a_new_brain_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "brain") as ledger:
        assert ledger.folder.stat().st_mode & 0o077 == 0


def test_a_damaged_database_is_named_and_the_folder_let_go(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger, ledger.write() as conn:
        for n in range(50):
            add_episode(conn, episode(f"e{n}", "x" * 3000), None, None)
    database = tmp_path / DATABASE
    whole = database.read_bytes()
    database.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(IntegrityError, match="damaged"):
        Ledger.open(tmp_path)
    database.write_bytes(whole)
    with Ledger.open(tmp_path) as ledger, ledger.read() as conn:
        assert count_episodes(conn, None) == 50


def test_damage_met_while_reading_is_named(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger, ledger.write() as conn:
        for n in range(50):
            add_episode(conn, episode(f"e{n}", "x" * 3000), None, None)
        page = conn.execute(text("SELECT rootpage FROM sqlite_master WHERE name = 'entries'")).scalar_one()
    database = tmp_path / DATABASE
    whole = bytearray(database.read_bytes())
    whole[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    database.write_bytes(whole)
    with Ledger.open(tmp_path) as ledger, pytest.raises(IntegrityError, match="restore a backup"), ledger.read() as conn:
        get_episode(conn, ANA, "e1")
