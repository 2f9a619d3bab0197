"""The file: created, recognised, migrated with a copy, and left alone when it is not ours."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from seal_agent.errors import IntegrityError, NewerSchemaError, StoreError
from seal_agent.ledger.episodes import add_episode, add_episodes
from seal_agent.ledger.ledger import DATABASE, Ledger
from seal_agent.ledger.migrations import APPLICATION_ID, BACKUP_PATTERN, migrate
from seal_agent.ledger.postings import seqs_with
from seal_agent.ledger.purge import facts_resting_on
from seal_agent.ledger.schema import metadata
from seal_agent.ledger.steps import IDS_PER_SCOPE, MIGRATIONS
from tests.ledger.records import ANA, BEN, NOW, episode

NEXT: Sequence[str] = ("ALTER TABLE episodes ADD COLUMN mood TEXT", "UPDATE episodes SET mood = 'calm'")


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A database of the schema before NEXT, with one episode."""
    with Ledger.open(tmp_path) as ledger, ledger.write() as conn:
        add_episode(conn, episode("e1"), None, None)
    return tmp_path / DATABASE


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_the_tables_in_code_are_the_tables_on_disk(older: Path) -> None:
    for table in metadata.sorted_tables:
        on_disk = [name for _, name, *_ in rows(older, f"PRAGMA table_info({table.name})")]
        assert on_disk == [column.name for column in table.columns], table.name
    named = {name for (name,) in rows(older, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {name for name in named if not str(name).startswith(("sqlite_", "entries_fts"))} == set(metadata.tables)


def test_a_new_database_carries_our_mark_and_version(older: Path) -> None:
    assert rows(older, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert rows(older, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert list(older.parent.glob(BACKUP_PATTERN)) == []


def test_an_older_database_is_copied_and_then_migrated(older: Path) -> None:
    migrate(older, (*MIGRATIONS, NEXT))
    assert rows(older, "SELECT id, mood FROM episodes") == [("e1", "calm")]
    assert rows(older, "PRAGMA user_version") == [(len(MIGRATIONS) + 1,)]
    (copy,) = older.parent.glob(BACKUP_PATTERN)
    assert copy.name == f"seal.db.v{len(MIGRATIONS)}.backup"
    assert rows(copy, "PRAGMA integrity_check") == [("ok",)]
    assert rows(copy, "SELECT id FROM episodes") == [("e1",)]
    assert "mood" not in [name for _, name, *_ in rows(copy, "PRAGMA table_info(episodes)")]


def test_the_copy_is_a_ledger_that_opens(older: Path, tmp_path: Path) -> None:
    migrate(older, (*MIGRATIONS, NEXT))
    restored = tmp_path / "restored"
    restored.mkdir()
    (copy,) = older.parent.glob(BACKUP_PATTERN)
    copy.rename(restored / DATABASE)
    with Ledger.open(restored) as ledger, ledger.read() as conn:
        assert conn.exec_driver_sql("SELECT id FROM episodes").scalar_one() == "e1"


def test_a_migration_that_fails_half_way_changes_nothing(older: Path) -> None:
    before = rows(older, "SELECT sql FROM sqlite_master")
    with pytest.raises(sqlite3.OperationalError):
        migrate(older, (*MIGRATIONS, NEXT, ("ALTER TABLE episodes ADD COLUMN more TEXT", "no such statement")))
    assert rows(older, "PRAGMA user_version") == [(len(MIGRATIONS) + 1,)]
    assert "more" not in [name for _, name, *_ in rows(older, "PRAGMA table_info(episodes)")]
    assert rows(older, "SELECT sql FROM sqlite_master") != before
    with pytest.raises(IntegrityError, match="dangling"):
        migrate(older, (*MIGRATIONS, NEXT, ("PRAGMA defer_foreign_keys=ON", "INSERT INTO fact_sources VALUES ('x', 'y', 'z', 0, 0)")))
    assert rows(older, "SELECT count(*) FROM fact_sources") == [(0,)]


def test_episodes_of_a_former_schema_keep_their_numbers_and_their_ids_become_their_scope_s_own(tmp_path: Path) -> None:
    path, of_the_scope = tmp_path / DATABASE, ", ".join(repr(part) for part in ("default", "support", "ana", ANA.key))
    former = MIGRATIONS.index(IDS_PER_SCOPE)
    migrate(path, MIGRATIONS[:former])
    at, sha = NOW.isoformat(timespec="microseconds"), "0" * 64
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        for seq in (5, 9):
            old.execute(f"INSERT INTO episodes VALUES ({seq}, 'e{seq}', {of_the_scope}, NULL, '{at}', 'agent', NULL, '{sha}', NULL, NULL)")
            old.execute(
                "INSERT INTO entries (seq, id, kind, scope_key, episode_id, turn, role, at, text, sha256)"
                f" VALUES ({seq}, 'e{seq}:0', 'turn', '{ANA.key}', 'e{seq}', 0, 'user', '{at}', 'tofu', '{sha}')"
            )
        old.execute(
            f"INSERT INTO facts VALUES (1, 'f1', {of_the_scope}, 'event', 't', 't', 'active', '{at}', NULL, NULL, NULL, NULL, '{at}', 0)"
        )
        old.execute("INSERT INTO fact_sources VALUES ('f1', 'e5', 0, 0)")
        old.execute("DELETE FROM episodes WHERE id = 'e9'")
        old.execute("DELETE FROM entries WHERE id = 'e9:0'")
    with Ledger.open(tmp_path) as ledger, ledger.write() as conn:
        assert facts_resting_on(conn, ANA, ["e5"]) == ["f1"]
        assert seqs_with(conn, "tofu", ANA.key).tolist() == [5]
        add_episodes(conn, [(episode("e5", scope=BEN), None), (episode("new"), None)], None)
        # A watermark may stand at 9 already.
        assert conn.exec_driver_sql("SELECT min(seq) FROM entries WHERE scope_key <> ? OR id = 'new:0'", (ANA.key,)).scalar_one() == 10
        assert conn.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        conn.exec_driver_sql("DELETE FROM facts")
        conn.exec_driver_sql("DELETE FROM episodes WHERE id = 'e5' AND scope_key = ?", (BEN.key,))
        assert seqs_with(conn, "vegetarian", BEN.key).tolist() == []
        assert seqs_with(conn, "tofu", ANA.key).tolist() == [5]


def test_a_newer_database_is_refused_untouched(older: Path) -> None:
    migrate(older, (*MIGRATIONS, NEXT))
    before = older.read_bytes()
    with pytest.raises(NewerSchemaError, match="pip install --upgrade"):
        Ledger.open(older.parent)
    assert older.read_bytes() == before


def test_a_database_of_another_application_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / DATABASE
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE accounts (id)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another application"):
        Ledger.open(tmp_path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / DATABASE
    path.write_text("Dear diary, " * 1000)
    with pytest.raises(StoreError, match="not a database"):
        Ledger.open(tmp_path)
    assert path.read_text() == "Dear diary, " * 1000


def test_an_empty_file_becomes_a_ledger(tmp_path: Path) -> None:
    (tmp_path / DATABASE).touch()
    Ledger.open(tmp_path).close()
    assert rows(tmp_path / DATABASE, "PRAGMA application_id") == [(APPLICATION_ID,)]
