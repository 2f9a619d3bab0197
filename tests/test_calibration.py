"""The fitted probability follows what was right, is never certain, and general questions set where a topic ends."""

import pytest

from seal_agent.calibration import FEWEST, Evidence, fit


def seen(similarity: float, margin: float = 0.2, probability: float = 0.9) -> Evidence:
    return Evidence(similarity=similarity, margin=margin, probability=probability)


NEAR = [(seen(0.8 + 0.01 * n), True) for n in range(12)]
FAR = [(seen(0.3 + 0.01 * n, margin=0.01, probability=0.2), False) for n in range(12)]


def test_what_was_right_is_trusted_and_what_was_wrong_is_not_and_neither_for_certain() -> None:
    fitted = fit([*NEAR, *FAR], [0.1, 0.15])
    assert fitted is not None
    assert 0.8 < fitted.confidence(seen(0.85)) < 1
    assert 0 < fitted.confidence(seen(0.32, 0.01, 0.2)) < 0.2
    assert fitted.asked == 24


def test_a_few_right_answers_make_nobody_sure() -> None:
    few = fit(NEAR[:FEWEST], [])
    assert few is not None
    assert 0.8 < few.confidence(seen(0.85)) < 0.95
    assert fit(NEAR[: FEWEST - 1], []) is None


@pytest.mark.parametrize(("off_topic", "least", "most"), [([0.1, 0.2], 0.2, 0.81), ([0.95, 0.99], 0.0, 0.81), ([], -1.0, -1.0)])
def test_a_topic_ends_between_both_kinds_and_hardly_ever_above_a_question_about_a_fact(
    off_topic: list[float], least: float, most: float
) -> None:
    fitted = fit(NEAR, off_topic)
    assert fitted is not None
    assert least <= fitted.off_topic_below <= most
    assert fitted.elsewhere_below >= max(fitted.off_topic_below, *off_topic[:1] or [-1.0])
