"""What one round of the outer loop found, and the interval of a mean. Data and figures only."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from seal_agent.consolidation.policies import Policy
from seal_agent.types import Decision

FEWEST_JUDGED = 2
"""Contexts without which an interval says nothing."""
DRAWS = 2000
"""Bootstrap samples; the interval moves in the third digit only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One unseen context: the same policy and seeds, written by the writer so far and by the candidate; reward in nats per token."""

    context: str
    untrained: float
    trained: float

    @property
    def difference(self) -> float:
        return self.trained - self.untrained


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One self-edit of one context and what was measured of it; gains in nats per token, less the retention penalty."""

    context: str
    policy: Policy
    written: int
    """Lines of the model that were kept."""
    refused: int
    choosing: float | None
    """What it was chosen by; None where the judge gave no mark."""
    reporting: float | None
    """Mean of the repeats that had no part in choosing; None with a cheap reward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundReport:
    """What one round did."""

    round: int
    """From 1, per scope."""
    state: str
    """"promoted", "rejected", or "skipped" where nothing that the model wrote won."""
    reason: str
    editor: str | None
    """Name of the adapter, if it was promoted."""
    writer: str | None
    """The editor that wrote in this round, None for the base."""
    policy: Policy
    """The one that won, kept for nights."""
    policies: dict[str, float]
    """By policy, the mean of what was reported (with a cheap reward, of what was chosen by)."""
    tried: tuple[Tried, ...]
    judged: tuple[Judgement, ...]
    decision: Decision | None
    seconds: float = 0.0
    details: dict[str, float] = field(default_factory=dict)

    @property
    def gain_untrained(self) -> float | None:
        return fmean(one.untrained for one in self.judged) if self.judged else None

    @property
    def gain_trained(self) -> float | None:
        return fmean(one.trained for one in self.judged) if self.judged else None

    @property
    def winner_curse(self) -> float | None:
        """Share of the winners' apparent gain over the mean self-edit that the reporting repeats do not confirm."""
        return winner_curse(self.tried)


def winner_curse(tried: Sequence[Tried]) -> float | None:
    """None where nothing was chosen among measured self-edits, or the winners were no better than the mean to begin with."""
    known = [one for one in tried if one.choosing is not None and one.reporting is not None]
    groups: dict[str, list[Tried]] = {}
    for one in known:
        groups.setdefault(one.context, []).append(one)
    if not groups:
        return None
    best = [max(group, key=lambda one: one.choosing or 0.0) for group in groups.values()]
    apparent = fmean(one.choosing or 0.0 for one in best) - fmean(one.choosing or 0.0 for one in known)
    confirmed = fmean(one.reporting or 0.0 for one in best) - fmean(one.reporting or 0.0 for one in known)
    return None if apparent <= 0 else 1 - confirmed / apparent


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean by bootstrap over the values; with one value it has no width and says nothing."""
    order = random.Random(seed)
    drawn = sorted(fmean(order.choices(values, k=len(values))) for _ in range(DRAWS))
    return drawn[round(DRAWS * 0.025)], drawn[round(DRAWS * 0.975) - 1]
