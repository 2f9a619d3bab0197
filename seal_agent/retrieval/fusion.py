"""One ranking out of several: the weighted sum of normalised scores.

Pure functions. Sums of scores, not of ranks: on LoCoMo, reciprocal rank fusion let the weaker dense list drag the lexical one down
(recall@10 48.6 % against 60.4 % for BM25 alone), while summed scores beat both. What is searched is not known here.
"""

from collections.abc import Sequence

Scored = tuple[str, float]


def fuse(lists: Sequence[tuple[float, Sequence[Scored]]]) -> list[Scored]:
    """Return every id with the weighted sum of its normalised scores, best first.

    Each list is a weight and its `(id, score)` pairs, already normalised. An id that a list lacks scores 0 there. Equal sums are ordered
    by the best place in any list, then by id, so that the same lists always give the same ranking.
    """
    sums: dict[str, float] = {}
    places: dict[str, int] = {}
    for weight, scored in lists:
        for place, (entry_id, score) in enumerate(scored):
            sums[entry_id] = sums.get(entry_id, 0.0) + weight * score
            places[entry_id] = min(place, places.get(entry_id, place))
    return sorted(sums.items(), key=lambda item: (-item[1], places[item[0]], item[0]))


def share_of_best(scored: Sequence[Scored]) -> list[Scored]:
    """Normalise BM25 scores: each divided by the query's best."""
    best = max((score for _, score in scored), default=0.0)
    return [(entry_id, score / best if best > 0.0 else 0.0) for entry_id, score in scored]


def height_over_mean(scored: Sequence[Scored], mean: float) -> list[Scored]:
    """Normalise cosines: 0 at or below the mean, 1 for the best.

    Cosines of one embedder crowd together; what tells is how far one stands out. Where none does (a single entry), all score 1.
    """
    reach = max((score for _, score in scored), default=mean) - mean
    if reach <= FLAT:
        return [(entry_id, 1.0) for entry_id, _ in scored]
    return [(entry_id, max(0.0, (score - mean) / reach)) for entry_id, score in scored]


FLAT = 1e-6
"""Differences of cosines up to here are rounding of float32, not meaning."""
