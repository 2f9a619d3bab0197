"""What becomes of what was found: kept, redacted or refused where text is recorded, and in no case trained on.

Redacting puts `[redacted: kind]` in the place; the words around it stay. Nothing here reads or writes the ledger.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from seal_agent.config import PrivacySettings
from seal_agent.errors import BlockedContentError
from seal_agent.privacy.kinds import Detection, Kind
from seal_agent.privacy.scan import scan
from seal_agent.types import Episode, Fact, Turn, redaction_mark


def screened(text: str, settings: PrivacySettings, label: str = "The text") -> str:
    """Return the text as it may be recorded; raise `BlockedContentError`, which never holds what was found."""
    policies = settings.policies
    if all(policy == "keep" for policy in policies.values()):
        return text
    found = scan(text, settings)
    for one in found:
        if policies[one.kind] == "block":
            raise BlockedContentError(
                f"{label} holds what privacy.{one.kind} = 'block' keeps out: {one.detector} at characters {one.start} to {one.end}."
                " Nothing was written. Take it out, or set the policy to redact."
            )
    return without([one for one in found if policies[one.kind] == "redact"], text)


def screened_turns(turns: Sequence[Turn], settings: PrivacySettings) -> tuple[Turn, ...]:
    """The turns as they may be recorded, whoever said them; see `screened`."""
    return tuple(screened_turn(turn, settings, f"Turn {position}") for position, turn in enumerate(turns))


def screened_turn(turn: Turn, settings: PrivacySettings, label: str) -> Turn:
    content = screened(turn.content, settings, label)
    name = None if turn.name is None else screened(turn.name, settings, f"The name in {label.lower()}")
    return turn if (content, name) == (turn.content, turn.name) else replace(turn, content=content, name=name)


def screened_episode(episode: Episode, settings: PrivacySettings) -> Episode:
    """The episode as it may be recorded: turns, outcome and the texts of its metadata. Ids and labels are the host's and stay."""
    turns = screened_turns(episode.turns, settings)
    outcome = None if episode.outcome is None else screened(episode.outcome, settings, "The outcome")
    metadata = {
        key: screened(value, settings, f"The metadata {key!r}") if isinstance(value, str) else value
        for key, value in episode.metadata.items()
    }
    if (turns, outcome, metadata) == (episode.turns, episode.outcome, episode.metadata):
        return episode
    return replace(episode, turns=turns, outcome=outcome, metadata=metadata)


def screened_json(text: str, settings: PrivacySettings, label: str) -> str:
    """JSON with each text in it as it may be recorded, keys left as they are; the same text when nothing is to be changed."""
    if all(policy == "keep" for policy in settings.policies.values()):
        return text
    value = json.loads(text)
    kept = _screened_value(value, settings, label)
    return text if kept == value else json.dumps(kept, ensure_ascii=False)


def _screened_value(value: Any, settings: PrivacySettings, label: str) -> Any:  # Any: parsed JSON
    if isinstance(value, str):
        return screened(value, settings, label)
    if isinstance(value, dict):
        return {key: _screened_value(inner, settings, label) for key, inner in value.items()}
    return [_screened_value(inner, settings, label) for inner in value] if isinstance(value, list) else value


def without(found: Iterable[Detection], text: str) -> str:
    """The text with a mark in each of the places, which must be sorted and apart."""
    pieces: list[str] = []
    end = 0
    for one in found:
        pieces += [text[end : one.start], redaction_mark(one.kind)]
        end = one.end
    return "".join([*pieces, text[end:]])


def for_training(episodes: Iterable[Episode], settings: PrivacySettings) -> tuple[Episode, ...]:
    """Copies from which facts may be drawn: a mark stands for whatever was found, and `trust.refusal` refuses sentences with one."""
    return tuple(replace(episode, turns=tuple(masked(turn, settings) for turn in episode.turns)) for episode in episodes)


def masked(turn: Turn, settings: PrivacySettings) -> Turn:
    found = scan(turn.content, settings)
    return replace(turn, content=without(found, turn.content)) if found else turn


def kinds_in(fact: Fact, settings: PrivacySettings) -> tuple[Kind, ...]:
    """Kinds of what a fact holds; a fact with any is told and never trained on."""
    texts = {fact.text, fact.quote}
    return tuple(dict.fromkeys(one.kind for text in sorted(texts) for one in scan(text, settings)))
