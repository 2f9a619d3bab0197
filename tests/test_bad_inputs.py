"""What nobody should pass: each gets a typed error (or a documented answer), and nothing is written.

The calls of the Python interface, the command line's ways in, and a ledger file that is damaged or foreign. What a damaged vector
index, a full disk and a hostile archive do is proved where they live, in `tests/retrieval` and `tests/ledger`.
"""

import asyncio
import math
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seal_agent.cli import main
from seal_agent.errors import (
    IntegrityError,
    InvalidScopeError,
    InvalidTurnError,
    NewerSchemaError,
    SealAgentError,
    StoreError,
    StoreLockedError,
    UsageError,
)
from seal_agent.ledger.steps import MIGRATIONS
from seal_agent.memory import Memory
from seal_agent.protocols import Vectors
from seal_agent.scope import Scope
from seal_agent.testing import HashEmbedder
from tests.brains import BrokenEmbedder, open_brain

Given = Any  # what a caller passes although the types forbid it
LONG = "x" * 20_000_000
ADDS: dict[str, tuple[Given, dict[str, Given]]] = {
    "nothing": ("", {}),
    "none": (None, {}),
    "bytes": (b"hello", {}),
    "20 MB": (LONG, {}),
    "a lone surrogate": ("\ud800", {}),
    "NULs": ("\x00" * 10_291, {}),
    "right-to-left marks, zero widths, a byte order mark": ("\u202e\u200b\ufeff", {}),
    "nested metadata": ("hi", {"metadata": {"a": {"b": 1}}}),
    "metadata of nothing": ("hi", {"metadata": {"a": None}}),
    "metadata that is no number": ("hi", {"metadata": {"a": math.nan}}),
    "metadata of 2**63": ("hi", {"metadata": {"a": 2**63}}),
    "a reserved metadata key": ("hi", {"metadata": {"role": "system"}}),
    "a metadata key of another store": ("hi", {"metadata": {"chroma:document": "x"}}),
    "an id of a megabyte": ("hi", {"id": "i" * 1_000_000}),
    "an empty id": ("hi", {"id": ""}),
    "a time without a zone": ("hi", {"at": datetime(2026, 1, 1)}),
    "an unknown role": ([{"role": "root", "content": "hi"}], {}),
    "an empty list": ([], {}),
}


def rows(memory: Memory) -> dict[str, int]:
    """Rows per table."""
    with memory._parts.ledger.read() as connection:
        names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
        return {name: connection.exec_driver_sql(f'SELECT count(*) FROM "{name}"').scalar_one() for name in names}


@pytest.fixture
def memory(tmp_path: Path) -> Any:  # Any: a generator of Memory
    with open_brain(tmp_path / "brain") as opened:
        yield opened


@pytest.fixture
def ana(memory: Memory) -> Scope:
    scope = memory.scope(user="ana")
    scope.add("I live in Porto.", id="e1")
    return scope


def refused(memory: Memory, error: type[SealAgentError], call: Callable[[], object]) -> None:
    """The call raises exactly such an error, and no table has another number of rows afterwards."""
    before = rows(memory)
    with pytest.raises(error) as caught:
        call()
    assert len(str(caught.value)) < 1_000, "the message repeats the input"
    assert rows(memory) == before


@pytest.mark.parametrize("given", ADDS.values(), ids=ADDS.keys())
def test_what_can_t_be_recorded_is_refused(memory: Memory, ana: Scope, given: tuple[Given, dict[str, Given]]) -> None:
    refused(memory, InvalidTurnError, lambda: ana.add(given[0], **given[1]))


def test_one_bad_interaction_refuses_the_batch(memory: Memory, ana: Scope) -> None:
    refused(memory, InvalidTurnError, lambda: ana.add_many(["fine", "", "fine"]))


def test_an_id_that_is_taken_by_another_text_is_refused(memory: Memory, ana: Scope) -> None:
    refused(memory, InvalidTurnError, lambda: ana.add("I live in Lisbon.", id="e1"))


@pytest.mark.parametrize("text", ["", "\x00", "\ud800", "\u200b", LONG], ids=["empty", "NUL", "surrogate", "unseen", "20 MB"])
def test_what_can_t_be_remembered_is_refused(memory: Memory, ana: Scope, text: str) -> None:
    refused(memory, UsageError, lambda: ana.remember(text))


@pytest.mark.parametrize("k", [0, -1, 10**9])
def test_a_number_of_hits_that_makes_no_sense_is_refused(memory: Memory, ana: Scope, k: int) -> None:
    refused(memory, UsageError, lambda: ana.search("Porto", k=k))


@pytest.mark.parametrize("query", ["", "\ud800", LONG], ids=["empty", "surrogate", "20 MB"])
def test_a_query_that_makes_no_sense_is_refused(memory: Memory, ana: Scope, query: str) -> None:
    refused(memory, UsageError, lambda: ana.search(query))


def deep(levels: int) -> dict[str, Given]:
    where: dict[str, Given] = {"source": "agent"}
    for _ in range(levels):
        where = {"$and": [where]}
    return where


@pytest.mark.parametrize(
    "where",
    [{"tenant": {"$ne": "me"}}, {"source": {"$ne": "x"}}, deep(10_000), {"tenant": "default"}, {"scope_key": "default/default/ben"}],
    ids=["operator on the tenant", "operator", "10,000 deep", "the tenant", "the scope"],
)
def test_a_filter_can_t_reach_beyond_the_scope(memory: Memory, ana: Scope, where: dict[str, Given]) -> None:
    memory.scope(user="ben").add("Ben lives in Oslo.")
    before = rows(memory)
    try:
        hits = ana.search("lives", where=where)
    except UsageError:
        hits = []
    assert [hit for hit in hits if hit.scope != ana.id] == []
    assert rows(memory) == before


@pytest.mark.parametrize("tenant", ["", None, "../x", "a\x00b", "ａ", "x" * 300, "a/b", "..", "a\nb", 7])
def test_an_id_that_can_t_be_a_scope_is_refused(memory: Memory, tenant: Given) -> None:
    refused(memory, InvalidScopeError, lambda: memory.scope(tenant=tenant))


def test_ids_that_differ_in_case_are_two_and_names_of_devices_are_names(memory: Memory) -> None:
    for tenant in ("a", "A", "CON"):
        memory.scope(tenant=tenant, user="u").add(f"This is {tenant}.")
    assert [hit.text for hit in memory.scope(tenant="A", user="u").search("This is")] == ["This is A."]


class Answering(HashEmbedder):
    """Gives whatever it was made with."""

    def __init__(self, answer: Callable[[int], Given]) -> None:
        super().__init__(8)
        self._answer = answer

    def embed(self, texts: Given) -> Vectors:
        return self._answer(len(texts))  # type: ignore[no-any-return]  # that is the point


BAD_VECTORS: dict[str, Callable[[int], Given]] = {
    "NaN": lambda n: np.full((n, 8), np.nan, dtype=np.float32),
    "infinite": lambda n: np.full((n, 8), np.inf, dtype=np.float32),
    "too few": lambda n: np.ones((0, 8), dtype=np.float32),
}


@pytest.mark.parametrize("answer", BAD_VECTORS.values(), ids=BAD_VECTORS.keys())
def test_an_embedder_that_answers_nonsense_costs_the_vectors_not_the_words(tmp_path: Path, answer: Callable[[int], Given]) -> None:
    with open_brain(tmp_path, embedder=Answering(answer)) as memory:
        memory.scope(user="ana").add("I live in Porto.")
        assert (memory.stats().episodes, memory.stats().not_embedded) == (1, 1)


def test_an_embedder_that_fails_costs_the_vectors_not_the_words(tmp_path: Path) -> None:
    with open_brain(tmp_path, embedder=BrokenEmbedder()) as memory:
        ana = memory.scope(user="ana")
        ana.add("I live in Porto.")
        assert [hit.text for hit in ana.search("Porto")] == ["I live in Porto."]


def test_a_closed_brain_says_so(tmp_path: Path) -> None:
    memory = open_brain(tmp_path)
    ana = memory.scope(user="ana")
    memory.close()
    for call in (lambda: ana.add("hi"), lambda: ana.search("hi"), lambda: memory.scope(user="x"), memory.stats):
        with pytest.raises(StoreError, match="closed"):
            call()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_is_told_to_open_its_own(memory: Memory, ana: Scope) -> None:
    child = os.fork()
    if child == 0:
        try:
            ana.add("from the child")
        except StoreError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert memory.stats().episodes == 1


def test_thirty_two_threads_may_add_at_once(memory: Memory) -> None:
    threads = [threading.Thread(target=memory.scope(user=f"u{n}").add, args=(f"I am {n}.",)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory.stats().episodes == 32


def test_it_works_inside_a_running_event_loop(ana: Scope) -> None:
    async def inside() -> str:
        return ana.search("Porto")[0].text

    assert asyncio.run(inside()) == "I live in Porto."


def test_a_clock_that_goes_back_a_year_loses_nothing(tmp_path: Path) -> None:
    times = iter([datetime(2026, 11, 2, tzinfo=UTC)] + [datetime(2025, 11, 2, tzinfo=UTC) + timedelta(minutes=n) for n in range(99)])
    with open_brain(tmp_path, clock=lambda: next(times)) as memory:
        ana = memory.scope(user="ana")
        ana.add("I live in Porto.")
        ana.add("I've moved, I live in Lisbon now.")
        assert len(ana.search("live")) == 2
        assert ana.consolidate(dry_run=True).episodes == 2


@pytest.mark.parametrize("texts", [[], ["I live in Porto."] * 20, ["😀😀😀", "🎉"], ["ok"]], ids=["none", "identical", "emoji", "trivial"])
def test_a_night_with_next_to_nothing_ends_without_an_error(memory: Memory, texts: list[str]) -> None:
    ana = memory.scope(user="ana")
    for text in texts:
        ana.add(text)
    assert ana.consolidate().state in ("skipped", "promoted", "rejected")
    assert len({fact.quote for fact in ana.facts()}) == len(ana.facts()) <= 1


def test_rolling_back_without_a_predecessor_is_refused(memory: Memory, ana: Scope) -> None:
    refused(memory, UsageError, lambda: ana.adapters.rollback())


COMMANDS: dict[str, tuple[str, ...]] = {
    "an unknown command": ("remembr", "x"),
    "an unknown option": ("add", "x", "--usr", "ana"),
    "a tenant that climbs": ("add", "x", "--tenant", "../../etc"),
    "a file that is not there": ("add", "--file", "nowhere.jsonl"),
    "both a text and a file": ("add", "x", "--file", "nowhere.jsonl"),
    "no brain": ("search", "x"),
}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_that_makes_no_sense_ends_with_2_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert main([*arguments, "--brain", str(tmp_path / "brain")]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert not (tmp_path / "brain" / "seal.db").exists()


LINES: dict[str, bytes] = {
    "cut off": b'{"turns": [{"role": "user", "content": "hi"}',
    "one bad line": b'{"turns": [{"role": "user", "content": "hi"}]}\n' * 500 + b"nonsense\n",
    "not UTF-8": b'{"turns": [{"role": "user", "content": "\xff"}]}',
    "too deep": b"[" * 100_000,
    "empty": b"",
    "no object": b"[]",
}


@pytest.mark.parametrize("content", LINES.values(), ids=LINES.keys())
def test_a_bad_file_of_conversations_records_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    (tmp_path / "talk.jsonl").write_bytes(content)
    assert main(["add", "--file", str(tmp_path / "talk.jsonl"), "--brain", str(tmp_path / "brain")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "brain" / "seal.db").exists()


def a_file(folder: Path) -> None:
    folder.write_text("not a folder")


def a_loop(folder: Path) -> None:
    folder.symlink_to(folder)


def a_foreign_database(folder: Path) -> None:
    folder.mkdir()
    with sqlite3.connect(folder / "seal.db") as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()


def no_database(folder: Path) -> None:
    folder.mkdir()
    (folder / "seal.db").write_bytes(b"hello, I am a text file" * 100)


@pytest.mark.parametrize("make", [a_file, a_loop, a_foreign_database, no_database])
def test_a_place_that_is_no_brain_is_refused_and_left_as_it_is(tmp_path: Path, make: Callable[[Path], None]) -> None:
    folder = tmp_path / "brain"
    make(folder)
    kept = (folder / "seal.db").read_bytes() if folder.is_dir() else None
    with pytest.raises(StoreError):
        open_brain(folder)
    assert kept is None or (folder / "seal.db").read_bytes() == kept


def filled(folder: Path) -> Path:
    with open_brain(folder) as memory:
        memory.scope(user="ana").add_many([f"I told you {n} times." for n in range(200)])
    return folder / "seal.db"


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def first_page_gone(file: Path) -> None:
    file.write_bytes(b"\x00" * 4096 + file.read_bytes()[4096:])


def newer(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    connection.close()


def another_text(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE entries SET text = 'I never said this.' WHERE turn = 0")
    connection.close()


def read_all(folder: Path) -> None:
    with open_brain(folder) as memory:
        memory.scope(user="ana").search("times", k=50)
        memory.scope(user="ana").consolidate(dry_run=True)


@pytest.mark.parametrize(
    ("damage", "error"),
    [(cut_off, (IntegrityError, StoreError)), (first_page_gone, StoreError), (newer, NewerSchemaError), (another_text, IntegrityError)],
)
def test_a_damaged_ledger_is_named_as_such(tmp_path: Path, damage: Callable[[Path], None], error: Given) -> None:
    damage(filled(tmp_path / "brain"))
    with pytest.raises(error):
        read_all(tmp_path / "brain")


def test_a_write_ahead_log_of_another_database_is_noticed(tmp_path: Path) -> None:
    file = filled(tmp_path / "one")
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("CREATE TABLE entries (text TEXT)")
    other.commit()
    shutil.copy(tmp_path / "other.db-wal", file.with_name("seal.db-wal"))
    other.close()
    with pytest.raises(StoreError):
        open_brain(tmp_path / "one")


def test_the_lock_file_of_a_dead_process_is_in_nobody_s_way(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / ".lock").touch()
    (tmp_path / ".lock-owner").write_text("999999\n")
    with open_brain(tmp_path) as memory:
        assert memory.stats().episodes == 200


def test_a_brain_that_is_open_is_refused_at_once(memory: Memory) -> None:
    with pytest.raises(StoreLockedError, match="in use"):
        open_brain(memory.folder)


@pytest.mark.slow
def test_a_backup_that_is_older_than_its_adapters_still_opens(tmp_path: Path) -> None:
    file = filled(tmp_path / "brain")
    older = file.read_bytes()
    with open_brain(tmp_path / "brain") as memory:
        memory.scope(user="ana").remember("I live in Porto.")
        memory.scope(user="ana").consolidate()
    file.write_bytes(older)
    with open_brain(tmp_path / "brain") as memory:
        ana = memory.scope(user="ana")
        assert (ana.adapters.list(), ana.facts()) == ([], [])
        assert ana.ask("Where do I live?").trace.adapter is None
