"""Whether a sentence says something that will still be worth knowing next month, and of which kind.

Ridge regression from sentence embeddings to kinds, fitted on the labelled sentences that come with the package, corrected by a few cues
that embeddings miss. It runs with any embedder, in milliseconds, and is the same every time; no language model is asked.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from seal_agent.consolidation.bundled import kept_vectors, labelled_sentences
from seal_agent.consolidation.sentences import content_words, words
from seal_agent.protocols import Embedder, Vectors
from seal_agent.types import FactKind

KINDS: tuple[FactKind, ...] = ("preference", "procedure", "profile", "knowledge", "event", "correction")
RIDGE = 1.0
"""Chosen by five-fold cross-validation on the labelled sentences: 0.3, 1, 3, 10 give 88.1, 89.7, 89.9, 86.9 % on durable or not."""

NAMED = re.compile(r"(?<=[\w,;:] )(?:[A-Z][a-z]{2,}|[A-Z]+-?\d+)|\b[A-Z]{2,}-?\d+|\b\w+ \d{2,4}\b")
STANDING = re.compile(
    r"\b(?:always|never|every time|each time|from now on|for everything|any parcel|in future|for the future|as a rule)\b", re.IGNORECASE
)
REQUEST = re.compile(r"\b(?:could|can|would|may|might) (?:you|they|he|she|we|i)\b|\bif (?:it is|it's) possible\b", re.IGNORECASE)

ASKING = re.compile(
    r"^(?:(?:and|so|but|oh|hey|hi|ok|also|well),? )*"
    r"(?:do (?:you|they|i|we)|have (?:you|they)"
    r"|(?:did|does|are|is|has|any idea|got any)(?:n['’]?t)? (?:you|there|it|that|this|they|your|the|if|where|when|how|what|why|who))\b",
    re.IGNORECASE,
)
"""A question about the other side's affairs, with its question mark or without."""

BRIEF = 3
"""Words; a sentence of fewer says little, unless it tells what the speaker is or likes."""
SELF_DESCRIPTION = re.compile(r"(?:i['’]?m|i am) ([\w’'/-]+)[\s.!]*", re.IGNORECASE)
BARE_PREFERENCE = re.compile(r"(?:prefer|love|hate|dislike|detest|avoid) ([\w’'/-]+)[\s.!]*", re.IGNORECASE)
PASSING = frozenset(
    " ".join(
        (
            "absent afraid alive alone alright amazed amused angry annoyed anxious ashamed asleep astonished available awake aware away",
            "back baffled better bored broke busy calm certain clear clueless cold comfortable concerned confident confused content",
            "convinced curious delayed delighted desperate devastated disappointed disgusted distracted dizzy drained drunk dumb early",
            "easy elated elsewhere embarrassed excited exhausted fed fine finished first flexible floored free freezing frustrated full",
            "furious game glad gone good grateful great guilty gutted happy heartbroken here home honest hooked hopeful hopeless",
            "horrified hot hungry hurt hyped ill impatient impressed innocent inside interested intrigued irritated jealous joyful last",
            "late lonely lost lucky mad miserable mistaken nauseous nearby nervous new next numb offline ok online outside overjoyed",
            "overwhelmed peckish perplexed pleased positive prepared present proud pumped puzzled ready relaxed relieved restless sad",
            "safe satisfied scared serious set shocked sick sleepy sold sorry speechless starved stressed stuck stumped stunned sure",
            "surprised suspicious swamped tempted terrified thankful thirsty thrilled tired today tonight touched troubled unavailable",
            "unconvinced undecided uneasy unhappy unlucky unsure upset useless wary weary wet wonderful worn worried wrong",
        )
    ).split()
)
"""What somebody is for an hour or a day: "I'm fine" is no fact, "I'm vegetarian" is one. Words in -ing pass as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How durable a sentence is (about 0 small talk, about 1 a fact for good) and its likeliest kind."""

    score: float
    kind: FactKind


class Durability:
    """Holds the fitted weights: [dim + 1, kinds + 1], the last column for "none"."""

    def __init__(self, embedder: Embedder, cache: Path) -> None:
        vectors = kept_vectors(embedder, [text for text, _ in labelled_sentences()], cache)
        self._weights = fitted(vectors.tobytes(), vectors.shape[1])

    def judge(self, sentences: Sequence[str], vectors: Vectors) -> list[Verdict]:
        """Judge each sentence; `vectors` are its embeddings, [len(sentences), dim]."""
        if not sentences:
            return []
        predicted = with_bias(vectors) @ self._weights
        return [
            Verdict(score=float(1.0 - row[-1]) + cues(sentence), kind=KINDS[int(row[:-1].argmax())])
            for sentence, row in zip(sentences, predicted, strict=True)
        ]


@lru_cache(maxsize=4)  # nights of one process have the same embedder
def fitted(vectors: bytes, dim: int) -> np.ndarray[Any, np.dtype[np.floating[Any]]]:  # Any: as numpy types the solution
    """Ridge regression from the labelled sentences' vectors, float32 [sentences, dim], to their kinds: weights [dim + 1, kinds + 1]."""
    columns = (*KINDS, "none")
    targets = np.eye(len(columns))[[columns.index(kind) for _, kind in labelled_sentences()]]
    inputs = with_bias(np.frombuffer(vectors, dtype=np.float32).reshape(-1, dim))
    return np.linalg.solve(inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1]), inputs.T @ targets)


def with_bias(vectors: Vectors) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Add a constant column, so that the fit has an intercept."""
    return np.hstack([vectors.astype(np.float64), np.ones((len(vectors), 1))])


def cues(sentence: str) -> float:
    """What is added to the score for the marks that embeddings see badly: names and numbers, standing wishes, questions, brevity."""
    bonus = 0.0
    if NAMED.search(sentence):
        bonus += 0.15
    if STANDING.search(sentence):
        bonus += 0.15
    if ASKING.match(sentence):
        bonus -= 0.6
    elif sentence.rstrip().endswith("?") and not REQUEST.search(sentence):
        bonus -= 0.35
    if is_brief(sentence):
        bonus -= 0.4
    return bonus


def is_brief(sentence: str) -> bool:
    """Whether a sentence is too short to say anything that lasts. "I am" counts as the "I'm" that it is short for."""
    bare = sentence.strip()
    described = SELF_DESCRIPTION.fullmatch(bare)
    said = described or BARE_PREFERENCE.fullmatch(bare)
    if said is None:
        return len(words(sentence)) < BRIEF
    word = said[1].lower()
    return word in PASSING or not content_words(word) or (described is not None and word.endswith("ing"))
