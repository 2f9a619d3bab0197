"""Making a brain of an archive: unpacked into a folder of its own, checked record by record, and only then put in its place.

`restored` is what both `Memory.restore` and an import begin with. Deliberately changes no brain that exists (`merging.py` does).
"""

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from seal_agent.adapters.artefact import weights_sha256
from seal_agent.adapters.switch import switch
from seal_agent.adapters.withdraw import clean_ancestor
from seal_agent.archive.container import Manifest, cannot_write, staging, sync_folder, unpack
from seal_agent.archive.rows import load
from seal_agent.archive.saving import SETTINGS
from seal_agent.errors import ArchiveError, IntegrityError, TargetExistsError
from seal_agent.ledger.adapters import list_adapters
from seal_agent.ledger.encoding import batches
from seal_agent.ledger.entries import entries_at
from seal_agent.ledger.episodes import list_episodes, scopes
from seal_agent.ledger.generations import retire_others
from seal_agent.ledger.ledger import DATABASE, Ledger
from seal_agent.types import Adapter

logger = logging.getLogger(__name__)

BRAIN = "brain"


@contextlib.contextmanager
def restored(archive: Path, beside: Path) -> Iterator[tuple[Path, Manifest]]:
    """Yield the folder of a brain made of the archive, verified whole and closed, and the manifest; the folder is gone afterwards.

    Raise `ArchiveError` for whatever is not as it should be.
    """
    with staging(beside) as stage:
        members, brain = stage / "members", stage / BRAIN
        for folder in (members, brain):
            folder.mkdir(mode=0o700)
        manifest = unpack(archive, members)
        _assemble(members, brain, manifest)
        try:
            check(brain)
        except IntegrityError as error:
            raise ArchiveError(f"{archive} is not whole: {error}") from error
        yield brain, manifest


def _assemble(members: Path, brain: Path, manifest: Manifest) -> None:
    tables, database = members / "tables", members / DATABASE
    if (manifest.kind == "export") != tables.is_dir() or (manifest.kind == "backup") != database.is_file():
        raise ArchiveError("The archive holds no ledger, or two of them; it is incomplete or forged.")
    if manifest.kind == "export":
        load(tables, manifest.schema, brain / DATABASE)
    else:
        database.rename(brain / DATABASE)
    for name in ("adapters", SETTINGS):
        if (members / name).exists():
            (members / name).rename(brain / name)


def check(brain: Path) -> None:
    """Verify a brain that was just assembled: the database, each record against its hash, each adapter against the ledger's."""
    with Ledger.open(brain) as ledger:
        with ledger.write() as connection:
            retire_others(connection, kept=None)  # no index comes with an archive
        with ledger.read() as connection:
            faults = [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check(3)") if row[0] != "ok"]
            dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
            if faults or dangling is not None:
                raise IntegrityError(f"its database is damaged: {'; '.join(faults) or tuple(dangling or ())}")
            for scope in scopes(connection):
                list_episodes(connection, scope)
            for batch in batches(list(connection.exec_driver_sql("SELECT seq FROM entries").scalars())):
                entries_at(connection, batch)
            adapters = list_adapters(connection, None)
        for adapter in adapters:
            folder = brain / adapter.path
            if adapter.path.is_absolute() or not folder.resolve().is_relative_to(brain.resolve()):
                raise IntegrityError(f"adapter {adapter.name!r} lies at {str(adapter.path)!r}, outside of the brain")
            if folder.is_dir() and weights_sha256(folder) != adapter.sha256:
                raise IntegrityError(f"the weights of adapter {adapter.name!r} are not those that the ledger recorded")
        with ledger.write() as connection:
            let_go_of_missing(connection, [adapter for adapter in adapters if adapter.live], brain)


def let_go_of_missing(connection: Connection, live: Sequence[Adapter], brain: Path) -> None:
    """Where a live adapter was gone when the archive was saved, answer with the newest before it that is there, else with the base."""

    def is_here(adapter: Adapter) -> bool:
        return (brain / adapter.path).is_dir()

    for adapter in live:
        if not is_here(adapter):
            target = clean_ancestor(connection, adapter.scope, is_here)
            logger.warning("adapter %s was live and is not in the archive: %s answers instead", adapter.name, target or "the base")
            switch(connection, adapter.scope, target, datetime.now(UTC), f"{adapter.name} was not in the archive")


def restore(archive: Path, folder: Path) -> Manifest:
    """Make a brain of an archive in `folder`, which must be absent or empty; it appears whole or not at all.

    Raise `ArchiveError`, `NewerSchemaError`, `StoreFullError`, `UsageError` where there is no such archive,
    or `TargetExistsError` when there is something in the folder.
    """
    folder = Path(folder).expanduser().absolute()
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise TargetExistsError(f"{folder} is not empty; restore into a new folder, or import the archive into the brain that is there.")
    with restored(Path(archive).expanduser(), folder.parent) as (brain, manifest):
        for left in (".lock", ".lock-owner"):
            (brain / left).unlink(missing_ok=True)
        try:
            brain.rename(folder)
            sync_folder(folder.parent)
        except OSError as error:
            raise cannot_write(folder, error) from error
    logger.info("restored %s from %s", folder, archive)
    return manifest
