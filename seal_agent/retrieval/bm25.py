"""BM25 over single turns, over windows of neighbouring turns, and over whole conversations.

An answer often shares no word with the question while the turn before it does ("Where will you move?" - "To Ghent, in May."). So a turn
is scored by its own words, by those of the window of two turns before and two after it, and by those of the conversation it is part of.

Pure functions over places. What windows and conversations hold is counted from their turns at search time: no second index, no second
copy of what people said, nothing to mend when a turn is forgotten. A turn holds a word or not: how often does not matter at this length
(0.2 points of recall@10 on LoCoMo). Words are counted over the scopes that the searcher may see, never over others'. Method: Robertson and
Zaragoza 2009, https://doi.org/10.1561/1500000019, with Lucene's inverse document frequency, which is never negative.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seal_agent.retrieval.catalogue import Catalogue, Numbers, Positions

K1 = 1.2
B = 0.75
SPARSE = 16
"""Of more units than so many times the given ones, sorting the given is faster than counting through all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexical:
    """Scores by words; 0 where no word of the query occurs."""

    turns: Numbers
    """One per entry of a catalogue."""
    windows: Numbers
    """One per entry, of the window around it."""
    conversations: Numbers
    """One per conversation."""


Count = Callable[[Catalogue, Positions], tuple[Positions, Numbers]]
"""From the places where a word stands to the units that hold it, ascending, and how many of each unit's turns do."""


def bm25(catalogues: Sequence[Catalogue], words: Sequence[Sequence[Positions]]) -> list[Lexical]:
    """Score every entry. `words[w][c]` are the places of word `w` in catalogue `c`, ascending."""
    turns = scored(catalogues, words, [catalogue.characters for catalogue in catalogues], in_turns)
    windows = scored(catalogues, words, [catalogue.spans for catalogue in catalogues], in_windows)
    conversations = scored(catalogues, words, [catalogue.conversation_characters for catalogue in catalogues], in_conversations)
    return [Lexical(turns=turns[c], windows=windows[c], conversations=conversations[c]) for c in range(len(catalogues))]


def scored(
    catalogues: Sequence[Catalogue], words: Sequence[Sequence[Positions]], lengths: Sequence[Numbers], count: Count
) -> list[Numbers]:
    """Score the units of one kind, of which `lengths` has one number each, over all catalogues together."""
    scores = [np.zeros(len(length)) for length in lengths]
    units = sum(map(len, lengths))
    if not units:
        return scores
    mean_length = sum(float(length.sum()) for length in lengths) / units
    for places in words:
        held = [count(catalogue, found) for catalogue, found in zip(catalogues, places, strict=True)]
        weight = idf(units, sum(len(holding) for holding, _ in held))
        for score, length, (holding, counts) in zip(scores, lengths, held, strict=True):
            damped = K1 * (1.0 - B + B * length[holding] / mean_length)
            score[holding] += weight * counts * (K1 + 1.0) / (counts + damped)
    return scores


def idf(units: int, holding: int) -> float:
    return float(np.log1p((units - holding + 0.5) / (holding + 0.5)))


def in_turns(_: Catalogue, places: Positions) -> tuple[Positions, Numbers]:
    return places, np.ones(len(places))


def in_windows(catalogue: Catalogue, places: Positions) -> tuple[Positions, Numbers]:
    windows = np.concatenate([places, *catalogue.neighbours(places)])
    return counted(windows[windows < len(catalogue)])


def in_conversations(catalogue: Catalogue, places: Positions) -> tuple[Positions, Numbers]:
    return counted(catalogue.conversations[places])


def counted(units: Positions) -> tuple[Positions, Numbers]:
    """Which units there are, ascending, and how often each: by counting, which is faster than sorting where they stand closely."""
    if not len(units):
        return units, np.empty(0)
    if len(units) * SPARSE < units.max():
        holding, times = np.unique(units, return_counts=True)
        return holding, times.astype(np.float64)
    counts = np.bincount(units)
    holding = np.flatnonzero(counts)
    return holding, counts[holding].astype(np.float64)
