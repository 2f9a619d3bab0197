"""What the steps of one round of practice share: its settings, its notebook, when it stops.

The notebook is a folder of the brain with one small file per sampled self-edit and per inner loop, each under a name made of all that it
depends on. So a round that was killed goes on where it was, and what is damaged is made anew. It holds study material, which is personal
data: whoever forgets discards it.
"""

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TypeVar

from pydantic import TypeAdapter

from seal_agent.config import PracticeSettings
from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.evaluation import Examiner
from seal_agent.consolidation.kept import kept_json
from seal_agent.consolidation.pace import Pace
from seal_agent.errors import CycleInterruptedError, LeaseLostError
from seal_agent.types import Progress, ProgressCallback, ScopeId

T = TypeVar("T")
PRACTICE = "practice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Practice:
    """One round under way."""

    backends: Backends
    scope: ScopeId
    progress: ProgressCallback
    should_stop: Callable[[], bool]
    lost: Event
    seed: int
    editor: str | None
    """Name of the editor that writes in this round, None for the base."""
    started: float = field(default_factory=time.monotonic)
    pace: Pace = field(default_factory=Pace)

    @property
    def settings(self) -> PracticeSettings:
        return self.backends.settings.practice

    @property
    def examiner(self) -> Examiner:
        return examiner_of(self.backends)

    @property
    def examined(self) -> str:
        """How questions are asked, which the base's figures depend on."""
        return self.backends.settings.model.system_prompt

    def must_stop(self) -> bool:
        return self.should_stop() or self.lost.is_set() or self.is_spent()

    def is_spent(self) -> bool:
        return time.monotonic() - self.started > self.settings.max_minutes * 60

    def interrupted(self) -> CycleInterruptedError:
        """The error that says why this round does not go on here."""
        if self.lost.is_set():
            return LeaseLostError(f"The practice of {self.scope.key!r} was taken over by another process; it goes on there.")
        why = f"used up practice.max_minutes={self.settings.max_minutes:g}" if self.is_spent() and not self.should_stop() else "was stopped"
        return CycleInterruptedError(f"The practice of {self.scope.key!r} {why}; the same call goes on from there.")

    def say(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """Report progress, and stop here where the caller, the budget or a lost lease wants it."""
        if self.must_stop():
            raise self.interrupted()
        left = self.pace.seconds_left(stage, done, total)
        self.progress(Progress(stage=stage, done=done, total=total, detail=detail, seconds_left=left))

    def kept(self, kind: TypeAdapter[T], make: Callable[[], T], *parts: object) -> T:
        """Return what the notebook holds under these parts, or make it now and write it down."""
        content = [
            self.scope.key,
            self.backends.model.id,
            self.backends.base_sha256,
            self.backends.settings.training.model_dump_json(),
            self.backends.settings.self_edit.model_dump_json(),
            str(self.settings.passes),
            str(self.editor),
            *map(str, parts),
        ]
        name = hashlib.sha256("\x1f".join(content).encode()).hexdigest()[:24]
        return kept_json(self.backends.folder / PRACTICE / f"{name}.json", kind, make, lambda _: True)


def examiner_of(backends: Backends) -> Examiner:
    return Examiner(
        model=backends.model,
        grader=backends.grader,
        system_prompt=backends.settings.model.system_prompt,
        cache=backends.folder / "cache",
    )


def discard_notebook(folder: Path) -> None:
    """Delete all that practice wrote down, whoever's it is: a round under way begins anew. For whoever forgets something."""
    shutil.rmtree(folder / PRACTICE, ignore_errors=True)
