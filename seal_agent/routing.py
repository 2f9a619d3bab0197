"""The router: which of text, weights, both or neither a question is answered from, and why.

Both is the rule. Weights alone, which costs no prompt tokens for context, only where the nearest fact was learnt by the live adapter,
nothing newer speaks of it, and the calibrated probability is high; the untouched base where the question is about something else; and
an honest "I don't know" where it is about the user and nothing is remembered. Where it is both, the text is there for what the weights
don't know, and `Shown` says what that is: a small model copies what stands in its prompt, relevant or not. The calibration is fitted from
the report of the night that trained the adapter, so each night brings its own. Deliberately asks no model.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from sqlalchemy import Connection

from seal_agent.calibration import Calibration, Evidence, fit
from seal_agent.errors import EmbeddingError, MissingDependencyError, ModelNotFoundError
from seal_agent.ledger.adapters import learning_of, nearest_live
from seal_agent.ledger.cycles import list_cycles
from seal_agent.ledger.entries import turn_vectors
from seal_agent.ledger.episodes import unextracted_ids
from seal_agent.ledger.facts import TOLD, fact_vectors, list_facts
from seal_agent.parts import Parts
from seal_agent.protocols import Vectors
from seal_agent.types import Adapter, Route, ScopeId
from seal_agent.whose import Whose, whose

logger = logging.getLogger(__name__)

ASKED_FOR = "asked for"

Place = tuple[str, str]
"""A scope's key and an entry's id: ids are a scope's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What of the memory stands in a prompt beside the weights."""

    entries: tuple[Place, ...] = ()
    """Facts, and turns that no night has read; the nearest first."""
    question: Vectors | None = field(default=None, compare=False)
    """[dim]; what else was said is shown if it is as near to this as `others_from`. None: nothing else is."""
    others_from: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """One decision."""

    route: Route
    why: str
    confidence: float | None = None
    abstained: bool = False
    shown: Shown | None = None
    """For "both": what completes the weights; None is the whole context, as for "text"."""
    adapter: str | None = None
    """The one whose knowledge was weighed; None where none was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is remembered and learnt in one scope, as the router needs it."""

    live: Adapter
    places: tuple[Place, ...]
    facts: Vectors
    """[facts, dim], in the order of `places`."""
    learnt: dict[str, float]
    """Facts that the live adapter answers rightly, with the probability noted then."""
    unread_places: tuple[Place, ...]
    unread: Vectors
    """[turns, dim] of episodes that no night has read yet, in the order of `unread_places`."""

    def evidence(self, question: Vectors) -> tuple[str, Evidence]:
        """The nearest fact, and what speaks for it; there is at least one."""
        near = self.facts @ question
        order = np.argsort(-near, kind="stable")
        best = self.places[int(order[0])][1]
        second = float(near[order[1]]) if len(order) > 1 else 0.0
        probability = self.learnt.get(best, 0.0)
        return best, Evidence(similarity=float(near[order[0]]), margin=float(near[order[0]]) - second, probability=probability)

    def newest(self, question: Vectors) -> float:
        """How near anything comes that no night has read; -1 where there is nothing."""
        return float((self.unread @ question).max()) if len(self.unread) else -1.0

    def near(self, question: Vectors, least: float) -> tuple[Place, ...]:
        """Facts and unread turns at least so near, the nearest first."""
        cosines = np.concatenate([self.facts @ question, self.unread @ question])
        places = self.places + self.unread_places
        return tuple(places[at] for at in np.argsort(-cosines, kind="stable") if cosines[at] >= least)


def choose(parts: Parts, scope: ScopeId, questions: Sequence[str], use: Route = "auto") -> list[Routed]:
    """Decide for each question, or where the route is `use` already, what is shown.

    Where anything is missing that the decision needs, it is both with the whole context.
    """
    if use not in ("auto", "both"):
        return [Routed(route=use, why=ASKED_FOR)] * len(questions)
    routed = decided(parts, scope, questions)
    if use == "auto":
        return routed
    return [replace(one, route="both", why=ASKED_FOR, confidence=None, abstained=False) for one in routed]


def decided(parts: Parts, scope: ScopeId, questions: Sequence[str]) -> list[Routed]:
    with parts.ledger.read() as connection:
        live = nearest_live(connection, scope)
        if live is None:
            return [Routed(route="both", why="no adapter is live")] * len(questions)
        known = known_of(connection, scope, live, parts.embedder_id)
    if known is None:
        return [Routed(route="both", why="not all that is remembered has a vector to compare with")] * len(questions)
    try:
        calibration = calibration_of(parts, known)
        if calibration is None:
            return [Routed(route="both", why="too few held-out questions to calibrate the weights")] * len(questions)
        vectors = parts.embedder.embed(questions)
    except (EmbeddingError, ModelNotFoundError, MissingDependencyError) as error:
        logger.warning("routing without an embedder: %s", error)
        return [Routed(route="both", why="no embedder is to be had")] * len(questions)
    least = parts.settings.routing.min_confidence
    found = [decide(whose(question, scope), vector, known, calibration, least) for question, vector in zip(questions, vectors, strict=True)]
    return [replace(one, adapter=live.name) for one in found]


def decide(speaks_of: Whose, vector: Vectors, known: Known, calibration: Calibration, least: float) -> Routed:
    """The rules, in order."""
    below = below_of(speaks_of, calibration)
    certain = calibration.elsewhere_below
    text = Shown(entries=known.near(vector, below), question=vector, others_from=certain)
    if known.newest(vector) >= below:
        return Routed(route="both", why="something newer than the adapter speaks of it", shown=text)
    fact, evidence = known.evidence(vector)
    if evidence.similarity < below:
        if speaks_of == "user":
            return Routed(route="base", why="neither text nor weights know anything near it", abstained=True, shown=text)
        return Routed(route="base", why="nothing that is remembered is near it: it is about something else", shown=Shown())
    if fact not in known.learnt:
        return Routed(route="both", why="the nearest fact is not in the weights", shown=text)
    confidence = calibration.confidence(evidence)
    if confidence < least:
        why = f"the weights are sure by {confidence:.2f}, {least:.2f} is asked for"
        return Routed(route="both", why=why, confidence=confidence, shown=text)
    # The weights know it, and there is nothing to complete: the line that is nearest need not be the one that answers.
    return Routed(route="weights", why=f"the weights learnt it and are sure by {confidence:.2f}", confidence=confidence, shown=Shown())


def below_of(speaks_of: Whose, calibration: Calibration) -> float:
    """The cosine to the nearest fact below which a question is about something else."""
    if speaks_of == "others":
        return calibration.elsewhere_below
    return calibration.either_below if speaks_of == "perhaps" else calibration.off_topic_below


def known_of(connection: Connection, scope: ScopeId, live: Adapter, embedder_id: str) -> Known | None:
    """What can be compared with a question; None where there is no fact, or something that has no vector of this embedder yet."""
    told = {fact.id: fact.scope.key for fact in list_facts(connection, scope, states=TOLD, inherit=True)}
    vectors = fact_vectors(connection, list(told), embedder_id)
    rest = told.keys() - vectors.keys()
    if rest and fact_vectors(connection, rest):
        return None  # some are of another embedder, until a search has embedded them anew
    dim = max((vector.shape[0] for vector in vectors.values()), default=0)
    usable = {(told[fact], fact): vector for fact, vector in vectors.items() if vector.shape == (dim,)}
    if not usable:
        return None
    newer: dict[Place, Vectors] = {}
    for seen in (scope, *scope.ancestors):
        unread = unextracted_ids(connection, seen)
        for turn, vector in turn_vectors(connection, seen.key, unread, embedder_id).items():
            if vector is None or vector.shape != (dim,):
                return None  # what may speak of the question can't be compared with it
            newer[seen.key, turn] = vector
    return Known(
        live=live,
        places=tuple(usable),
        facts=np.stack(list(usable.values())),
        learnt={fact: chance or 0.0 for fact, (learned, chance) in learning_of(connection, live.name).items() if learned},
        unread_places=tuple(newer),
        unread=np.stack(list(newer.values())) if newer else np.zeros((0, dim), dtype=np.float32),
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
