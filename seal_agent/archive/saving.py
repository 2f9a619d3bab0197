"""Saving a brain while it is in use: an export, as rows that any later seal-agent reads, or a backup, the database as it is.

Both hold one unchanging state of the ledger and the adapters that it names, as far as their files are whole: what could not be restored
is not saved. Deliberately no index: it is made anew.
"""

import contextlib
import errno
import logging
import re
import sqlite3
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from seal_agent.adapters.artefact import weights_sha256
from seal_agent.archive.container import Kind, Manifest, cannot_write, record, staging, write_archive
from seal_agent.archive.rows import dump
from seal_agent.errors import IntegrityError, StoreFullError
from seal_agent.ledger.adapters import list_adapters
from seal_agent.ledger.ledger import DATABASE, Ledger, name_of
from seal_agent.ledger.migrations import back_up
from seal_agent.ledger.steps import MIGRATIONS
from seal_agent.types import Adapter

logger = logging.getLogger(__name__)

SETTINGS = "seal.toml"
UPSTREAM_KEY = "upstream_key"
KEY_LINE = re.compile(rf"^[ \t]*(?:server[ \t]*\.[ \t]*)?{UPSTREAM_KEY}[ \t]*=.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveReport:
    """What was saved."""

    path: Path
    kind: Kind
    bytes: int
    counts: Mapping[str, int]
    """Rows per table, and adapters' folders."""
    left_out: tuple[str, ...]
    """Adapters that the ledger names and whose files are gone, or damaged. Where one was live, the archive's brain answers without it."""


def save(ledger: Ledger, target: Path, kind: Kind, *, at: datetime, version: str) -> ArchiveReport:
    """Write an archive of the whole brain to `target`, which must not exist. Adding and searching go on meanwhile.

    Raise `StoreError`, `StoreFullError`, or `IntegrityError` for something in an adapter's folder that is no file.
    """
    target = Path(target).expanduser()
    with _staged(ledger, target) as stage:
        files, counts, adapters = _collect_rows(ledger, stage) if kind == "export" else _collect_database(ledger, stage)
        gone = _collect_adapters(ledger.folder, adapters, files)
        settings = ledger.folder / SETTINGS
        if settings.is_file():
            files |= {SETTINGS: settings} if kind == "backup" else _settings_without_key(settings, stage)
        manifest = Manifest(
            kind=kind,
            schema=len(MIGRATIONS),
            seal_agent=version,
            created_at=at.isoformat(),
            counts=counts | {"adapter_folders": len(adapters) - len(gone)},
            members={name: record(file) for name, file in files.items()},
        )
        size = write_archive(target, manifest, files)
    logger.info("saved %s as %s, %d bytes", ledger.folder, target, size)
    return ArchiveReport(path=target, kind=kind, bytes=size, counts=manifest.counts, left_out=gone)


@contextlib.contextmanager
def _staged(ledger: Ledger, target: Path) -> Iterator[Path]:
    """A private folder beside the target; what fails in it is told as what it is: mostly a full disk, there or in the brain."""
    try:
        with staging(target.absolute().parent) as stage:
            yield stage
    except OSError as error:
        raise cannot_write(target, error) from error
    except sqlite3.Error as error:
        named = name_of(ledger.folder, error)
        raise (cannot_write(target, OSError(errno.ENOSPC, str(error))) if isinstance(named, StoreFullError) else named) from error


Collected = tuple[dict[str, Path], dict[str, int], list[Adapter]]
"""Files by their name in the archive, rows per table, and the adapters that those rows name."""


def _collect_rows(ledger: Ledger, stage: Path) -> Collected:
    with ledger.read() as connection:
        counts = dump(connection, stage)
        adapters = list_adapters(connection, None)
    return {f"tables/{name}.jsonl": stage / f"{name}.jsonl" for name in counts}, counts, adapters


def _collect_database(ledger: Ledger, stage: Path) -> Collected:
    copy = stage / DATABASE
    with contextlib.closing(sqlite3.connect(f"file:{ledger.folder / DATABASE}?mode=ro", uri=True)) as connection:
        back_up(connection, copy)
    with contextlib.closing(sqlite3.connect(f"file:{copy}?mode=ro", uri=True)) as copied:
        names = {name for (name,) in copied.execute("SELECT name FROM adapters")}  # a night may have added one meanwhile
    with ledger.read() as connection:
        counts = _count(connection)
        adapters = [adapter for adapter in list_adapters(connection, None) if adapter.name in names]
    return {DATABASE: copy}, counts, adapters


def _count(connection: Connection) -> dict[str, int]:
    return {
        name: int(connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one())
        for name in ("episodes", "facts", "tombstones", "adapters")
    }


def _settings_without_key(settings: Path, stage: Path) -> dict[str, Path]:
    """The settings for an export, which holds no keys: without the upstream's. Where that can't be cut out, without the whole file."""
    text = settings.read_text(encoding="utf-8")
    if UPSTREAM_KEY not in text:
        return {SETTINGS: settings}
    kept = stage / SETTINGS
    kept.write_text(KEY_LINE.sub(f"# {UPSTREAM_KEY} is not exported", text), encoding="utf-8")
    try:
        is_out = UPSTREAM_KEY not in tomllib.loads(kept.read_text(encoding="utf-8")).get("server", {})
    except tomllib.TOMLDecodeError:
        is_out = False
    if not is_out:
        logger.warning("%s is not exported: server.%s could not be cut out of it", settings, UPSTREAM_KEY)
    return {SETTINGS: kept} if is_out else {}


def _collect_adapters(root: Path, adapters: Sequence[Adapter], files: dict[str, Path]) -> tuple[str, ...]:
    """Add the files of these adapters; return the names of those that are left out, being gone or damaged."""
    left_out: list[str] = []
    for adapter in adapters:
        folder = root / adapter.path
        if not folder.is_dir():
            left_out.append(adapter.name)
            continue
        found = sorted(folder.iterdir())
        for file in found:
            if file.is_symlink() or not file.is_file():
                raise IntegrityError(f"{file} is no plain file, which no adapter holds; remove it and save again.")
        if not _has_its_weights(folder, adapter):
            left_out.append(adapter.name)
            continue
        files |= {f"adapters/{folder.name}/{file.name}": file for file in found}
    return tuple(left_out)


def _has_its_weights(folder: Path, adapter: Adapter) -> bool:
    """Whether the weights are those that the ledger recorded: with others, the archive could not be restored."""
    try:
        whole = weights_sha256(folder) == adapter.sha256
    except (IntegrityError, OSError) as error:
        logger.warning("the files of adapter %s are not saved: %s", adapter.name, error)
        return False
    if not whole:
        logger.warning("the files of adapter %s are not saved: its weights are not those that the ledger recorded", adapter.name)
    return whole
