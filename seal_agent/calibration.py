"""How sure the weights alone can be of an answer: a probability fitted on one night's held-out questions.

Logistic regression (Platt 1999) on what is known before the model is asked anything: how near the question is to the nearest fact, how
much nearer than to the next one, and how well that fact was learnt. Deliberately no model, no store and no decision.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FEWEST = 8
"""Held-out questions below which nothing is fitted: a threshold from three answers is a guess."""
RIDGE = 0.1
STEPS = 30
OFF_TOPIC_QUANTILE = 0.05
"""Share of held-out questions that may lie below what counts as off topic."""

ELSEWHERE_QUANTILE = 0.95
"""Share of general questions that count as off topic where the words say nothing to the contrary."""
EITHER_QUANTILE = 0.9
"""The same where the words may speak of the user or of everybody."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a question before it is asked."""

    similarity: float
    """Cosine to the nearest fact."""
    margin: float
    """By how much that is nearer than the next fact."""
    probability: float
    """Of that fact's answer on its own held-out questions, by the adapter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Fitted for one adapter."""

    bias: float
    weights: tuple[float, float, float]
    off_topic_below: float
    """Cosine to the nearest fact below which a question is about something else."""
    either_below: float
    """The same for a question whose words may speak of the user or of everybody: most general questions lie below."""
    elsewhere_below: float
    """The same for a question whose words don't speak of the user: nearly all general questions lie below."""
    asked: int
    """Held-out questions that it was fitted on."""

    def confidence(self, evidence: Evidence) -> float:
        """Probability that the weights alone answer this rightly."""
        return float(sigmoid(self.bias + np.dot(self.weights, features(evidence))))


def fit(held_out: Sequence[tuple[Evidence, bool]], off_topic: Sequence[float]) -> Calibration | None:
    """Fit on held-out questions, each with whether it was answered rightly, and on the similarities of general questions.

    None where too little was asked.
    """
    if len(held_out) < FEWEST:
        return None
    x = np.stack([np.array([1.0, *features(evidence)]) for evidence, _ in held_out])
    y = smoothed(np.array([float(right) for _, right in held_out]))
    ridge = RIDGE * np.diag([0.0, 1.0, 1.0, 1.0])
    weights = np.zeros(x.shape[1])
    for _ in range(STEPS):  # Newton's method; the ridge keeps it well-posed when all were right
        chances = sigmoid(x @ weights)
        curvature = x.T @ (x * (chances * (1 - chances))[:, None]) + ridge + 1e-9 * np.eye(x.shape[1])
        weights = weights - np.linalg.solve(curvature, x.T @ (chances - y) + ridge @ weights)
    similar = np.array([evidence.similarity for evidence, _ in held_out])
    bias, *rest = (float(weight) for weight in weights)
    below = off_topic_below(similar, np.array(off_topic))
    either, elsewhere = (
        max(below, float(np.quantile(off_topic, share))) if len(off_topic) else below for share in (EITHER_QUANTILE, ELSEWHERE_QUANTILE)
    )
    return Calibration(
        bias=bias,
        weights=(rest[0], rest[1], rest[2]),
        off_topic_below=below,
        either_below=either,
        elsewhere_below=elsewhere,
        asked=len(held_out),
    )


def smoothed(y: Floats) -> Floats:
    """Platt's targets: certainty is not to be had from a few answers."""
    right = float(y.sum())
    wrong = len(y) - right
    return np.where(y > 0, (right + 1) / (right + 2), 1 / (wrong + 2))


def off_topic_below(similar: Floats, off_topic: Floats) -> float:
    """The cosine that best parts the two, but hardly any question about a fact may lie below."""
    if not len(off_topic):
        return -1.0
    places = np.unique(np.concatenate([similar, off_topic]))
    parted = [float((similar >= place).mean() + (off_topic < place).mean()) for place in places]
    return float(min(places[int(np.argmax(parted))], np.quantile(similar, OFF_TOPIC_QUANTILE)))


def features(evidence: Evidence) -> Floats:
    return np.array([evidence.similarity, evidence.margin, evidence.probability])


def sigmoid(x: Floats | float) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -50.0, 50.0))), dtype=np.float64)
