"""Records as JSON: what `--json` prints, and any other door that speaks JSON.

Times become ISO 8601, paths strings, records objects, numbers that are not finite null. One way only: nothing is read back.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from pathlib import Path


def plain(value: object) -> object:
    """Return the value in JSON's own types; raise `TypeError` for what has no form there."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{type(value).__name__} has no JSON form.")


def to_json(value: object) -> str:
    """Return one line of ASCII, safe for every terminal and pipe."""
    return json.dumps(plain(value), ensure_ascii=True, allow_nan=False)
