"""Prepared weights: a folder in the cache that appears whole or not at all, with a record of where every byte came from.

Knows nothing of wheels, hubs or tensors: whoever prepares weights hands in a function that fills an empty folder.
"""

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from seal_agent.errors import IntegrityError, ModelNotFoundError, StoreError, StoreFullError
from seal_agent.types import Progress, ProgressCallback

RECORD = "seal-weights.json"
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
NOT_WRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
SHA256_HEX_LENGTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a prepared folder was made from."""

    id: str
    source: str
    sha256: str
    """Of the one file that it was made from: a wheel, or a GGUF file."""

    @property
    def name(self) -> str:
        """The folder's name; it holds the hash, so weights pinned anew never meet an old folder."""
        return f"{self.id}-{self.sha256[:8]}"


def publish(parent: Path, origin: Origin, fill: Callable[[Path], None], progress: ProgressCallback) -> Path:
    """Return the prepared folder, filling it first if it is absent or damaged.

    Of several processes one fills and the others wait. A killed one leaves a draft that the next one removes. Raise `StoreFullError`
    or `StoreError` when the cache can't be written, and whatever `fill` raises; then nothing stays.
    """
    final = parent / origin.name
    if is_intact(final):
        return final
    with named_disk_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        with only_one(parent / f".{origin.name}.lock", progress):
            if not is_intact(final):
                replace(final, origin, fill, progress)
    return final


def replace(final: Path, origin: Origin, fill: Callable[[Path], None], progress: ProgressCallback) -> None:
    for abandoned in final.parent.glob(f".{final.name}.*.tmp"):  # we hold the lock: whoever made it is dead
        shutil.rmtree(abandoned, ignore_errors=True)
    draft = final.parent / f".{final.name}.{uuid.uuid4().hex}.tmp"
    draft.mkdir()
    try:
        fill(draft)
        write_record(draft, origin, progress)
        sync(draft)
        if final.exists():
            shutil.rmtree(final)
        draft.rename(final)
        sync_folder(final.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def lookup(parent: Path, origin: Origin) -> Path:
    """Return the prepared folder if it is there and whole; raise `ModelNotFoundError` saying what is wrong with it."""
    final = parent / origin.name
    if not final.exists():
        raise ModelNotFoundError("nothing there yet")
    if not is_intact(final):
        raise ModelNotFoundError("incomplete or damaged, to be prepared anew")
    return final


def is_intact(folder: Path) -> bool:
    """Whether every recorded file is there with its recorded size: what a start can afford. `verify` reads the bytes."""
    try:
        files = json.loads((folder / RECORD).read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == entry["bytes"] for name, entry in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def verify(path: Path) -> None:
    """Read every recorded file of a prepared folder again; raise `IntegrityError` naming the first that is not what was recorded."""
    remedy = f"Remove the folder {str(path)!r}; it is prepared anew at the next start."
    try:
        files: dict[str, dict[str, str]] = json.loads((path / RECORD).read_text(encoding="utf-8"))["files"]
        recorded = {name: entry["sha256"] for name, entry in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{str(path)!r} holds no readable {RECORD} to verify against ({error}). {remedy}") from error
    for name, expected in recorded.items():
        file = path / name
        actual = sha256_of(file) if file.is_file() else "missing"
        if actual != expected:
            raise IntegrityError(f"{str(file)!r} has SHA-256 {actual}, recorded was {expected}. {remedy}")


def weights_sha256(path: Path) -> str:
    """Return the SHA-256 that names the weights in a folder: recorded where possible, else computed.

    One safetensors file gives its own hash; shards give the hash over their names and hashes.
    """
    shards = sorted(path.glob("*.safetensors"))
    if not shards:
        raise ModelNotFoundError(f"{str(path)!r} holds no .safetensors file.")
    record = json.loads((path / RECORD).read_text(encoding="utf-8"))["files"] if is_intact(path) else {}
    hashes = {shard.name: record[shard.name]["sha256"] if shard.name in record else hub_sha256(shard) for shard in shards}
    if len(hashes) == 1:
        return str(*hashes.values())
    return hashlib.sha256("".join(f"{name} {sha}\n" for name, sha in hashes.items()).encode()).hexdigest()


def hub_sha256(file: Path) -> str:
    """The hub cache links large files to blobs that are named by their SHA-256: no need to read gigabytes for those."""
    blob = file.resolve()
    is_named_by_hash = blob.parent.name == "blobs" and len(blob.name) == SHA256_HEX_LENGTH and set(blob.name) <= set("0123456789abcdef")
    return blob.name if is_named_by_hash else sha256_of(file)


def sha256_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_record(folder: Path, origin: Origin, progress: ProgressCallback) -> None:
    files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    entries = {}
    for done, (name, file) in enumerate(files.items()):
        progress(Progress(stage="check", done=done, total=len(files), detail=name))
        entries[name] = {"sha256": sha256_of(file), "bytes": file.stat().st_size}
    progress(Progress(stage="check", done=len(files), total=len(files)))
    record = {"id": origin.id, "source": origin.source, "source_sha256": origin.sha256, "files": entries}
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def sync(folder: Path) -> None:
    """Force all of it to disk before the rename, so that a power cut can't leave a whole name on half a file."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            # transformers writes weights as 0600; a cache baked into an image must be readable by another user too
            shutil.copymode(folder / RECORD, path)
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())
        else:
            sync_folder(path)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows can't open folders, and needs no such call
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def only_one(lock_file: Path, progress: ProgressCallback) -> Iterator[None]:
    """Hold the lock; say so when another process has it."""
    lock = FileLock(lock_file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        progress(Progress(stage="download", done=0, total=1, detail="another process is preparing the same weights; waiting for it"))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def named_disk_errors(cache: Path, variable: str = "SEAL_CACHE") -> Iterator[None]:
    """Turn a full or read-only disk into our errors; `variable` is what moves this cache elsewhere."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise StoreFullError(
                f"No space left in the weights cache {str(cache)!r}. Free some, or point {variable} at a larger disk."
            ) from error
        if error.errno in NOT_WRITABLE:
            raise StoreError(
                f"The weights cache {str(cache)!r} can't be written ({error}). Point {variable} at a folder that can."
            ) from error
        raise
