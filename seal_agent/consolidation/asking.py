"""How one would ask for a fact: the topics it belongs to, and the questions that these are asked with.

A fact's topics are those whose example statements and questions lie nearest to it by embedding. A question that two facts of a scope
could answer goes to the nearer one only, so that no question is taught with two answers; a fact whose topics others took is asked for by
its own words. Deterministic; no language model is asked.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seal_agent.consolidation.bundled import Topic, kept_vectors, topics
from seal_agent.consolidation.sentences import clauses, content_spans, content_words
from seal_agent.protocols import Embedder, Vectors
from seal_agent.types import Fact

QUESTION_SHARE = 0.5
"""Weight of the similarity to a topic's questions beside that to its example statements."""
LEAST = 0.5
"""Least similarity of a topic that counts, on the scale of `Topics.rank`."""
MOST_TOPICS = 3
"""Per fact."""
ASKED_PER_FACT = 18
"""Most ways to ask for a fact that are looked up, before some are held out."""
FEW = 4
"""Ways to ask for a fact that no topic is near to: some of its best topic, enough to teach and judge it by."""
BY_OWN_WORDS = (
    ("What has {name} said about {words}?", "What have I said about {words}?"),
    ("Is there anything about {words} and {name}?", "Is there anything about {words} and me?"),
    ("{words}: what about {name}?", "{words}: what about me?"),
)
"""In third and first person."""
MOST_BY_OWN_WORDS = 8


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

    def rank_facts(self, facts: Sequence[Fact]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """Similarity of each fact to each topic, [facts, topics]: that of its nearest clause, or of the whole."""
        parts = [clauses(fact.quote) for fact in facts]
        similarity = self.rank(self._embedder.embed([part for own in parts for part in own]))
        ends = np.cumsum([len(own) for own in parts])
        return np.stack([similarity[end - len(own) : end].max(axis=0) for own, end in zip(parts, ends, strict=True)])

    def questions(self, facts: Sequence[Fact], per_fact: int) -> list[list[Asked]]:
        """For each fact the questions that ask for it, best topic first, at most `per_fact`."""
        if not facts:
            return []
        similarity = self.rank_facts(facts)
        near = shared_out(similarity, LEAST, MOST_TOPICS)
        stopgaps = self._stopgaps(similarity, near)
        words = own_words(facts)
        chosen: list[list[Asked]] = []
        for row, fact in enumerate(facts):
            if topics := near[row] or stopgaps[row]:
                ways = [item for topic in topics for item in self._asked(self._topics[topic], fact, float(similarity[row, topic]))]
                chosen.append(ways[: per_fact if near[row] else min(per_fact, FEW)])
            else:
                chosen.append(by_own_words(fact, words[row])[: min(per_fact, MOST_BY_OWN_WORDS)])
        return chosen

    def _stopgaps(self, similarity: np.ndarray[tuple[int, int], np.dtype[np.float64]], near: list[list[int]]) -> list[list[int]]:
        """For the facts that no topic is near to, one that nobody took.

        Only of the topics that lie nearest to the fact: in a scope of many facts what is left of the others has nothing to do with it.
        """
        left = np.full_like(similarity, -np.inf)
        best = np.argsort(-similarity, axis=1, kind="stable")[:, :MOST_TOPICS]
        np.put_along_axis(left, best, np.take_along_axis(similarity, best, axis=1), axis=1)
        left[:, [topic for own in near for topic in own]] = -np.inf
        left[[bool(own) for own in near]] = -np.inf
        return shared_out(left, np.finfo(left.dtype).min, 1)

    def _asked(self, topic: Topic, fact: Fact, similarity: float) -> list[Asked]:
        name = fact.scope.subject
        return [
            Asked(third=third.replace("{name}", name), first=first, topic=topic.name, similarity=similarity)
            for third, first in topic.questions
        ]


def shared_out(similarity: np.ndarray[tuple[int, int], np.dtype[np.float64]], least: float, most: int) -> list[list[int]]:
    """Share topics out among facts, nearest pairs first: [facts] of topics, best first, at most `most` each and none below `least`.

    A topic goes to one fact only, so that no question is taught with two answers; what a fact with enough leaves goes to the next nearest.
    """
    chosen: list[list[int]] = [[] for _ in similarity]
    taken: set[int] = set()
    for place in np.argsort(-similarity, axis=None, kind="stable"):
        row, topic = divmod(int(place), similarity.shape[1])
        if similarity[row, topic] < least:
            break
        if topic not in taken and len(chosen[row]) < most:
            chosen[row].append(topic)
            taken.add(topic)
    return chosen


def own_words(facts: Sequence[Fact]) -> list[list[str]]:
    """Of each fact the runs of content words that ask for no other one, longest first; else all of its words together, if they do."""
    said = [set(content_words(fact.quote)) for fact in facts]
    counts = Counter(word for words in said for word in words)
    chosen: list[list[str]] = []
    for place, fact in enumerate(facts):
        spans = sorted(dict.fromkeys(content_spans(fact.quote)), key=lambda span: -len(span))
        telling = [span for span in spans if any(counts[word] == 1 for word in content_words(span))]
        shared = any(said[place] <= others for other, others in enumerate(said) if other != place)
        chosen.append(telling or ([] if shared or not spans else [" ".join(content_spans(fact.quote))]))
    return chosen


def by_own_words(fact: Fact, spans: Sequence[str]) -> list[Asked]:
    """Ask for a fact by what it speaks of, each of its words before the next frame."""
    name = fact.scope.subject
    return [
        Asked(third=third.format(name=name, words=words), first=first.format(words=words), topic=words, similarity=0.0)
        for third, first in BY_OWN_WORDS
        for words in spans
    ]


def taking_turns(asked: Sequence[Asked]) -> list[Asked]:
    """One way of each topic in turn: the best topic may be the wrong one, so the others must not come only once it is used up."""
    topics = dict.fromkeys(item.topic for item in asked)
    columns = [[item for item in asked if item.topic == topic] for topic in topics]
    return [item for row in itertools.zip_longest(*columns) for item in row if item is not None]


def grouped(similarity: Vectors, sizes: Sequence[int], best: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Mean of the `best` highest similarities within each group of columns."""
    columns: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
    start = 0
    for size in sizes:
        part = np.sort(similarity[:, start : start + size].astype(np.float64), axis=1)[:, -best:]
        columns.append(part.mean(axis=1))
        start += size
    return np.stack(columns, axis=1)
