"""How values are laid out in columns: times, vectors, scopes, hashes; and the refusal of what can't be stored.

Deliberately knows no table. Times are ISO 8601 in UTC at a fixed width, so that text order is time order; vectors are float32, little
endian, whatever the machine.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from sqlalchemy import Row, Table

from seal_agent.errors import EmbeddingError, IntegrityError, InvalidTurnError, UsageError
from seal_agent.types import Episode, MetadataValue, ScopeId

T = TypeVar("T")
Vectors = npt.NDArray[np.float32]
Columns = dict[str, object]

VECTOR_DTYPE = np.dtype("<f4")
BATCH = 500
"""Most bound parameters in one IN list; SQLite before 3.32 allows 999."""


def encode_time(at: datetime) -> str:
    """Raise `UsageError` for a naive time: its meaning would depend on the machine that reads it."""
    if at.tzinfo is None or at.utcoffset() is None:
        raise UsageError(f"{at!r} has no time zone; pass datetime.now(UTC) or call .replace(tzinfo=...) on it.")
    try:
        return at.astimezone(UTC).isoformat(timespec="microseconds")
    except OverflowError as error:
        raise UsageError(f"{at!r} can't be told in UTC: it lies outside the years 1 to 9999.") from error


def decode_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def encode_optional_time(at: datetime | None) -> str | None:
    return None if at is None else encode_time(at)


def decode_optional_time(text: str | None) -> datetime | None:
    return None if text is None else decode_time(text)


def encode_vector(vector: npt.ArrayLike) -> bytes:
    """Raise `EmbeddingError` unless it is a row of at least one finite number."""
    row = np.asarray(vector, dtype=VECTOR_DTYPE)
    if row.ndim != 1 or row.size == 0 or not bool(np.isfinite(row).all()):
        raise EmbeddingError(f"A vector of shape {row.shape} can't be stored: give one row of finite numbers for each text.")
    return row.tobytes()


def decode_vector(blob: bytes) -> Vectors:
    return np.frombuffer(blob, dtype=VECTOR_DTYPE).astype(np.float32)


def decode_vectors(blobs: Sequence[bytes], what: str) -> Vectors:
    """Stack rows to [n, dim]; raise `IntegrityError` when they differ in length."""
    if not blobs:
        return np.empty((0, 0), dtype=np.float32)
    if len({len(blob) for blob in blobs}) != 1:
        raise IntegrityError(f"The stored vectors of {what} differ in length; embed them anew under a new embedder id.")
    return np.frombuffer(b"".join(blobs), dtype=VECTOR_DTYPE).reshape(len(blobs), -1).astype(np.float32)


def scope_columns(scope: ScopeId) -> Columns:
    return {"tenant": scope.tenant, "agent": scope.agent, "user": scope.user, "scope_key": scope.key}


def scope_of(row: Row[Any]) -> ScopeId:  # Any: rows of several tables, all with the scope's columns
    return ScopeId(tenant=row.tenant, agent=row.agent, user=row.user)


def key_columns(table: Table) -> tuple[Any, ...]:  # Any: SQLAlchemy's columns are typed by their content
    """The columns that `scope_of` reads."""
    return table.c.tenant, table.c.agent, table.c.user, table.c.scope_key


def check_text(label: str, text: str, error: type[UsageError] = UsageError) -> str:
    """Return the text, or raise `error` for what no database holds faithfully: NUL and lone surrogates."""
    if "\x00" in text:
        raise error(f"{label} holds a NUL character; remove it first.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as cause:
        raise error(f"{label} holds a lone surrogate ({cause.reason}); decode the text properly first.") from cause
    return text


def hash_text(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def encode_metadata(metadata: Mapping[str, MetadataValue]) -> str | None:
    """Keys in order, so that the same notes are the same text."""
    return json.dumps(dict(metadata), sort_keys=True, ensure_ascii=False, separators=(",", ":")) if metadata else None


def decode_metadata(text: str | None) -> dict[str, MetadataValue]:
    return {} if text is None else dict(json.loads(text))


def hash_episode(episode: Episode) -> str:
    """Hash what was said, not when: a caller that retries with the same id may stamp a later time."""
    turns = [[turn.role, turn.name, turn.content] for turn in episode.turns]
    content: list[object] = [episode.id, scope_parts(episode.scope), episode.session, episode.source, episode.outcome, turns]
    if episode.metadata:  # absent without, so that episodes recorded before there was any keep their hash
        content.append(dict(sorted(episode.metadata.items())))
    return hash_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")))


def scope_parts(scope: ScopeId) -> list[str | None]:
    return [scope.tenant, scope.agent, scope.user]


def check_episode_text(episode: Episode) -> None:
    """Raise `InvalidTurnError` for an episode that holds text no database keeps faithfully, or nothing at all."""
    if not episode.id or not episode.turns:
        raise InvalidTurnError(f"Episode {episode.id!r} needs an id and at least one turn.")
    texts = {"id": episode.id, "session": episode.session, "source": episode.source, "outcome": episode.outcome}
    for position, turn in enumerate(episode.turns):
        texts[f"turn {position}"] = turn.content
        texts[f"the name in turn {position}"] = turn.name
    for label, text in texts.items():
        if text is not None:
            check_text(f"Episode {episode.id!r}: {label}", text, InvalidTurnError)


def batches(ids: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a list so that each part fits one IN list."""
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]
