"""How far off a difference of two shares may be that were counted on the same questions. Arithmetic only, nothing is drawn at random."""

from collections.abc import Sequence
from math import sqrt

from seal_agent.types import Graded

NORMAL_95 = 1.959964
"""Standard deviations within which 95 % of a normal distribution lie."""


def change_interval(before: Sequence[Graded], after: Sequence[Graded]) -> tuple[float, float] | None:
    """95 % interval of the change in accuracy from one view to another; None unless both were asked the same questions.

    Wald's interval for matched pairs with half an observation added to each cell (Agresti and Min 2005, doi:10.1002/sim.1781), which
    keeps its level at the dozen questions that a night has.
    """
    if not before or [graded.question.id for graded in before] != [graded.question.id for graded in after]:
        return None
    pairs = list(zip(before, after, strict=True))
    won = sum(new.correct and not old.correct for old, new in pairs) + 0.5
    lost = sum(old.correct and not new.correct for old, new in pairs) + 0.5
    count = len(pairs) + 2
    change = (won - lost) / count
    reach = NORMAL_95 * sqrt(max(won + lost - (won - lost) ** 2 / count, 0.0)) / count
    return max(change - reach, -1.0), min(change + reach, 1.0)
