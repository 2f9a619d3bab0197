"""A part that is built when it is first needed, once, whichever thread asks first.

Deliberately not a cache: what was built stays until its owner closes.
"""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from seal_agent.errors import SealAgentError

T = TypeVar("T")

RETRY_SECONDS = 30.0
"""A build that failed is not tried again before: looking for weights on a dead network takes seconds, and each turn would pay them."""


class Lazy(Generic[T]):
    """Hold a part that `build` makes at the first `get`."""

    def __init__(self, build: Callable[[], T]) -> None:
        self._build = build
        self._lock = threading.Lock()
        self._built: T | None = None
        self._failure: tuple[float, SealAgentError] | None = None

    def get(self) -> T:
        """Return the part; raise what building it raised, or raised a moment ago."""
        with self._lock:
            if self._built is None:
                if self._failure is not None and time.monotonic() - self._failure[0] < RETRY_SECONDS:
                    raise type(self._failure[1])(*self._failure[1].args) from self._failure[1]
                try:
                    self._built = self._build()
                except SealAgentError as error:
                    self._failure = (time.monotonic(), error)
                    raise
            return self._built

    def peek(self) -> T | None:
        """Return the part if it is there; build nothing."""
        return self._built
