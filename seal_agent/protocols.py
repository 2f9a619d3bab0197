"""What can be replaced: the model, the trainer, the embedder, the reranker and the grader, each of at most six methods.

The contracts here are held by one contract suite each (`tests/contracts/`), run over every implementation including the fakes of
`seal_agent.testing`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from seal_agent.sampling import GREEDY, Sampling
from seal_agent.types import Example, Generation, Graded, ProgressCallback, Question, TrainingResult, Turn

Vectors = npt.NDArray[np.float32]


class Model(Protocol):
    """A causal language model that serves its base and any number of adapters.

    Adapters are named once and never change; calls for different adapters may run in different threads at the same time.
    `adapter=None` is the untouched base.
    """

    @property
    def id(self) -> str:
        """What the weights are: same id, same answers."""

    def generate(
        self,
        prompts: Sequence[Sequence[Turn]],
        *,
        adapter: str | None = None,
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Generation]:
        """Answer each prompt, in order. Temperature 0 is greedy and bit-reproducible whatever the batch; raise `GenerationError`."""

    def score(self, items: Sequence[tuple[Sequence[Turn], str]], *, adapter: str | None = None) -> list[list[float]]:
        """Return the log-probability of each token of each answer given its prompt; an empty prompt scores the raw text."""

    def load_adapter(self, name: str, path: Path) -> None:
        """Make an adapter answerable under `name`. Idempotent for the same path; raise `IntegrityError` for files that don't fit."""

    def unload_adapter(self, name: str) -> None:
        """Free an adapter. Requests that run with it end normally; unknown names are ignored."""

    def count_tokens(self, text: str) -> int:
        """Number of tokens of `text` without special tokens."""

    def close(self) -> None:
        """Free the weights. Idempotent; every later call raises `GenerationError`."""


class TextStream(Protocol):
    """An answer while it is being said: iterate for its pieces, which joined are the whole text."""

    def __iter__(self) -> Self: ...

    def __next__(self) -> str:
        """Wait for the next piece, never empty; raise `GenerationError`, or `DeadlineError` when the time is up."""

    @property
    def result(self) -> Generation:
        """The whole answer. Raise `GenerationError` before the end, and when the stream was closed early."""

    def close(self) -> None:
        """Stop generating and free what the answer holds. Idempotent, callable from any thread; a waiting reader is let go."""


@runtime_checkable
class StreamingModel(Model, Protocol):
    """A model that also answers piece by piece. Optional: with any other `Model` a stream is one piece."""

    def stream(
        self, prompt: Sequence[Turn], *, adapter: str | None = None, sampling: Sampling = GREEDY, timeout: float | None = None
    ) -> TextStream:
        """Answer one prompt. `timeout` is in seconds from now, waiting in the queue included.

        The adapter is the one loaded now, whatever is loaded or unloaded later. Greedy text equals that of `generate`. Raise
        `OverloadedError` when too many requests wait, and `GenerationError` as `generate` does.
        """


class TextWriter(Protocol):
    """Whoever writes study material and reads turns for facts. Every `Model` is one; a stronger one is given by `Memory.open(writer=)`."""

    @property
    def id(self) -> str:
        """Kept with every item that it wrote, and with what it read."""

    def generate(
        self,
        prompts: Sequence[Sequence[Turn]],
        *,
        adapter: str | None = None,
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Generation]:
        """Answer each prompt, in order; raise `GenerationError`."""


class Trainer(Protocol):
    """Trains one adapter from the frozen base. Same examples, settings and seed give the same bytes on a CPU."""

    def train(
        self,
        examples: Sequence[Example],
        *,
        probes: Sequence[Example],
        out: Path,
        seed: int,
        progress: ProgressCallback,
        should_stop: Callable[[], bool],
        checkpoint: Path | None = None,
    ) -> TrainingResult:
        """Write a PEFT folder to `out` (created, must not exist).

        `probes` are held-out paraphrases whose loss decides when to stop; they are never trained on. A budget that is used up ends the run
        with what it has. Raise `TrainingError` when the loss is not finite or there is nothing to train on, `CycleInterruptedError` once
        `should_stop()` is true; then `out` is gone. In the file `checkpoint` a trainer may keep how far it is, so that the same call goes
        on from there and comes to the same; the caller deletes it.
        """

    def estimate(self, examples: Sequence[Example]) -> tuple[int, float]:
        """Return (tokens, seconds) that training on these examples would take at most, budgets included."""


class Embedder(Protocol):
    """Turns texts into vectors."""

    @property
    def id(self) -> str:
        """What the vectors are: same id, comparable vectors. Stored beside every vector."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return float32 of shape [len(texts), dim], finite, each row of length 1; raise `EmbeddingError`."""


class Reranker(Protocol):
    """Reads a query and a text together: slower than comparing vectors, and better at telling which of a few texts answers."""

    @property
    def id(self) -> str:
        """Which weights score."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one finite number per text, in order, higher for what is more relevant; raise `RerankingError`."""


class Grader(Protocol):
    """Judges a reply to a question."""

    def grade(self, question: Question, reply: str) -> Graded:
        """Return the verdict; raise `GradingError` when it can't be told. An error is never a wrong answer."""
