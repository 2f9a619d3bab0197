"""The doctor: what is wrong with this machine or this brain, each finding with its way out.

Looks only: downloads nothing, loads no model, repairs nothing. The vector index is opened in a child process, as before every use. A
finding that fails carries the exit code of the error that it would become.
"""

import os
import platform
import shutil
import stat
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from seal_agent.brain_folder import SETTINGS_FILE, read_settings
from seal_agent.config import GateSettings
from seal_agent.errors import IntegrityError, ModelNotFoundError, SettingsError, StoreError, UsageError, VectorIndexError
from seal_agent.ledger.adapters import list_adapters
from seal_agent.ledger.entries import count_missing_vectors
from seal_agent.ledger.steps import MIGRATIONS
from seal_agent.parts import Parts
from seal_agent.retrieval.building import probe_current
from seal_agent.retrieval.probe import probe
from seal_agent.retrieval.search import Searcher

LEAST_FREE = 2 * 10**9
"""Bytes: weights, adapters and the index of a small model, with room to publish the next."""
PACKAGES = ("torch", "transformers", "peft", "chromadb", "sqlalchemy")
MOUNTS = Path("/proc/self/mountinfo")
NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs", "fuse.s3fs"})
LAX_RATIO = 2.0
LAX_DROP = 0.5
LAX_KL = 5.0
OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was checked."""

    name: str
    level: Literal["ok", "warning", "problem"]
    text: str
    way_out: str = ""
    exit_code: int = 0
    """What a command that meets this problem would end with."""

    @property
    def ok(self) -> bool:
        return self.level != "problem"


def fine(name: str, text: str) -> Finding:
    return Finding(name=name, level="ok", text=text)


def warning(name: str, text: str, way_out: str) -> Finding:
    return Finding(name=name, level="warning", text=text, way_out=way_out)


def problem(name: str, text: str, way_out: str, exit_code: int) -> Finding:
    return Finding(name=name, level="problem", text=text, way_out=way_out, exit_code=exit_code)


def examine_machine(folder: Path) -> list[Finding]:
    """Check all that can be told without opening the brain."""
    return [examine_versions(), examine_writable(folder), examine_space(folder), examine_file_system(folder), examine_settings(folder)]


def examine_versions() -> Finding:
    found, missing = [f"Python {platform.python_version()}"], []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        return problem("versions", f"not installed: {', '.join(missing)}", "pip install seal-agent", UsageError.exit_code)
    return fine("versions", ", ".join(found))


def nearest_existing(folder: Path) -> Path:
    absolute = folder.absolute()
    return next((path for path in (absolute, *absolute.parents) if path.exists()), absolute)


def examine_writable(folder: Path) -> Finding:
    existing = nearest_existing(folder)
    if not existing.is_dir():
        return problem("folder", f"{existing} is not a folder", "name another with --brain", StoreError.exit_code)
    if not os.access(existing, os.W_OK | os.X_OK):
        return problem("folder", f"{existing} can't be written to", "change its owner or mode, or name another", StoreError.exit_code)
    return fine("folder", f"{folder.absolute()} can be written to")


def examine_space(folder: Path) -> Finding:
    free = shutil.disk_usage(nearest_existing(folder)).free
    text = f"{free / 10**9:.1f} GB free"
    return fine("disk", text) if free >= LEAST_FREE else warning("disk", text, f"make room: {LEAST_FREE / 10**9:.0f} GB are advised")


def examine_file_system(folder: Path) -> Finding:
    kind = file_system_of(nearest_existing(folder).resolve())
    if kind in NETWORK:
        return warning("file system", f"{kind} is a network file system, whose locks SQLite can't trust", "move the brain to a local disk")
    return fine("file system", kind or "unknown, taken for local")


def file_system_of(path: Path, mounts: Path = MOUNTS) -> str | None:
    """Return the type of the file system that holds `path`; None where the system does not tell."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    found: tuple[int, str | None] = (-1, None)
    for line in lines:
        fields, _, after = line.partition(" - ")
        point = Path(fields.split()[4].replace("\\040", " "))
        # The last of equal mount points lies on top.
        if path.is_relative_to(point) and len(point.parts) >= found[0]:
            found = (len(point.parts), after.split()[0])
    return found[1]


def examine_settings(folder: Path) -> Finding:
    try:
        settings = read_settings(folder)
    except SettingsError as error:
        return problem("settings", str(error), f"correct {folder / SETTINGS_FILE} or the SEAL_* variable", error.exit_code)
    lax = lax_thresholds(settings.gate)
    if lax:
        return warning("settings", f"the gate lets nearly anything pass: {', '.join(lax)}", "set the defaults again in [gate]")
    if is_open_secret(folder / SETTINGS_FILE):
        text = f"{folder / SETTINGS_FILE} holds server.upstream_key, and others on this machine may read it"
        return warning("settings", text, "chmod 600 it, or put the key into SEAL_SERVER__UPSTREAM_KEY")
    exists = (folder / SETTINGS_FILE).exists()
    return fine("settings", f"{folder / SETTINGS_FILE} is valid" if exists else "no seal.toml; the defaults hold")


def is_open_secret(file: Path) -> bool:
    """Whether a settings file (already known to be valid) holds a key and is open to others than its owner."""
    if not file.exists() or not file.stat().st_mode & OTHERS:
        return False
    return bool(tomllib.loads(file.read_text(encoding="utf-8")).get("server", {}).get("upstream_key"))


def lax_thresholds(gate: GateSettings) -> list[str]:
    """Name the thresholds that protect from nothing any more."""
    lax = {
        f"min_gain = {gate.min_gain}": gate.min_gain == 0.0,
        f"max_general_drop = {gate.max_general_drop}": gate.max_general_drop >= LAX_DROP,
        f"max_retention_drop = {gate.max_retention_drop}": gate.max_retention_drop >= LAX_DROP,
        f"max_perplexity_ratio = {gate.max_perplexity_ratio}": gate.max_perplexity_ratio >= LAX_RATIO,
        f"max_kl = {gate.max_kl}": gate.max_kl >= LAX_KL,
        f"max_probe_drop = {gate.max_probe_drop}": gate.max_probe_drop >= LAX_DROP,
        f"max_context_drop = {gate.max_context_drop}": gate.max_context_drop >= LAX_DROP,
        f"intruder_facts = {gate.intruder_facts}": gate.intruder_facts == 0,
    }
    return [name for name, is_lax in lax.items() if is_lax]


def examine_brain(parts: Parts) -> list[Finding]:
    """Check an open brain; raise `StoreError` when it was closed."""
    found = [examine_ledger(parts), examine_words(parts), examine_embeddings(parts), examine_index(parts, parts.built_searcher)]
    weights = [examine_weights(name, parts) for name in ("model", "embedder")]
    return [*found, *weights, *examine_live(parts, model_is_here=weights[0].level == "ok")]


def examine_ledger(parts: Parts) -> Finding:
    try:
        with parts.ledger.read() as connection:
            faults = [row[0] for row in connection.exec_driver_sql("PRAGMA quick_check(5)") if row[0] != "ok"]
            schema = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    except IntegrityError as error:
        faults = [str(error)]
    if faults:
        return problem("ledger", f"damaged: {'; '.join(faults)}", "restore a backup of the brain", IntegrityError.exit_code)
    return fine("ledger", f"whole, schema {schema} of {len(MIGRATIONS)}")


def examine_words(parts: Parts) -> Finding:
    """Whether the full-text index holds the words of every entry: SQLite's own check of the file does not compare the two."""
    try:
        with parts.ledger.write() as connection:  # a statement in the form of a write, which changes nothing
            connection.exec_driver_sql("INSERT INTO entries_fts(entries_fts, rank) VALUES ('integrity-check', 1)")
    except IntegrityError:
        text = "lacks words of what is recorded, or holds others"
        return problem("lexical index", text, "seal-agent doctor --repair", IntegrityError.exit_code)
    except StoreError as error:
        return warning("lexical index", f"could not be checked: {error}", "see the message")
    return fine("lexical index", "holds the words of every text")


def examine_embeddings(parts: Parts) -> Finding:
    with parts.ledger.read() as connection:
        waiting = count_missing_vectors(connection, parts.embedder_id)
    if waiting:
        return warning("embeddings", f"{waiting} texts wait for {parts.embedder_id!r}", "each search embeds a portion; nothing is lost")
    return fine("embeddings", f"all by {parts.embedder_id!r}")


def examine_index(parts: Parts, searcher: Searcher | None) -> Finding:
    index = None if searcher is None else searcher.index
    if index is not None and index.status().state == "off":
        return warning("index", f"not in use: {index.status().error}", "search scans exactly meanwhile; seal-agent doctor --repair")
    if index is not None:  # it looks after itself, and two processes must not open one folder
        status = index.status()
        return fine("index", f"generation {status.generation} of {len(status.watermarks)} scopes is {status.state}")
    try:
        found = probe_current(parts.ledger, parts.embedder_id, probe, lambda: False)
    except VectorIndexError as error:
        return warning("index", str(error), "search scans exactly and makes it anew in the background; seal-agent doctor --repair does now")
    if found is None:
        return fine("index", f"none yet: scopes below {parts.settings.retrieval.exact_scan_below} texts are scanned exactly")
    return fine("index", f"generation {found.number} of {len(found.marks)} scopes is whole")


def examine_weights(name: Literal["model", "embedder"], parts: Parts) -> Finding:
    try:
        return fine(name, parts.locate(name))
    except ModelNotFoundError as error:
        return warning(name, f"not on this machine: {error}", "the first use downloads it; run that where a network can be reached")


def examine_live(parts: Parts, *, model_is_here: bool) -> Iterator[Finding]:
    with parts.ledger.read() as connection:
        live = [adapter for adapter in list_adapters(connection, None) if adapter.live]
    if live and not model_is_here:
        yield warning("adapters", f"{len(live)} live adapters can't be verified without the model", "see model above")
        return
    for adapter in live:
        try:
            parts.serving.check(adapter)
        except IntegrityError as error:
            text = f"{adapter.name} is live in {adapter.scope.key} but damaged, so the base answers: {error}"
            yield problem("adapters", text, "seal-agent adapters rollback, or restore its folder", error.exit_code)
        else:
            yield fine("adapters", f"{adapter.name} is live in {adapter.scope.key} and whole")
    if not live:
        yield fine("adapters", "none is live; the base answers")
