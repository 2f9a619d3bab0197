"""What a caller hands over as an interaction, made into turns; everything is checked before anything is written.

Texts are kept verbatim: nothing is trimmed, normalised or guessed. Deliberately knows no store and judges no meaning.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import get_args

from seal_agent.errors import InvalidTurnError, UsageError
from seal_agent.ledger.encoding import check_text, encode_time
from seal_agent.retrieval.fence import without_recalled
from seal_agent.types import MAX_ID_LENGTH, MetadataValue, Role, Turn

Message = Turn | Mapping[str, str]
Messages = str | Turn | Sequence[Message]

MAX_CHARACTERS = 200_000
MAX_TURNS = 1_000
MAX_LABEL = 512
MAX_METADATA = 32
METADATA_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
LARGEST_NUMBER = 2**53
"""Up to here every reader of JSON sees the same number."""
FIELDS = ("session", "source", "outcome", "author", "role", "kind")
"""What a search can be filtered by besides metadata."""
ROLES: tuple[Role, ...] = get_args(Role)
KEYS = frozenset({"role", "content", "name"})
UNSEEN = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
"""Unicode categories that show nothing: controls, zero-width marks, spaces."""


def to_turns(messages: Messages) -> tuple[Turn, ...]:
    """Return the turns of a list of {"role", "content"[, "name"]} or `Turn`; a bare string is one turn of the user.

    Raise `InvalidTurnError` saying which turn is wrong and how.
    """
    if isinstance(messages, str):
        messages = [Turn(role="user", content=messages)]
    elif isinstance(messages, Turn):
        messages = [messages]
    if not isinstance(messages, list | tuple):
        raise InvalidTurnError(f'{type(messages).__name__} is no interaction: give a list of {{"role": ..., "content": ...}} or a string.')
    if not messages:
        raise InvalidTurnError("The interaction is empty: give at least one turn.")
    if len(messages) > MAX_TURNS:
        raise InvalidTurnError(f"The interaction has {len(messages):,} turns; at most {MAX_TURNS:,} are allowed. Record it in parts.")
    return tuple(to_turn(message, position) for position, message in enumerate(messages))


def to_turn(message: Message, position: int) -> Turn:
    label = f"Turn {position}"
    given: tuple[object, object, object]
    if isinstance(message, Turn):
        given = (message.role, message.content, message.name)
    elif isinstance(message, Mapping):
        given = from_mapping(message, label)
    else:
        raise InvalidTurnError(f'{label} is of type {type(message).__name__}; give {{"role": ..., "content": ...}}.')
    role, content, name = given
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidTurnError(f"{label} has role={role!r}; it must be one of {', '.join(ROLES)}.")
    if name is not None and not isinstance(name, str):
        raise InvalidTurnError(f"{label}: name={name!r} is of type {type(name).__name__}; give a string, or leave it out.")
    check_label(f"{label}: name", name, MAX_ID_LENGTH)
    return Turn(role=role, content=check_content(content, label), name=name)


def without_recall(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """Return the turns without blocks that `Scope.context` wrote, and without turns that were nothing else.

    Raise `InvalidTurnError` when nothing remains.
    """
    kept: list[Turn] = []
    for turn in turns:
        said = without_recalled(turn.content)
        if said == turn.content:
            kept.append(turn)
        elif not is_blank(said):
            kept.append(replace(turn, content=said))
    if not kept:
        raise InvalidTurnError("The interaction holds nothing but recalled text, which is not recorded again; give what was said.")
    return tuple(kept)


def from_mapping(message: Mapping[str, object], label: str) -> tuple[object, object, object]:
    unknown = [key for key in message if key not in KEYS]
    if unknown:
        raise InvalidTurnError(f"{label} has unknown keys {unknown!r}; only role, content and name are recorded.")
    missing = [key for key in ("role", "content") if key not in message]
    if missing:
        raise InvalidTurnError(f"{label} has no {' and no '.join(missing)}.")
    return message["role"], message["content"], message.get("name")


def check_content(content: object, label: str, error: type[UsageError] = InvalidTurnError) -> str:
    """Return the text, or raise `error` for what is no text, shows nothing, is too long or can't be stored."""
    if not isinstance(content, str):
        raise error(f"{label} holds {type(content).__name__} where text is expected; pass a string.")
    if len(content) > MAX_CHARACTERS:
        raise error(f"{label} has {len(content):,} characters; at most {MAX_CHARACTERS:,} are allowed. Split it.")
    check_text(label, content, error)
    if is_blank(content):
        raise error(f"{label} is empty: it holds nothing but white space or invisible characters.")
    return content


def is_blank(text: str) -> bool:
    return all(unicodedata.category(character) in UNSEEN for character in text)


def check_label(label: str, value: str | None, longest: int = MAX_LABEL) -> None:
    """Raise `InvalidTurnError` unless the value is absent or a short text that shows something."""
    if value is None:
        return
    if not isinstance(value, str) or is_blank(value):
        raise InvalidTurnError(f"{label}={value!r} says nothing: give a non-empty string, or leave it out.")
    if len(value) > longest:
        raise InvalidTurnError(f"{label} has {len(value):,} characters; at most {longest} are allowed.")
    check_text(label, value, InvalidTurnError)


def check_metadata(metadata: Mapping[str, MetadataValue] | None) -> dict[str, MetadataValue]:
    """Return the host's notes; raise `InvalidTurnError` for what can't be noted, or filtered by later."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise InvalidTurnError(f"metadata is of type {type(metadata).__name__}; give a mapping of names to texts, numbers or booleans.")
    if len(metadata) > MAX_METADATA:
        raise InvalidTurnError(f"metadata has {len(metadata)} keys; at most {MAX_METADATA} are allowed.")
    for key, value in metadata.items():
        if not isinstance(key, str) or not METADATA_KEY.fullmatch(key) or key in FIELDS:
            raise InvalidTurnError(
                f"metadata key {key!r}: use a name of letters, digits, _ and -, up to 64 of them, that is none of {', '.join(FIELDS)}."
            )
        if isinstance(value, str):
            check_label(f"metadata[{key!r}]", value)
        elif not isinstance(value, int | float) or not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
            raise InvalidTurnError(f"metadata[{key!r}]={value!r} is no text, finite number or boolean.")
    return dict(metadata)


def check_time(at: datetime) -> datetime:
    """Raise `InvalidTurnError` for what is no time with a time zone."""
    if not isinstance(at, datetime):
        raise InvalidTurnError(f"at={at!r} is no datetime; pass datetime.now(UTC) or leave it out.")
    try:
        encode_time(at)
    except UsageError as error:
        raise InvalidTurnError(str(error)) from error
    return at
