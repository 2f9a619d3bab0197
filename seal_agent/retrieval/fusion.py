"""One score out of several: the weighted sum of normalised scores.

Pure functions over arrays of one number per entry. Sums of scores, not of ranks: on LoCoMo, reciprocal rank fusion lets the weaker dense
list drag the lexical one down (recall@10 48.6 % against 60.4 % for BM25 alone; six lists 73.1 %), while summed scores beat each of their
parts. What is searched is not known here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seal_agent.config import RetrievalSettings
from seal_agent.retrieval.bm25 import Lexical
from seal_agent.retrieval.catalogue import Catalogue, Numbers

FLAT = 1e-6
"""Differences of cosines up to here are rounding of float32, not meaning."""
NEAR = (0.7, 0.4)
"""How much the turns one and two before or after count beside the turn itself, when meaning is compared around it."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """What is known of each entry of one catalogue; an entry that no arm knows of is no result."""

    catalogue: Catalogue
    lexical: Lexical
    spoken_of: Numbers
    """1 for what was said by somebody whom the query names, else 0."""
    cosines: Numbers
    """With the query; NaN where it is not known."""
    allowed: Mask
    """Which entries meet the conditions of the search."""


def fuse(arms: Sequence[Arms], mean_cosine: float, weights: RetrievalSettings) -> list[Numbers]:
    """Return one score per entry of each catalogue, minus infinity for what is no result.

    BM25 is divided by the query's best; cosines, which crowd together, by how far the best stands out over `mean_cosine`. What does not
    meet the conditions sets no best.
    """
    above = [arm.cosines - mean_cosine for arm in arms]
    around = [near(arm.catalogue, height) for arm, height in zip(arms, above, strict=True)]
    masks = [arm.allowed for arm in arms]
    parts = [
        (weights.turn_weight, shares([arm.lexical.turns for arm in arms], masks)),
        (weights.window_weight, shares([arm.lexical.windows for arm in arms], masks)),
        (weights.conversation_weight, shares([arm.lexical.conversations for arm in arms], masks)),
        (weights.speaker_weight, [arm.spoken_of for arm in arms]),
        (weights.dense_weight, heights(above, masks)),
        (weights.near_weight, heights(around, masks)),
    ]
    scores: list[Numbers] = []
    for number, arm in enumerate(arms):
        score = np.sum([weight * part[number] for weight, part in parts], axis=0)
        score[~(arm.allowed & is_known(arm, weights))] = -np.inf
        scores.append(score)
    return scores


def is_known(arm: Arms, weights: RetrievalSettings) -> Mask:
    """Which entries an arm that counts has found; being in the same conversation as a word is too little."""
    by_words = (arm.lexical.windows > 0.0) if weights.turn_weight or weights.window_weight else np.zeros(len(arm.allowed), dtype=np.bool_)
    by_meaning = np.isfinite(arm.cosines) if weights.dense_weight or weights.near_weight else np.zeros_like(by_words)
    return by_words | by_meaning


def shares(values: Sequence[Numbers], masks: Sequence[Mask]) -> list[Numbers]:
    """Each divided by the best."""
    highest = best(values, masks)
    return [value / highest if highest > 0.0 else np.zeros_like(value) for value in values]


def heights(above: Sequence[Numbers], masks: Sequence[Mask]) -> list[Numbers]:
    """1 for the best, 0 at the mean and for the unknown. Where nothing stands out, a single entry for one, all that is known score 1."""
    highest = best(above, masks)
    if highest <= FLAT:
        return [np.isfinite(height).astype(np.float64) for height in above]
    return [np.nan_to_num(height / highest, nan=0.0) for height in above]


def best(values: Iterable[Numbers], masks: Iterable[Mask]) -> float:
    """The highest known value among the allowed; 0 when nothing is higher."""
    known = [value[mask & np.isfinite(value)] for value, mask in zip(values, masks, strict=True)]
    return max((float(part.max()) for part in known if len(part)), default=0.0)


def near(catalogue: Catalogue, values: Numbers) -> Numbers:
    """The weighted mean over an entry and its neighbours, as far as these are known."""
    if not len(values) or not np.isfinite(values).any():
        return values
    known = np.append(np.isfinite(values), False).astype(np.float64)
    padded = np.append(np.nan_to_num(values, nan=0.0), 0.0)
    sums, counts = padded[:-1].copy(), known[:-1].copy()
    one_before, two_before, one_after, two_after = catalogue.neighbours(np.arange(len(values)))
    for weight, places in ((NEAR[0], one_before), (NEAR[0], one_after), (NEAR[1], two_before), (NEAR[1], two_after)):
        sums += weight * padded[places]
        counts += weight * known[places]
    means: Numbers = np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0.0)
    return means
