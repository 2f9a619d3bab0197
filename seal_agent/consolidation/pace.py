"""How long a stage of long work still takes, by the pace of its own steps. Deliberately no clock of the whole: stages differ too much."""

import time
from dataclasses import dataclass, field

NO_TIME = 1.0
"""Seconds. Steps that a call finds done already are told in less, and say nothing of how long the others take."""


@dataclass(frozen=True, slots=True)
class Pace:
    """By stage, since when and from how many done on its time per step is taken."""

    begun: dict[str, tuple[float, int]] = field(default_factory=dict)

    def seconds_left(self, stage: str, done: int, total: int) -> float | None:
        """Of this stage, told at each of its steps; None until a step took time."""
        now = time.monotonic()
        since, first = self.begun.setdefault(stage, (now, done))
        if now - since < NO_TIME:
            self.begun[stage] = (now, done)
            return None
        return (now - since) / (done - first) * (total - done) if done > first else None
