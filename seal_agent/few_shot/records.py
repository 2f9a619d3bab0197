"""What learning a task comes to: trials of recipes, the report, a known task, an answer. Data only."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import TypeAdapter

from seal_agent.few_shot.recipe import Recipe
from seal_agent.few_shot.task import Demonstration, Grid, Kind
from seal_agent.types import Decision, ScopeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How held-out demonstrations were answered, each asked once of an adapter that was not trained on it."""

    right: int
    asked: int
    probability: float
    """Mean over the demonstrations of the geometric mean probability of the right output's tokens: the reward."""

    @property
    def accuracy(self) -> float:
        return self.right / self.asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One recipe and its reward."""

    recipe: Recipe
    writer: str
    """"hand", "won" for one that was chosen for another task before, or the id of the model that wrote it."""
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReport:
    """What learning one task did."""

    task: str
    state: Literal["promoted", "rejected"]
    reason: str
    adapter: str | None
    kind: Kind
    demonstrations: int
    recipe: Recipe
    """The chosen one."""
    in_context: Figures
    """The same model with all other demonstrations in its prompt, and no adapter."""
    held_out: Figures
    """The chosen recipe's, measured again in other parts with another seed: what it was chosen by would flatter it."""
    trials: tuple[Trial, ...]
    """Best first."""
    refused: dict[str, int]
    """Written recipes that were no use, by reason."""
    decision: Decision
    seconds: dict[str, float] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """What the ledger keeps of a task, as JSON: enough to run it and to learn it again."""

    kind: Kind
    recipe: Recipe
    demonstrations: tuple[Demonstration, ...]
    held_out: Figures
    in_context: Figures


RECORD = TypeAdapter(TaskRecord)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTask:
    """A task that can be run: what the ledger keeps of it."""

    name: str
    scope: ScopeId
    """Where it was learnt: the scope itself, or a shared one above it."""
    kind: Kind
    recipe: Recipe
    demonstrations: tuple[Demonstration, ...]
    held_out: Figures
    adapter: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAnswer:
    """What a task made of one input."""

    text: str
    grid: Grid | None
    """The output as a grid, for tasks on grids; None where the text is none."""
    task: str
    adapter: str
    shown_before: bool
    """Whether it is one of the outputs in the demonstrations. A new one is right for some tasks, and for a choice among few it is not."""
    finished: bool = True
    """False when the token limit cut it off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeJudgement:
    """One task that was not practised on: the mean reward of what the writer so far and the trained one wrote for it.

    What is no recipe, or takes too many steps, is worth 0 there.
    """

    task: str
    untrained: float
    trained: float
    sound_untrained: int
    sound_trained: int

    @property
    def difference(self) -> float:
        return self.trained - self.untrained


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeRound:
    """What one round of practice in writing recipes did."""

    round: int
    """From 1, per scope."""
    state: Literal["promoted", "rejected"]
    reason: str
    editor: str | None
    """Name of the adapter that writes recipes from now on, if it was promoted."""
    writer: str | None
    """The one that wrote in this round, None for the base."""
    winners: dict[str, Trial]
    """By task, what the editor was trained on."""
    judged: tuple[RecipeJudgement, ...]
    decision: Decision
    seconds: float = 0.0
