"""Answers of the base model that never change, kept in the brain's cache as JSON; what is damaged there is made anew."""

import contextlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

logger = logging.getLogger(__name__)

T = TypeVar("T")


def kept_json(file: Path, kind: TypeAdapter[T], make: Callable[[], T], is_whole: Callable[[T], bool]) -> T:
    """Return what the file holds, or make and keep it: where it is missing, unreadable, of another shape or not whole.

    A cache that can't be written, on a full disk, is no reason to fail: it is made again next time.
    """
    if file.exists():
        with contextlib.suppress(OSError, ValidationError):
            found = kind.validate_json(file.read_bytes())
            if is_whole(found):
                return found
        logger.warning("%s is damaged, it is made anew", file)
    made = make()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".tmp")
        draft.write_text(json.dumps(kind.dump_python(made)), encoding="utf-8")
        draft.replace(file)
    except OSError as error:
        logger.warning("%s could not be kept: %s", file, error)
    return made
