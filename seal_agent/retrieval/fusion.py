"""One score out of several: the weighted sum of normalised scores.

Pure functions over arrays of one number per entry. Sums of scores, not of ranks: on LoCoMo, reciprocal rank fusion lets the weaker dense
list drag the lexical one down (recall@10 48.6 % against 60.4 % for BM25 alone; six lists 73.1 %), while summed scores beat each of their
parts. What is searched is not known here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from seal_agent.config import RetrievalSettings
from seal_agent.ledger.postings import Seqs
from seal_agent.retrieval.bm25 import Lexical
from seal_agent.retrieval.catalogue import Catalogue, Numbers, Positions

FLAT = 1e-6
"""Differences of cosines up to here are rounding of float32, not meaning."""
NEAR = (0.7, 0.4)
"""How much the turns one and two before or after count beside the turn itself, when meaning is compared around it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """What is known of each entry of one catalogue; an entry that no arm knows of is no result."""

    catalogue: Catalogue
    lexical: Lexical
    spoken_of: Numbers
    """1 for what was said by somebody whom the query names, else 0."""
    cosines: Numbers
    """With the query; NaN where it is not known."""
    allowed: Seqs | None
    """Sequence numbers of what meets the conditions of the search, of other catalogues as well; None when there are none."""


@dataclass(frozen=True, slots=True)
class Fused:
    """The results in one catalogue: their sequence numbers, ascending, and their scores."""

    seqs: Seqs
    scores: Numbers


def fuse(arms: Sequence[Arms], mean_cosine: float, weights: RetrievalSettings) -> list[Fused]:
    """Return the results in each catalogue.

    BM25 is divided by the query's best; cosines, which crowd together, by how far the best stands out over `mean_cosine`. What is no result
    sets no best. Of a large scope few entries are results, so only these are worked on.
    """
    places = [results(arm, weights) for arm in arms]

    def at(values: Sequence[Numbers]) -> list[Numbers]:
        return [value[where] for value, where in zip(values, places, strict=True)]

    around = [near(arm.catalogue, arm.cosines, where) - mean_cosine for arm, where in zip(arms, places, strict=True)]
    conversations = [arm.lexical.conversations[arm.catalogue.conversations[where]] for arm, where in zip(arms, places, strict=True)]
    parts = [
        (weights.turn_weight, shares(at([arm.lexical.turns for arm in arms]))),
        (weights.window_weight, shares(at([arm.lexical.windows for arm in arms]))),
        (weights.conversation_weight, shares(conversations)),
        (weights.speaker_weight, at([arm.spoken_of for arm in arms])),
        (weights.dense_weight, heights([cosines - mean_cosine for cosines in at([arm.cosines for arm in arms])])),
        (weights.near_weight, heights(around)),
    ]
    scores = [np.sum([weight * part[number] for weight, part in parts], axis=0) for number in range(len(arms))]
    return [Fused(arm.catalogue.seqs[where], score) for arm, where, score in zip(arms, places, scores, strict=True)]


def results(arm: Arms, weights: RetrievalSettings) -> Positions:
    """Where the allowed entries are that an arm which counts has found; being in the same conversation as a word is too little."""
    found = np.zeros(len(arm.catalogue), dtype=np.bool_)
    if weights.turn_weight or weights.window_weight:
        found |= arm.lexical.windows > 0.0
    if weights.dense_weight or weights.near_weight:
        found |= np.isfinite(arm.cosines)
    places = np.flatnonzero(found)
    return places if arm.allowed is None else places[np.isin(arm.catalogue.seqs[places], arm.allowed)]


def shares(values: Sequence[Numbers]) -> list[Numbers]:
    """Each divided by the best."""
    highest = best(values)
    return [value / highest if highest > 0.0 else np.zeros_like(value) for value in values]


def heights(above: Sequence[Numbers]) -> list[Numbers]:
    """1 for the best, 0 at the mean and for the unknown. Where nothing stands out, a single entry for one, all that is known score 1."""
    highest = best(above)
    if highest <= FLAT:
        return [np.isfinite(height).astype(np.float64) for height in above]
    return [np.nan_to_num(height / highest, nan=0.0) for height in above]


def best(values: Iterable[Numbers]) -> float:
    """The highest known value; 0 when nothing is higher."""
    known = [value[np.isfinite(value)] for value in values]
    return max((float(part.max()) for part in known if len(part)), default=0.0)


def near(catalogue: Catalogue, values: Numbers, places: Positions) -> Numbers:
    """For each of the places the weighted mean over the entry there and its neighbours, as far as these are known; else NaN."""
    padded = np.append(values, np.nan)  # the place of a neighbour that is none
    sums, counts = np.zeros(len(places)), np.zeros(len(places))
    one_before, two_before, one_after, two_after = catalogue.neighbours(places)
    ways = ((1.0, places), (NEAR[0], one_before), (NEAR[0], one_after), (NEAR[1], two_before), (NEAR[1], two_after))
    for weight, beside in ways:
        value = padded[beside]
        known = np.isfinite(value)
        sums += weight * np.where(known, value, 0.0)
        counts += weight * known
    means: Numbers = np.divide(sums, counts, out=np.full(len(places), np.nan), where=counts > 0.0)
    return means
