"""How one would ask for a fact: the topics it belongs to, and the questions that these are asked with.

A fact's topics are those whose example statements and questions lie nearest to it by embedding. A question that two facts of a scope
could answer goes to the nearer one only, so that no question is taught with two answers. Deterministic; no language model is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seal_agent.consolidation.bundled import Topic, kept_vectors, topics
from seal_agent.protocols import Embedder, Vectors
from seal_agent.types import Fact

QUESTION_SHARE = 0.5
"""Weight of the similarity to a topic's questions beside that to its example statements."""
LEAST = 0.42
"""Least similarity of a topic that counts, on the scale of `Topics.rank`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One way to ask for a fact, in both persons."""

    third: str
    first: str
    topic: str
    similarity: float


class Topics:
    """The bundled topics, embedded."""

    def __init__(self, embedder: Embedder, cache: Path) -> None:
        self._topics = topics()
        self._embedder = embedder
        self._statements = kept_vectors(embedder, [s for topic in self._topics for s in topic.statements], cache)
        self._questions = kept_vectors(embedder, [first for topic in self._topics for _, first in topic.questions], cache)

    def rank(self, vectors: Vectors) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """Similarity of each text to each topic: [texts, topics]."""
        said = grouped(vectors @ self._statements.T, [len(topic.statements) for topic in self._topics], best=2)
        asked = grouped(vectors @ self._questions.T, [len(topic.questions) for topic in self._topics], best=2)
        return said + QUESTION_SHARE * asked

    def questions(self, facts: Sequence[Fact], vectors: Vectors, per_fact: int) -> list[list[Asked]]:
        """For each fact the questions that ask for it, best topic first, at most `per_fact`."""
        similarity = self.rank(vectors)
        owner = similarity.argmax(axis=0)
        chosen: list[list[Asked]] = []
        for row in range(len(facts)):
            order = np.argsort(-similarity[row], kind="stable")[:4]
            mine = [place for rank, place in enumerate(order) if owner[place] == row and (rank == 0 or similarity[row, place] >= LEAST)]
            asked = [item for place in mine for item in self._asked(self._topics[place], facts[row], float(similarity[row, place]))]
            chosen.append(asked[:per_fact])
        return chosen

    def _asked(self, topic: Topic, fact: Fact, similarity: float) -> list[Asked]:
        name = fact.scope.subject
        return [
            Asked(third=third.replace("{name}", name), first=first, topic=topic.name, similarity=similarity)
            for third, first in topic.questions
        ]


def grouped(similarity: Vectors, sizes: Sequence[int], best: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Mean of the `best` highest similarities within each group of columns."""
    columns: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
    start = 0
    for size in sizes:
        part = np.sort(similarity[:, start : start + size].astype(np.float64), axis=1)[:, -best:]
        columns.append(part.mean(axis=1))
        start += size
    return np.stack(columns, axis=1)
