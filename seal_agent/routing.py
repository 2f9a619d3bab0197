"""The router: which of text, weights, both or neither a question is answered from, and why.

Both is the rule. Weights alone, which costs no prompt tokens for context, only where the nearest fact was learnt by the live adapter,
nothing newer speaks of it, and the calibrated probability is high; the untouched base where the question is about something else; and
an honest "I don't know" where it is about the user and nothing is remembered. The calibration is fitted from the report of the night
that trained the adapter, so each night brings its own. Deliberately asks no model.
"""

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection

from seal_agent.calibration import Calibration, Evidence, fit
from seal_agent.errors import EmbeddingError, MissingDependencyError, ModelNotFoundError
from seal_agent.ledger.adapters import learning_of, nearest_live
from seal_agent.ledger.cycles import list_cycles
from seal_agent.ledger.entries import vectors_of_episodes
from seal_agent.ledger.episodes import list_episodes
from seal_agent.ledger.facts import TOLD, fact_vectors, list_facts
from seal_agent.parts import Parts
from seal_agent.protocols import Vectors
from seal_agent.types import Adapter, Route, ScopeId

logger = logging.getLogger(__name__)

ABOUT_ONESELF = frozenset({"i", "me", "my", "mine", "myself", "we", "us", "our", "ours"})
"""English only: in other languages the router never abstains."""
ENGLISH = frozenset({"what", "which", "who", "whose", "where", "when", "why", "how", "is", "are", "does", "do", "the", "of"})
"""By these an English question is known: what the other rule reads out of missing words must not be read out of another language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """One decision."""

    route: Route
    why: str
    confidence: float | None = None
    abstained: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is remembered and learnt in one scope, as the router needs it."""

    live: Adapter
    fact_ids: tuple[str, ...]
    facts: Vectors
    """[facts, dim], in the order of `fact_ids`."""
    learnt: dict[str, float]
    """Facts that the live adapter answers rightly, with the probability noted then."""
    unread: Vectors
    """[turns, dim] of episodes that no night has read yet."""

    def evidence(self, question: Vectors) -> tuple[str, Evidence]:
        """The nearest fact, and what speaks for it; there is at least one."""
        near = self.facts @ question
        order = np.argsort(-near, kind="stable")
        best = self.fact_ids[int(order[0])]
        second = float(near[order[1]]) if len(order) > 1 else 0.0
        probability = self.learnt.get(best, 0.0)
        return best, Evidence(similarity=float(near[order[0]]), margin=float(near[order[0]]) - second, probability=probability)


def choose(parts: Parts, scope: ScopeId, questions: Sequence[str]) -> list[Routed]:
    """Decide for each question; where anything is missing that the decision needs, it is both."""
    with parts.ledger.read() as connection:
        live = nearest_live(connection, scope)
        if live is None:
            return [Routed(route="both", why="no adapter is live")] * len(questions)
        known = known_of(connection, parts, scope, live)
    if known is None:
        return [Routed(route="both", why="no fact has a vector to compare with")] * len(questions)
    try:
        calibration = calibration_of(parts, known)
        if calibration is None:
            return [Routed(route="both", why="too few held-out questions to calibrate the weights")] * len(questions)
        vectors = parts.embedder.embed(questions)
    except (EmbeddingError, ModelNotFoundError, MissingDependencyError) as error:
        logger.warning("routing without an embedder: %s", error)
        return [Routed(route="both", why="no embedder is to be had")] * len(questions)
    least = parts.settings.routing.min_confidence
    return [decide(question, vector, known, calibration, least) for question, vector in zip(questions, vectors, strict=True)]


def decide(question: str, vector: Vectors, known: Known, calibration: Calibration, least: float) -> Routed:
    """The rules, in order."""
    fact, evidence = known.evidence(vector)
    newer = float((known.unread @ vector).max()) if len(known.unread) else -1.0
    below = calibration.elsewhere_below if speaks_of_others(question, known.live.scope) else calibration.off_topic_below
    if newer >= below:
        return Routed(route="both", why="something newer than the adapter speaks of it")
    if evidence.similarity < below:
        if is_about(question, known.live.scope):
            return Routed(route="base", why="neither text nor weights know anything near it", abstained=True)
        return Routed(route="base", why="nothing that is remembered is near it: it is about something else")
    if fact not in known.learnt:
        return Routed(route="both", why="the nearest fact is not in the weights")
    confidence = calibration.confidence(evidence)
    if confidence < least:
        return Routed(route="both", why=f"the weights are sure by {confidence:.2f}, {least:.2f} is asked for", confidence=confidence)
    return Routed(route="weights", why=f"the weights learnt it and are sure by {confidence:.2f}", confidence=confidence)


def is_about(question: str, scope: ScopeId) -> bool:
    """Whether a question is about the user: only then is not knowing an answer."""
    words = words_of(question)
    return bool(words & ABOUT_ONESELF) or (scope.user is not None and set(scope.subject.lower().split()) <= words)


def words_of(question: str) -> set[str]:
    """In lower case; "US" is a country."""
    return {word.lower() for word in re.findall(r"\w+", question) if word != "US"}


def speaks_of_others(question: str, scope: ScopeId) -> bool:
    """Whether an English question in a user's scope names neither the user nor "me": then it takes more nearness to be about them."""
    words = words_of(question)
    return scope.user is not None and bool(words & ENGLISH) and not is_about(question, scope)


def known_of(connection: Connection, parts: Parts, scope: ScopeId, live: Adapter) -> Known | None:
    told = [fact.id for fact in list_facts(connection, scope, states=TOLD, inherit=True)]
    vectors = fact_vectors(connection, told)
    dim = max((vector.shape[0] for vector in vectors.values()), default=0)
    usable = {fact: vector for fact, vector in vectors.items() if vector.shape == (dim,)}
    if not usable:
        return None
    newer: list[Vectors] = []
    for seen in (scope, *scope.ancestors):
        unread = [episode.id for episode in list_episodes(connection, seen, unextracted_only=True)]
        newer += [vector for vector in vectors_of_episodes(connection, seen.key, unread) if vector.shape == (dim,)]
    return Known(
        live=live,
        fact_ids=tuple(usable),
        facts=np.stack(list(usable.values())),
        learnt={fact: chance or 0.0 for fact, (learned, chance) in learning_of(connection, live.name).items() if learned},
        unread=np.stack(newer) if newer else np.zeros((0, dim), dtype=np.float32),
    )


def calibration_of(parts: Parts, known: Known) -> Calibration | None:
    """The live adapter's, fitted at the first question that it is live for."""
    name = known.live.name
    if name not in parts.calibrations:
        parts.calibrations[name] = fitted(parts, known)
    return parts.calibrations[name]


def fitted(parts: Parts, known: Known) -> Calibration | None:
    with parts.ledger.read() as connection:
        reports = [row.report for row in list_cycles(connection, known.live.scope) if row.id == known.live.cycle_id]
    evaluation = (json.loads(reports[0] or "{}") if reports else {}).get("evaluation")
    if not evaluation:
        return None
    held_out, general = evaluation["candidate"]["held_out"], evaluation["candidate"]["general"]
    texts = [graded["question"]["text"] for graded in (*held_out, *general)]
    if not texts:
        return None
    vectors = parts.embedder.embed(texts)
    evidence = [known.evidence(vector)[1] for vector in vectors]
    asked = list(zip(evidence, [bool(graded["correct"]) for graded in held_out], strict=False))
    return fit(asked, [seen.similarity for seen in evidence[len(held_out) :]])
