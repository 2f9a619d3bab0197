"""The data that comes with the package (`general/`): what is general about people and about models, nothing about anybody.

Read-only, loaded once. Vectors of these texts are kept in the brain's cache, because embedding a thousand sentences takes seconds.
"""

import contextlib
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from seal_agent.protocols import Embedder, Vectors
from seal_agent.types import FactKind, Probe, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Something that people say of themselves: how they say it, and how one asks for it (third person with `{name}`, first person)."""

    name: str
    kind: FactKind
    statements: tuple[str, ...]
    questions: tuple[tuple[str, str], ...]


def _rows(name: str) -> list[dict[str, Any]]:  # Any: each file has its own fields; the functions below name them
    text = files("seal_agent.consolidation").joinpath("general", f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


@functools.cache
def anchor_prompts() -> tuple[str, ...]:
    """Everyday prompts whose answers by the base model are mixed into training."""
    return tuple(row["prompt"] for row in _rows("anchors") if row["kind"] != "unknown")


@functools.cache
def anchor_texts() -> tuple[str, ...]:
    """Plain prose on which the model is held to the base's predictions; none of it is in `general_texts`."""
    return tuple(row["text"] for row in _rows("anchor_texts"))


@functools.cache
def general_questions(name: str = "questions") -> tuple[Question, ...]:
    """Easy questions of general knowledge, none of them among the anchors."""
    return tuple(
        Question(id=f"general-{place}", text=row["question"], answers=tuple(row["answers"])) for place, row in enumerate(_rows(name))
    )


@functools.cache
def probes() -> tuple[Probe, ...]:
    """What is asked of every candidate beside facts and general knowledge: formats, harmful requests, what nobody could know."""
    unknown = [Probe(id=f"abstention-{place}", kind="abstention", prompt=row["prompt"]) for place, row in enumerate(of_kind("unknown"))]
    return (
        *(
            Probe(id=f"{row['kind']}-{place}", kind=row["kind"], prompt=row["prompt"], pattern=row["pattern"])
            for place, row in enumerate(_rows("probes"))
        ),
        *unknown,
    )


def of_kind(kind: str) -> list[dict[str, Any]]:  # Any: see `_rows`
    return [row for row in _rows("anchors") if row["kind"] == kind]


@functools.cache
def general_texts() -> tuple[str, ...]:
    """Plain prose to measure perplexity on."""
    return tuple(row["text"] for row in _rows("texts"))


@functools.cache
def labelled_sentences() -> tuple[tuple[str, str], ...]:
    """(What somebody typed, the kind of fact in it or "none")."""
    return tuple((row["text"], row["kind"]) for row in _rows("sentences"))


@functools.cache
def topics() -> tuple[Topic, ...]:
    return tuple(
        Topic(
            name=row["topic"],
            kind=row["kind"],
            statements=tuple(row["statements"]),
            questions=tuple((question["third"], question["first"]) for question in row["questions"]),
        )
        for row in _rows("topics")
    )


def kept_vectors(embedder: Embedder, texts: Sequence[str], cache: Path) -> Vectors:
    """Embed texts that never change, or read what an earlier call kept: float32 [len(texts), dim]."""
    content = hashlib.sha256("\n".join([embedder.id, *texts]).encode()).hexdigest()[:16]
    kept = cache / f"vectors-{content}.npy"
    if kept.exists():
        with contextlib.suppress(OSError, ValueError, EOFError):  # damaged: it is made anew
            loaded: Vectors = np.load(kept, allow_pickle=False)
            if loaded.shape == (len(texts), embedder.dim):
                return loaded
    vectors = embedder.embed(texts)
    cache.mkdir(parents=True, exist_ok=True)
    draft = kept.with_suffix(".tmp.npy")
    np.save(draft, vectors, allow_pickle=False)
    draft.replace(kept)
    return vectors
