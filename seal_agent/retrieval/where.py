"""The conditions of a search, from what a caller passes to a checked `Where`. Deliberately knows no store."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import get_args

from seal_agent.errors import UsageError
from seal_agent.types import MetadataValue, Role, Where

FIELDS: Mapping[str, tuple[str, ...] | None] = {
    "session": None,
    "source": None,
    "outcome": None,
    "author": None,
    "role": get_args(Role),
    "kind": ("turn", "fact"),
}
"""What every entry has of its own, with the values that can be asked for where these are few. Any other key is the host's metadata."""
MAX_VALUES = 500
"""Most values of one condition."""

Conditions = Mapping[str, MetadataValue | Sequence[MetadataValue]]


def to_where(since: datetime | None, until: datetime | None, where: Conditions | None) -> Where | None:
    """Return the checked conditions, None when there are none; raise `UsageError` for what can't be asked."""
    if since is None and until is None and not where:
        return None
    for label, time in (("since", since), ("until", until)):
        check_time(label, time)
    if since is not None and until is not None and since >= until:
        raise UsageError(f"since={since!r} is not before until={until!r}: nothing lies between.")
    if where is not None and not isinstance(where, Mapping):
        raise UsageError(f"where is of type {type(where).__name__}; give a mapping such as {{'session': 's1'}}.")
    fields: dict[str, tuple[MetadataValue, ...]] = {}
    metadata: dict[str, tuple[MetadataValue, ...]] = {}
    for key, given in (where or {}).items():
        if not isinstance(key, str) or not key or '"' in key:
            raise UsageError(f"where: {key!r} is no key; use {', '.join(FIELDS)} or a key of the metadata.")
        values = check_values(key, given)
        (fields if key in FIELDS else metadata)[key] = values
    return Where(since=since, until=until, fields=fields, metadata=metadata)


def check_time(label: str, time: object) -> None:
    if time is not None and (not isinstance(time, datetime) or time.utcoffset() is None):
        raise UsageError(f"{label}={time!r} is no datetime with a time zone; pass datetime(..., tzinfo=UTC).")


def check_values(key: str, given: object) -> tuple[MetadataValue, ...]:
    values = tuple(given) if isinstance(given, list | tuple | set | frozenset) else (given,)
    if not 1 <= len(values) <= MAX_VALUES:
        raise UsageError(f"where: {key!r} has {len(values)} values; give 1 to {MAX_VALUES}.")
    known = FIELDS.get(key)
    for value in values:
        if not isinstance(value, str if key in FIELDS else str | int | float):
            raise UsageError(f"where: {key!r} can't be of type {type(value).__name__}; give a text, a number or a boolean.")
        if known is not None and value not in known:
            raise UsageError(f"where: {key!r} can't be {value!r}; it is one of {', '.join(known)}.")
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            raise UsageError(f"where: {key!r} holds a lone surrogate, half a character; decode it as UTF-8 first.")
    return values
