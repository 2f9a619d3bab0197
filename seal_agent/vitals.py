"""How requests with each adapter ended, lately: counted in memory, because a request must not cost a transaction.

Deliberately judges nothing (`watch.py`) and is empty again when the process starts.
"""

import threading
from collections import OrderedDict, deque

WINDOW = 200
"""Newest requests per adapter that count: what failed last week says little about now."""
ADAPTERS = 64
"""Adapters that are kept count of; the one asked least recently is dropped first."""


class Vitals:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._ended: OrderedDict[str, deque[bool]] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, adapter: str, *, failed: bool) -> None:
        with self._lock:
            ended = self._ended.setdefault(adapter, deque(maxlen=WINDOW))
            ended.append(failed)
            self._ended.move_to_end(adapter)
            while len(self._ended) > ADAPTERS:
                self._ended.popitem(last=False)

    def of(self, adapter: str) -> tuple[int, int]:
        """Return (requests, those of them that failed)."""
        with self._lock:
            ended = self._ended.get(adapter, ())
            return len(ended), sum(ended)
