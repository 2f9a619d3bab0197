"""LoCoMo: are the turns that answer a question found among the thousands of a long conversation?

Maharana et al. 2024, https://arxiv.org/abs/2402.17753: ten conversations of 19 to 32 sessions, and questions with the ids
of the turns that hold the evidence. recall@k is the mean, over all questions whose evidence can be resolved, of the share of evidence turns
among the first k that a search within the question's conversation finds. No language model takes part.

Weights were chosen on the first five conversations; the figures under `test` are of the other five. The data (CC BY-NC 4.0) is the user's
to bring: https://github.com/snap-research/locomo, `data/locomo10.json`. Deliberately goes through `Memory` alone, as any user would.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from seal_agent.errors import UsageError
from seal_agent.memory import Memory
from seal_agent.types import Interaction, Progress, ProgressCallback, Turn, silent

CUTS = (1, 5, 10, 20, 50)
HELD_BACK = 5
"""Conversations from here on, counted from 0, are the test half."""
CATEGORIES = {1: "multi_hop", 2: "temporal", 3: "open_domain", 4: "single_hop", 5: "adversarial"}
EVIDENCE = re.compile(r"D:?(\d+):0*(\d+)")
"""Some ids are written "D:11:26" or "D30:05", some entries hold several."""
TIME = "%I:%M %p on %d %B, %Y"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocomoQuestion:
    """A question with its evidence as (session, turn within the session), both from 0."""

    text: str
    category: str
    evidence: frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocomoConversation:
    """One conversation and the questions on it."""

    id: str
    sessions: tuple[Interaction, ...]
    questions: tuple[LocomoQuestion, ...]
    unresolved: int
    """Questions that name no evidence, or evidence that is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocomoScore:
    """Recall in percent, latency in milliseconds without the embedding of the query."""

    n: int
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    recall_at_20: float
    recall_at_50: float
    p50_ms: float
    p95_ms: float
    categories: dict[str, dict[str, float]] = field(default_factory=dict)
    """Per category its n and recall at each cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question's outcome."""

    conversation: int
    category: str
    recalls: tuple[float, ...]
    milliseconds: float


def read_locomo(file: Path) -> list[LocomoConversation]:
    """Read the data set's own file; raise `UsageError` saying what is wrong with it."""
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
        conversations = [to_conversation(number, one) for number, one in enumerate(given)]
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error}. Get locomo10.json from https://github.com/snap-research/locomo.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{file} is not in LoCoMo's format: {type(error).__name__}: {error}.") from error
    if not any(one.questions for one in conversations):
        raise UsageError(f"{file} holds no question whose evidence can be resolved.")
    return conversations


def to_conversation(number: int, given: Mapping[str, Any]) -> LocomoConversation:  # Any: JSON, read at its boundary
    talk = given["conversation"]
    name = str(given.get("sample_id", number))
    sessions: list[Interaction] = []
    places: dict[tuple[int, int], tuple[int, int]] = {}
    while f"session_{len(sessions) + 1}" in talk:
        count = len(sessions) + 1
        at = datetime.strptime(talk[f"session_{count}_date_time"], TIME).replace(tzinfo=UTC)
        turns = talk[f"session_{count}"]
        for position, turn in enumerate(turns):
            places[evidence_ids(turn["dia_id"])[0]] = (count - 1, position)
        messages = tuple(to_turn(turn, talk["speaker_a"]) for turn in turns)
        sessions.append(Interaction(messages=messages, session=f"session {count}", at=at, id=f"{number}-{count}", source="locomo"))
    questions = [to_question(one, places) for one in given["qa"]]
    kept = tuple(one for one in questions if one is not None)
    return LocomoConversation(id=name, sessions=tuple(sessions), questions=kept, unresolved=len(questions) - len(kept))


def to_turn(given: Mapping[str, Any], first: str) -> Turn:  # Any: as above
    caption = given.get("blip_caption")
    text = f"{given['text']} [image: {caption}]" if caption else given["text"]
    return Turn(role="user" if given["speaker"] == first else "assistant", content=text, name=given["speaker"])


def to_question(given: Mapping[str, Any], places: Mapping[tuple[int, int], tuple[int, int]]) -> LocomoQuestion | None:  # Any: as above
    ids = [found for item in given["evidence"] for found in evidence_ids(item) or [(0, 0)]]
    if not ids or any(one not in places for one in ids):
        return None
    evidence = frozenset(places[one] for one in ids)
    return LocomoQuestion(text=given["question"], category=CATEGORIES.get(given["category"], "other"), evidence=evidence)


def evidence_ids(text: str) -> list[tuple[int, int]]:
    return [(int(session), int(turn)) for session, turn in EVIDENCE.findall(str(text))]


def record(memory: Memory, conversations: Sequence[LocomoConversation], progress: ProgressCallback = silent) -> None:
    """Record each conversation as the memory of a user of its own, session by session."""
    for number, conversation in enumerate(conversations):
        memory.scope(user=f"locomo-{number}").add_many(conversation.sessions)
        progress(Progress(stage="record", done=number + 1, total=len(conversations)))


def ask(memory: Memory, conversations: Sequence[LocomoConversation], progress: ProgressCallback = silent) -> list[Asked]:
    """Search for every question within its conversation."""
    asked: list[Asked] = []
    for number, conversation in enumerate(conversations):
        scope = memory.scope(user=f"locomo-{number}")
        scope.search("warm up")  # what the first search reads once is not what every search costs
        for question in conversation.questions:
            started = time.perf_counter()
            hits = scope.search(question.text, max(CUTS))
            milliseconds = 1e3 * (time.perf_counter() - started)
            found = [(int((hit.episode_id or "").rpartition("-")[2]) - 1, hit.turn) for hit in hits]
            recalls = tuple(len(question.evidence.intersection(found[:cut])) / len(question.evidence) for cut in CUTS)
            asked.append(Asked(conversation=number, category=question.category, recalls=recalls, milliseconds=milliseconds))
        progress(Progress(stage="ask", done=number + 1, total=len(conversations)))
    return asked


def score(asked: Sequence[Asked]) -> LocomoScore:
    """Mean over the questions; raise `UsageError` when there are none."""
    if not asked:
        raise UsageError("There is no question to score.")
    times = [one.milliseconds for one in asked]
    by_category = {
        name: {"n": float(len(of)), **recalls(of)}
        for name in (*CATEGORIES.values(), "other")
        if (of := [one for one in asked if one.category == name])
    }
    return LocomoScore(
        n=len(asked),
        **recalls(asked),
        p50_ms=round(float(np.percentile(times, 50)), 2),
        p95_ms=round(float(np.percentile(times, 95)), 2),
        categories=by_category,
    )


def recalls(asked: Sequence[Asked]) -> dict[str, float]:
    return {f"recall_at_{cut}": round(100 * mean(one.recalls[place] for one in asked), 2) for place, cut in enumerate(CUTS)}


def test_half(asked: Sequence[Asked]) -> list[Asked]:
    """Those of the conversations that no weight was chosen on."""
    return [one for one in asked if one.conversation >= HELD_BACK]
