"""Answers of the base model that never change, kept in the brain's cache as JSON; what is damaged there is made anew."""

import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

logger = logging.getLogger(__name__)

T = TypeVar("T")


def kept_json(file: Path, kind: TypeAdapter[T], make: Callable[[], T], is_whole: Callable[[T], bool]) -> T:
    """Return what the file holds, or make and keep it: where it is missing, unreadable, of another shape or not whole."""
    found = read_kept(file, kind)
    if found is not None and is_whole(found):
        return found
    made = make()
    keep(file, kind, made)
    return made


def read_kept(file: Path, kind: TypeAdapter[T]) -> T | None:
    """What the file holds, or None where it is missing, unreadable or of another shape."""
    if not file.exists():
        return None
    try:
        return kind.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        logger.warning("%s is damaged, it is made anew", file)
        return None


def keep(file: Path, kind: TypeAdapter[T], made: T) -> None:
    """Write it down, whole or not at all. Where that fails, on a full disk, it is made again next time, which is no reason to fail."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")  # several may make the same at once
        draft.write_text(json.dumps(kind.dump_python(made)), encoding="utf-8")
        draft.replace(file)
    except OSError as error:
        logger.warning("%s could not be kept: %s", file, error)
