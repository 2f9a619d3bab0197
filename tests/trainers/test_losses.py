"""A teacher is followed where it is sure; a known token costs nothing."""

import math

import pytest
import torch

from seal_agent.trainers.frozen import Item
from seal_agent.trainers.losses import anchor_loss, distilled_loss, likelihood_loss


def item(*answer: int, weight: float = 1.0) -> Item:
    return Item(ids=[0, *answer], start=1, weight=weight, fact="f")


def logits(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows).log()


def test_a_known_token_costs_nothing_and_is_no_part_of_the_mean() -> None:
    loss = likelihood_loss(item(0, 1), logits([0.9, 0.1], [0.75, 0.25]), known_above=0.7)
    assert float(loss) == pytest.approx(math.log(4))
    assert float(likelihood_loss(item(0), logits([0.9, 0.1]), known_above=0.7)) == 0


def test_a_student_that_agrees_with_its_teacher_has_nothing_to_learn() -> None:
    taught = item(0, weight=2.0)
    taught.likely, taught.shares = torch.tensor([[2, 0]]), torch.tensor([[0.75, 0.25]]).log()
    assert float(distilled_loss(taught, logits([0.25, 1e-30, 0.75]))) == pytest.approx(0, abs=1e-6)
    assert float(distilled_loss(taught, logits([0.2, 0.2, 0.6]))) == pytest.approx(2 * math.log(1 / 0.8), rel=1e-5)


def test_an_anchor_costs_the_distance_from_the_base() -> None:
    base = logits([0.5, 0.5])
    assert float(anchor_loss(item(0), base, base)) == 0
    assert float(anchor_loss(item(0, weight=0.5), logits([0.25, 0.75]), base)) == pytest.approx(0.25 * math.log(4 / 3), rel=1e-5)
