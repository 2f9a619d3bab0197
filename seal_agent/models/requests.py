"""What the engine is asked for: rows that are answered together, as a batch that is waited for or as a stream that is read.

The engine's thread calls `heard`, `ended` and `failed`; the asker's threads do the rest. Deliberately knows no tensors.
"""

import queue
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Self

from seal_agent.errors import DeadlineError, GenerationError
from seal_agent.models.packed import LoraWeights
from seal_agent.models.speech import Speech
from seal_agent.types import Generation


@dataclass(slots=True, eq=False)
class Row:
    """One prompt and the answer to it so far."""

    request: "Request"
    number: int
    """Its place among the rows of its request."""
    ids: list[int]
    adapter: LoraWeights | None
    speech: Speech
    most: int
    """Places that it takes at the end: prompt and longest answer."""
    filled: int = 0
    """Places of its slot that hold keys and values."""
    token: int = 0
    """The last token chosen, which has no place yet."""


@dataclass(slots=True)
class Prefix:
    """What all prompts of a request begin with: run once, kept for the others."""

    length: int
    saved: dict[int, Any] = field(default_factory=dict)
    """By adapter (its `id`): the keys and values of these places. Any: the engine's own business."""


class Request:
    """Rows asked for together, answered in any order."""

    def __init__(self, deadline: float | None = None, prefix: Prefix | None = None) -> None:
        """`deadline` is in seconds of `time.monotonic`."""
        self.waiting: deque[Row] = deque()
        self.prefix = prefix
        self.cancelled = False
        self._deadline = deadline

    def add(self, row: Row) -> None:
        self.waiting.append(row)

    @property
    def overdue(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def cancel(self) -> None:
        """Have the engine drop what is left of it, before its next step."""
        self.cancelled = True

    def heard(self, row: Row) -> None:
        """A token was added to a row."""

    def ended(self, row: Row) -> None:
        """A row is whole."""

    def failed(self, error: GenerationError) -> None:
        """Nothing more will come."""


class Batch(Request):
    """Several prompts, waited for."""

    def __init__(self, prefix: Prefix | None) -> None:
        super().__init__(prefix=prefix)
        self._results: dict[int, Generation] = {}
        self._rows = 0
        self._error: GenerationError | None = None
        self._done = threading.Event()

    def add(self, row: Row) -> None:
        super().add(row)
        self._rows += 1

    def ended(self, row: Row) -> None:
        self._results[row.number] = row.speech.result
        if len(self._results) == self._rows:
            self._done.set()

    def failed(self, error: GenerationError) -> None:
        self._error = error
        self._done.set()

    def wait(self) -> list[Generation]:
        """Return the answers in order; raise what the engine failed with. Interrupted, the rest is cancelled."""
        try:
            self._done.wait()
        finally:
            self.cancel()  # of no effect on what is whole
        if self._error is not None:
            raise GenerationError(*self._error.args) from self._error
        return [self._results[number] for number in range(self._rows)]


class Stream(Request):
    """One prompt, read piece by piece. Implements `seal_agent.protocols.TextStream`."""

    def __init__(self, deadline: float | None) -> None:
        super().__init__(deadline)
        self._pieces: queue.SimpleQueue[str | GenerationError | None] = queue.SimpleQueue()
        self._result: Generation | None = None
        self._over = False

    def heard(self, row: Row) -> None:
        piece = row.speech.piece()
        if piece:
            self._pieces.put(piece)

    def ended(self, row: Row) -> None:
        self._result = row.speech.result
        self._pieces.put(None)

    def failed(self, error: GenerationError) -> None:
        self._pieces.put(error)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if self._over:
            raise StopIteration
        piece = self._pieces.get()
        if isinstance(piece, str):
            return piece
        self._over = True
        if piece is None:
            raise StopIteration
        raise type(piece)(*piece.args) from piece

    @property
    def result(self) -> Generation:
        if self._result is None:
            raise GenerationError("The answer is not whole: the stream was not read to its end.")
        return self._result

    def close(self) -> None:
        self.cancel()
        self._pieces.put(None)


def too_late() -> DeadlineError:
    return DeadlineError("The answer was not whole when the time was up. Allow more time, or ask for fewer tokens.")
