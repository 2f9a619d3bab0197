"""Scores are summed after they are made comparable, and nothing depends on chance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal_agent.retrieval.fusion import Scored, fuse, height_over_mean, share_of_best


def test_the_sum_is_weighted() -> None:
    assert fuse([(1.0, [("a", 1.0), ("b", 0.5)]), (0.5, [("b", 1.0)])]) == [("a", 1.0), ("b", 1.0)]
    assert fuse([(1.0, [("a", 1.0), ("b", 0.5)]), (0.6, [("b", 1.0)])]) == [("b", 1.1), ("a", 1.0)]


def test_an_entry_of_both_lists_beats_one_that_leads_a_single_list() -> None:
    lexical = [("words", 1.0), ("both", 0.7)]
    dense = [("meaning", 1.0), ("both", 0.8)]
    assert [entry_id for entry_id, _ in fuse([(1.0, lexical), (0.5, dense)])] == ["both", "words", "meaning"]


def test_equal_sums_are_ordered_by_place_then_by_id() -> None:
    assert [entry_id for entry_id, _ in fuse([(1.0, [("z", 0.0), ("b", 0.0)]), (1.0, [("c", 0.0)])])] == ["c", "z", "b"]


def test_nothing_fuses_to_nothing() -> None:
    assert fuse([]) == fuse([(1.0, []), (0.5, [])]) == []


def test_bm25_is_divided_by_the_best() -> None:
    assert share_of_best([("a", 8.0), ("b", 2.0)]) == [("a", 1.0), ("b", 0.25)]


def test_bm25_of_zero_stays_zero() -> None:
    assert share_of_best([("a", 0.0)]) == [("a", 0.0)]


def test_cosines_count_from_the_mean_and_never_below_zero() -> None:
    assert height_over_mean([("a", 0.75), ("b", 0.5), ("c", 0.0)], 0.25) == [("a", 1.0), ("b", 0.5), ("c", 0.0)]


def test_a_single_cosine_counts_in_full() -> None:
    assert height_over_mean([("a", 0.1)], 0.1) == [("a", 1.0)]


@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 4.0),
            st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0.0, 1.0)), unique_by=lambda pair: pair[0]),
        ),
        max_size=4,
    )
)
def test_the_ranking_holds_every_id_once_and_falls(lists: list[tuple[float, list[Scored]]]) -> None:
    ranking = fuse(lists)
    assert {entry_id for entry_id, _ in ranking} == {entry_id for _, scored in lists for entry_id, _ in scored}
    assert len({entry_id for entry_id, _ in ranking}) == len(ranking)
    assert [score for _, score in ranking] == sorted((score for _, score in ranking), reverse=True)
    for entry_id, score in ranking:
        assert score == pytest.approx(sum(weight * dict(scored).get(entry_id, 0.0) for weight, scored in lists))
