"""Saving a brain while it is in use: an export, as rows that any later seal-agent reads, or a backup, the database as it is.

Both hold one unchanging state of the ledger and the adapters that it names. Deliberately no index: it is made anew.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from seal_agent.archive.container import Kind, Manifest, record, staging, write_archive
from seal_agent.archive.rows import dump
from seal_agent.errors import IntegrityError
from seal_agent.ledger.adapters import list_adapters
from seal_agent.ledger.ledger import DATABASE, Ledger
from seal_agent.ledger.migrations import back_up
from seal_agent.ledger.steps import MIGRATIONS

logger = logging.getLogger(__name__)

SETTINGS = "seal.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveReport:
    """What was saved."""

    path: Path
    kind: Kind
    bytes: int
    counts: Mapping[str, int]
    """Rows per table, and adapters' folders."""
    left_out: tuple[str, ...]
    """Adapters that the ledger names and whose folders are gone."""


def save(ledger: Ledger, target: Path, kind: Kind, *, at: datetime, version: str) -> ArchiveReport:
    """Write an archive of the whole brain to `target`, which must not exist. Adding and searching go on meanwhile.

    Raise `StoreError`, `StoreFullError`, or `IntegrityError` for an adapter's file that can't be read.
    """
    target = Path(target).expanduser()
    with staging(target.absolute().parent) as stage:
        files, counts = _collect_rows(ledger, stage) if kind == "export" else _collect_database(ledger, stage)
        folders, gone = _collect_adapters(ledger, files)
        settings = ledger.folder / SETTINGS
        if settings.is_file():
            files[SETTINGS] = settings
        manifest = Manifest(
            kind=kind,
            schema=len(MIGRATIONS),
            seal_agent=version,
            created_at=at.isoformat(),
            counts=counts | {"adapter_folders": folders},
            members={name: record(file) for name, file in files.items()},
        )
        size = write_archive(target, manifest, files)
    logger.info("saved %s as %s, %d bytes", ledger.folder, target, size)
    return ArchiveReport(path=target, kind=kind, bytes=size, counts=manifest.counts, left_out=gone)


def _collect_rows(ledger: Ledger, stage: Path) -> tuple[dict[str, Path], dict[str, int]]:
    with ledger.read() as connection:
        counts = dump(connection, stage)
    return {f"tables/{name}.jsonl": stage / f"{name}.jsonl" for name in counts}, counts


def _collect_database(ledger: Ledger, stage: Path) -> tuple[dict[str, Path], dict[str, int]]:
    copy = stage / DATABASE
    with contextlib.closing(sqlite3.connect(f"file:{ledger.folder / DATABASE}?mode=ro", uri=True)) as connection:
        back_up(connection, copy)
    with ledger.read() as connection:
        counts = _count(connection)
    return {DATABASE: copy}, counts


def _count(connection: Connection) -> dict[str, int]:
    return {
        name: int(connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one())
        for name in ("episodes", "facts", "tombstones", "adapters")
    }


def _collect_adapters(ledger: Ledger, files: dict[str, Path]) -> tuple[int, tuple[str, ...]]:
    """Add the files of each adapter that the ledger names; return how many, and which have no folder any more."""
    with ledger.read() as connection:
        adapters = list_adapters(connection, None)
    gone: list[str] = []
    for adapter in adapters:
        folder = ledger.folder / adapter.path
        if not folder.is_dir():
            gone.append(adapter.name)
            continue
        for file in sorted(folder.iterdir()):
            if file.is_symlink() or not file.is_file():
                raise IntegrityError(f"{file} is no plain file, which no adapter holds; remove it and save again.")
            files[f"adapters/{folder.name}/{file.name}"] = file
    return len(adapters) - len(gone), tuple(gone)
