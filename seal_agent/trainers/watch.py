"""Tells the caller how far training is, and training when to stop: on request, or because a budget is used up.

A request ends a run with nothing; a budget ends it with what it has, which is judged like any other candidate.
"""

import time
from collections.abc import Callable

from seal_agent.config import TrainingSettings
from seal_agent.errors import CycleInterruptedError, TrainingError
from seal_agent.types import Budget, Progress, ProgressCallback


class Watch:
    """The clock of one training run; it runs from when it is made."""

    def __init__(self, progress: ProgressCallback, should_stop: Callable[[], bool], settings: TrainingSettings) -> None:
        self._progress = progress
        self._should_stop = should_stop
        self._settings = settings
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started

    def go_on(self, seconds: float) -> None:
        """Count what an interrupted run took as well."""
        self._started -= seconds

    def check(self) -> None:
        if self._should_stop():
            raise CycleInterruptedError("Training was stopped on request; nothing was promoted.")

    def check_before(self) -> None:
        """The same for what comes before the first step: without time for one there is nothing to end with."""
        self.check()
        self.spent(0, 0)

    def spent(self, tokens: int, steps: int) -> Budget | None:
        """Which budget does not allow another step, after which there would be so many `tokens`; None while all do.

        Raise `TrainingError` when there was no step yet.
        """
        most, minutes = self._settings.max_tokens, self._settings.max_minutes
        budget: Budget | None = "tokens" if most and tokens > most else "minutes" if self.seconds > minutes * 60 else None
        if budget and not steps:
            value = most if budget == "tokens" else f"{minutes:g}"
            raise TrainingError(f"training.max_{budget}={value} leaves no room for a single step; raise it or teach fewer facts.")
        return budget

    def report(self, loss: float, step: int, total_steps: int, tokens: int, detail: str = "") -> None:
        elapsed = self.seconds
        left = elapsed / step * (total_steps - step)
        self._progress(
            Progress(
                stage="train",
                done=step,
                total=total_steps,
                detail=detail,
                loss=loss,
                tokens_per_second=tokens / elapsed,
                seconds_left=left,
            )
        )
