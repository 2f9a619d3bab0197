"""What a night teaches, what it asks, and how the teaching went."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seal_agent.types.episodes import Turn

SelfEditKind = Literal["restatement", "question", "cloze", "rewrite", "implication", "relation", "reverse", "negative", "unknown"]
Budget = Literal["tokens", "minutes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfEdit:
    """One item of study material: a prompt and the answer to learn, tied to the fact it restates."""

    fact_id: str
    kind: SelfEditKind
    prompt: str
    answer: str
    writer: str
    """`"floor"` for the deterministic material, else the id of the model that wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question with the answers that count as right, any one of them as a phrase of the reply."""

    id: str
    text: str
    answers: tuple[str, ...]
    stale: tuple[str, ...] = ()
    """Answers that used to be right; a reply that holds one of these and none of `answers` is stale, not merely wrong."""
    fact_id: str | None = None
    reference: str | None = None
    """The whole sentence that training teaches as the answer, where there is one; its probability is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What a model said to one prompt."""

    text: str
    tokens: int
    finished: bool = True
    """False when the token limit cut it off."""
    logprob: float | None = None
    """Mean log-probability per token of what was said, where the model tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One training item: loss on `answer` only. `weight` scales its loss."""

    prompt: tuple[Turn, ...]
    answer: str
    fact_id: str | None = None
    """None for anchors: these are held to the base's own distribution, not to `answer` alone."""
    weight: float = 1.0
    ended: bool = True
    """False when `answer` was cut off, so that its end is not taught."""
    source: str = ""
    """The statement or passage that `answer` is drawn from, for objectives that show it to the model; "" for anchors."""
    loss_on: Literal["answer", "all"] = "answer"
    """"all" teaches the prompt's tokens too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One step of long work. `done` and `total` count the unit that `stage` works through."""

    stage: str
    done: int
    total: int
    detail: str = ""
    loss: float | None = None
    tokens_per_second: float | None = None
    seconds_left: float | None = None


ProgressCallback = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """The progress callback of whoever does not want to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What one training run did."""

    path: Path
    steps: int
    passes: int
    trained_tokens: int
    """Non-padding tokens that went through the model forward and backward."""
    seconds: float
    losses: tuple[float, ...]
    """Mean loss per answer token, one per pass, in nats."""
    stopped_early: bool = False
    """The probes were learnt before the last pass."""
    budget: Budget | None = None
    """Which budget ended it, perhaps within its last pass: `training.max_tokens` or `training.max_minutes`."""
