"""Conversations in a JSONL file: one object a line, {"turns": [{"role", "content"}, ...], "session", "user", "agent", "started", ...}.

Every line is checked before the first is recorded; an error names its line. A line without an id gets one made from its content, so that
the same file recorded again changes nothing. Records nothing itself.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from seal_agent.errors import InvalidTurnError, UsageError
from seal_agent.turns import MAX_LABEL, check_label, check_time, to_turns
from seal_agent.types import MAX_ID_LENGTH, ScopeId, Turn

TEXTS = ("session", "source", "outcome", "id", "user", "agent", "tenant", "started", "name")
"""Keys with a text. `name`, how people call the user, is allowed but not recorded."""
MAX_LINE = 64_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One checked line."""

    scope: ScopeId
    turns: tuple[Turn, ...]
    session: str | None
    at: datetime | None
    source: str
    outcome: str | None
    id: str


def read_conversations(file: Path, default: ScopeId) -> list[Conversation]:
    """Return the checked lines; scopes come from the line, else from `default`. Raise `UsageError` naming the line that is wrong."""
    try:
        found = [parse(number, line, file, default) for number, line in lines(file)]
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error}.") from error
    if not found:
        raise UsageError(f"{file} holds no conversation; write one JSON object a line.")
    return found


def lines(file: Path) -> Iterator[tuple[int, bytes]]:
    with file.open("rb") as stream:
        number = 0
        while line := stream.readline(MAX_LINE):
            number += 1
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield number, line


def parse(number: int, line: bytes, file: Path, default: ScopeId) -> Conversation:
    try:
        return checked(json.loads(line.decode("utf-8")), default)
    except UnicodeDecodeError as error:
        raise InvalidTurnError(f"{file}, line {number}: not UTF-8 ({error}). Nothing was recorded.") from error
    except json.JSONDecodeError as error:
        raise InvalidTurnError(f"{file}, line {number}: not JSON ({error}). Nothing was recorded.") from error
    except RecursionError as error:
        raise InvalidTurnError(f"{file}, line {number}: nested too deeply. Nothing was recorded.") from error
    except UsageError as error:
        raise type(error)(f"{file}, line {number}: {error} Nothing was recorded.") from error


def checked(item: object, default: ScopeId) -> Conversation:
    if not isinstance(item, dict):
        raise InvalidTurnError(f"a {type(item).__name__} where an object with turns is expected.")
    unknown = sorted(set(item) - {"turns", *TEXTS})
    if unknown:
        raise InvalidTurnError(f"unknown key {unknown[0]!r}; known are turns, {', '.join(TEXTS)}.")
    if "turns" not in item:
        raise InvalidTurnError("no turns.")
    for key in TEXTS:
        check_label(key, item.get(key), MAX_ID_LENGTH if key == "id" else MAX_LABEL)
    user = item.get("user", default.user)
    scope = ScopeId(tenant=item.get("tenant", default.tenant), agent=item.get("agent", default.agent), user=user)
    return Conversation(
        scope=scope,
        turns=to_turns(item["turns"]),
        session=item.get("session"),
        at=None if item.get("started") is None else parse_time(item["started"]),
        source=item.get("source") or "file",
        outcome=item.get("outcome"),
        id=item.get("id") or content_id(scope, item),
    )


def parse_time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidTurnError(f"started={text!r} is no ISO 8601 time, such as 2026-11-02T09:12:00Z.") from error
    return check_time(at if at.tzinfo is not None else at.replace(tzinfo=UTC))


def content_id(scope: ScopeId, item: dict[str, object]) -> str:
    content = json.dumps([scope.key, item], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()[:32]
