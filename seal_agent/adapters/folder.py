"""Bytes of an adapter folder: read without trusting what lies there, write so that a power cut leaves all or nothing.

Knows neither PEFT nor safetensors. Nothing here follows a symbolic link or opens anything but a regular file: opening a FIFO would hang,
opening a device can have effects.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from seal_agent.adapters.manifest import MAX_BYTES, FileRecord
from seal_agent.errors import IntegrityError

CHUNK = 1 << 20
READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
FILE_MODE = 0o600
FOLDER_MODE = 0o700
"""Weights can be asked for what they learnt: they are as private as the ledger."""


def check_entries(folder: Path, expected: Iterable[str]) -> None:
    """Raise `IntegrityError` unless the folder is a real one and holds exactly these."""
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise IntegrityError("it is not a folder (a symbolic link does not count as one)")
    missing = set(expected)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name not in missing:
                raise IntegrityError(f"{entry.name!r} does not belong in an adapter folder or is not in its manifest")
            missing.discard(entry.name)
    if missing:
        raise IntegrityError(f"{min(missing)} is missing")


def stamp(folder: Path) -> tuple[tuple[str, int, int, int, int], ...]:
    """What changes with any change to the folder or a file in it (no time of a change can be set back); empty where there is no folder."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        found.append(("", folder.lstat()))
    except OSError:
        return ()
    return tuple(sorted((name, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns) for name, status in found))


@contextmanager
def opened(file: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file that is no larger than its kind may be; yield it with its size, or raise `IntegrityError`."""
    try:
        _check_regular(file.name, file.lstat())
        handle = os.open(file, READ)
    except FileNotFoundError as error:
        raise IntegrityError(f"{file.name} is missing") from error
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        _check_regular(file.name, status)  # again: what was looked at need not be what was opened
        yield stream, status.st_size


def _check_regular(name: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise IntegrityError(f"{name} is not a regular file but {stat.filemode(status.st_mode)}")
    if status.st_size > MAX_BYTES[name]:
        raise IntegrityError(f"{name} is {status.st_size} bytes large; at most {MAX_BYTES[name]} are allowed")


def read(file: Path) -> bytes:
    with opened(file) as (stream, size):
        return stream.read(size)


def record_of(stream: BinaryIO, size: int) -> FileRecord:
    """Hash an open file from its beginning, never further than `size`, and rewind it."""
    digest, left = hashlib.sha256(), size
    while left and (chunk := stream.read(min(CHUNK, left))):
        digest.update(chunk)
        left -= len(chunk)
    stream.seek(0)
    return FileRecord(sha256=digest.hexdigest(), bytes=size - left)


def chunks(file: Path) -> Iterator[bytes]:
    with opened(file) as (stream, _):
        while chunk := stream.read(CHUNK):
            yield chunk


def write(file: Path, parts: Iterable[bytes]) -> FileRecord:
    """Write a new file through to the disk; return what was written."""
    digest, size = hashlib.sha256(), 0
    handle = os.open(file, WRITE, FILE_MODE)
    try:
        for part in parts:
            digest.update(part)
            size += len(part)
            left = memoryview(part)
            while left:
                left = left[os.write(handle, left) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    return FileRecord(sha256=digest.hexdigest(), bytes=size)


def sync(folder: Path) -> None:
    """Write a folder's entries through to the disk."""
    if os.name == "nt":  # Windows can't open folders, and needs no such call
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def parse_json(text: bytes, what: str) -> dict[str, Any]:  # Any: what a stranger's JSON holds is for the caller to check
    """Parse an object whose keys are unique and whose numbers are numbers; raise `IntegrityError` for everything else."""
    try:
        parsed = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{what} is not valid JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise IntegrityError(f"{what} is not a JSON object")
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:  # Any: as above
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")
