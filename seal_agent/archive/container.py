"""The container: an uncompressed tar whose first member, MANIFEST.json, names every other one with its size and SHA-256.

Uncompressed, so that nothing in it can be larger than the file itself. Reading trusts nothing: members are known by name, regular, not
sparse, as many and as large as the manifest says, and hashed while they are copied to a folder of our own; tar's own extraction, with its
paths, links and modes, is never used. Deliberately knows no brain.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Literal

from seal_agent.errors import ArchiveError, NewerSchemaError, StoreError, StoreFullError, TargetExistsError, UsageError
from seal_agent.ledger.ledger import FULL_ERRNOS

MANIFEST = "MANIFEST.json"
FORMAT = "seal-agent archive"
FORMAT_VERSION = 1
MANIFEST_BYTES = 64 * 2**20
CHUNK = 2**20
FILE_MODE = 0o600
"""An archive holds what people said in confidence."""
NAME = re.compile(
    r"(seal\.toml|seal\.db|tables/[a-z_]{1,64}\.jsonl|adapters/[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}/[A-Za-z0-9_-][A-Za-z0-9._-]{0,254})"
)
"""What a member may be called: no path leads anywhere else."""

Kind = Literal["export", "backup"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an archive says of itself."""

    kind: Kind
    schema: int
    """Version of the ledger's schema that the rows or the database are of."""
    seal_agent: str
    created_at: str
    counts: Mapping[str, int]
    members: Mapping[str, tuple[int, str]]
    """Per name, bytes and SHA-256."""


def write_archive(target: Path, manifest: Manifest, files: Mapping[str, Path]) -> int:
    """Write the archive beside `target` and put it there whole; return its bytes; raise `StoreError`, `TargetExistsError`."""
    if os.path.lexists(target):
        raise taken(target)
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    head = json.dumps({"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(manifest)}, indent=1).encode()
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb") as stream:
            with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
                _add(tar, MANIFEST, len(head), BytesIO(head))
                for name in manifest.members:
                    with files[name].open("rb") as file:
                        _add(tar, name, manifest.members[name][0], file)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(part, target)  # unlike a rename, refuses to replace what has come there meanwhile
        sync_folder(target.parent)
        return target.stat().st_size
    except FileExistsError as error:
        raise taken(target) from error
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        part.unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, FILE_MODE
    tar.addfile(member, content)


def unpack(archive: Path, into: Path) -> Manifest:
    """Verify an archive while copying its members to `into`, an empty folder; return its manifest.

    Raise `ArchiveError` for anything that is not exactly what the manifest says, `NewerSchemaError` for a newer format, `UsageError`
    where there is no such file.
    """
    if not archive.is_file():
        raise UsageError(f"There is no archive {str(archive)!r}: name a file that export or backup has written.")
    try:
        with tarfile.open(archive, mode="r:") as tar:
            manifest = _read_manifest(tar, archive)
            declared = sum(size for size, _ in manifest.members.values())
            if declared > archive.stat().st_size:
                raise ArchiveError(f"{archive} declares {declared:,} bytes and is smaller than that; it is damaged or forged.")
            if declared > shutil.disk_usage(into).free:
                raise StoreFullError(f"{archive} needs {declared:,} bytes in {into}, more than are free. Make room and try again.")
            left = dict(manifest.members)
            while (member := tar.next()) is not None:
                _take_out(tar, member, left, into, archive)
    except tarfile.TarError as error:
        raise ArchiveError(
            f"{archive} is no archive of seal-agent's, or is damaged ({error}). A compressed one has to be unpacked first."
        ) from error
    except OSError as error:
        raise cannot_write(archive, error) from error
    if left:
        raise ArchiveError(f"{archive} lacks {len(left)} of its members, first {min(left)!r}; it is incomplete.")
    return manifest


def _read_manifest(tar: tarfile.TarFile, archive: Path) -> Manifest:
    first = tar.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.issparse() or first.size > MANIFEST_BYTES:
        raise ArchiveError(f"{archive} does not begin with {MANIFEST}: it is no archive of seal-agent's.")
    content = tar.extractfile(first)
    assert content is not None  # a regular member
    try:
        return _parse_manifest(json.loads(content.read()), archive)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArchiveError(f"The manifest of {archive} can't be read ({error!r}); it is damaged or forged.") from error


def _parse_manifest(said: dict[str, Any], archive: Path) -> Manifest:  # Any: JSON, checked here
    if said["format"] != FORMAT:
        raise ArchiveError(f"{archive} says it is {said['format']!r}, not a {FORMAT}.")
    if not isinstance(said["format_version"], int) or said["format_version"] > FORMAT_VERSION:
        raise NewerSchemaError(f"{archive} was written by a newer seal-agent: pip install --upgrade seal-agent.")
    members = {str(name): (int(size), str(sha256)) for name, (size, sha256) in said["members"].items()}
    wrong = [name for name, (size, _) in members.items() if not NAME.fullmatch(name) or size < 0]
    if wrong:
        raise ArchiveError(f"{archive} names a member {wrong[0][:100]!r}, which no archive has; nothing was written.")
    if said["kind"] not in ("export", "backup") or not isinstance(said["schema"], int):
        raise ArchiveError(f"{archive} says neither that it is an export nor a backup.")
    counts = {str(name): int(count) for name, count in said["counts"].items()}
    return Manifest(
        kind=said["kind"],
        schema=said["schema"],
        seal_agent=str(said["seal_agent"]),
        created_at=datetime.fromisoformat(said["created_at"]).isoformat(),
        counts=counts,
        members=members,
    )


def _take_out(tar: tarfile.TarFile, member: tarfile.TarInfo, left: dict[str, tuple[int, str]], into: Path, archive: Path) -> None:
    declared = left.pop(member.name, None)
    if declared is None or not member.isreg() or member.issparse() or member.size != declared[0]:
        raise ArchiveError(f"{archive} holds {member.name[:100]!r}, which is not what its manifest says; nothing was written.")
    target = into / member.name
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = tar.extractfile(member)
    assert content is not None  # a regular member
    digest = hashlib.sha256()
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb") as file:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != declared[1]:
        raise ArchiveError(
            f"{member.name!r} in {archive} is not what its manifest says: it is damaged or was changed. Nothing was written."
        )


def record(file: Path) -> tuple[int, str]:
    """Return a file's bytes and SHA-256; raise `StoreError` when it can't be read, or was deleted meanwhile."""
    digest, size = hashlib.sha256(), 0
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise StoreError(f"{file} can't be saved ({error}). If it was deleted just now, by gc or forget, save again.") from error
    return size, digest.hexdigest()


def taken(target: Path) -> TargetExistsError:
    return TargetExistsError(f"{target} exists; name a file that does not, so that no archive is lost.")


def cannot_write(path: Path, error: OSError) -> StoreError:
    if error.errno in FULL_ERRNOS:
        return StoreFullError(f"{path} could not be written: the disk is full or a quota is reached. Make room and try again.")
    return StoreError(f"{path} can't be used ({error}); name a file that can be read, in a folder that can be written to.")


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def staging(beside: Path) -> Iterator[Path]:
    """A private folder on the same file system, gone afterwards whatever happens."""
    folder = beside / f".archive-{uuid.uuid4().hex}"
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
