"""Scores are summed after they are made comparable; the unknown and the forbidden have none."""

import numpy as np
import numpy.typing as npt
import pytest

from seal_agent.config import RetrievalSettings
from seal_agent.retrieval.bm25 import Lexical
from seal_agent.retrieval.catalogue import Catalogue, Numbers
from seal_agent.retrieval.fusion import Arms, fuse, near

OFF = {f"{name}_weight": 0.0 for name in ("turn", "window", "conversation", "speaker", "dense", "near")}


def catalogue(size: int) -> Catalogue:
    """One conversation of so many turns."""
    places = np.arange(size)
    zeros = np.zeros(size, dtype=np.int64)
    return Catalogue(
        seqs=places + 1,
        before=np.append(np.where(places > 0, places - 1, size), size),
        after=np.append(np.where(places < size - 1, places + 1, size), size),
        characters=np.ones(size),
        spans=np.ones(size),
        conversations=zeros,
        conversation_characters=np.array([float(size)]),
        authors=zeros,
        days=zeros,
    )


def arms(
    turns: list[float] | None = None,
    *,
    cosines: list[float] | None = None,
    spoken_of: list[float] | None = None,
    allowed: list[bool] | None = None,
) -> Arms:
    size = len(turns or cosines or spoken_of or [])
    zeros = np.zeros(size)
    words: Numbers = np.array(turns) if turns else zeros
    return Arms(
        catalogue=catalogue(size),
        lexical=Lexical(turns=words, windows=words, conversations=np.zeros(1)),
        spoken_of=np.array(spoken_of) if spoken_of else zeros,
        cosines=np.array(cosines) if cosines else np.full(size, np.nan),
        allowed=np.flatnonzero(allowed) + 1 if allowed else None,
    )


def fused(given: list[Arms], mean: float = 0.0, **weights: float) -> list[npt.NDArray[np.float64]]:
    """One score per entry of each catalogue, minus infinity for what is no result."""
    found = fuse(given, mean, RetrievalSettings.model_validate({**OFF, **weights}))
    scores = [np.full(len(arm.catalogue), -np.inf) for arm in given]
    for score, results in zip(scores, found, strict=True):
        score[results.seqs - 1] = results.scores
    return scores


def test_bm25_is_divided_by_the_best_of_all_scopes() -> None:
    first, second = fused([arms([8.0, 2.0]), arms([4.0])], turn_weight=1.0)
    assert (first.tolist(), second.tolist()) == ([1.0, 0.25], [0.5])


def test_cosines_count_from_the_mean() -> None:
    (score,) = fused([arms(cosines=[0.75, 0.5, 0.0])], mean=0.25, dense_weight=1.0)
    assert score.tolist() == [1.0, 0.5, -0.5]


def test_a_single_cosine_counts_in_full() -> None:
    assert fused([arms(cosines=[0.1])], mean=0.1, dense_weight=1.0)[0].tolist() == [1.0]


def test_the_sum_is_weighted() -> None:
    (score,) = fused([arms([1.0, 0.5], cosines=[0.0, 1.0], spoken_of=[0.0, 1.0])], turn_weight=1.0, dense_weight=0.5, speaker_weight=0.25)
    assert score.tolist() == [1.0, 0.5 + 0.5 + 0.25]


def test_what_no_arm_knows_is_no_result() -> None:
    (score,) = fused([arms([1.0, 0.0], spoken_of=[0.0, 1.0])], turn_weight=1.0, speaker_weight=1.0)
    assert score.tolist() == [1.0, -np.inf]


def test_an_arm_that_is_off_finds_nothing() -> None:
    (score,) = fused([arms([1.0, 0.0], cosines=[np.nan, 0.5])], dense_weight=1.0)
    assert score.tolist() == [-np.inf, 1.0]


def test_what_is_not_allowed_has_no_score_and_sets_no_best() -> None:
    (score,) = fused([arms([8.0, 2.0], cosines=[0.9, 0.3], allowed=[False, True])], turn_weight=1.0, dense_weight=1.0)
    assert score.tolist() == [-np.inf, 2.0]


def test_meaning_is_compared_around_a_turn_as_far_as_it_is_known() -> None:
    values = np.array([1.0, 0.0, 0.0, np.nan, 0.0])
    around = near(catalogue(5), values, np.arange(5))
    assert around[0] == pytest.approx(1.0 / (1 + 0.7 + 0.4))
    assert around[1] == pytest.approx(0.7 / (0.7 + 1 + 0.7))
    assert around[2] == pytest.approx(0.4 / (0.4 + 0.7 + 1 + 0.4))
    assert around[4] == 0.0


def test_without_scopes_there_is_nothing() -> None:
    assert fused([]) == []
