"""How much one key may ask, and how much at once: token buckets by key, and places for work that takes long.

Deliberately in memory: one process owns a brain, so there is nobody to share the counts with.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from seal_agent.server.refusals import too_many

SECONDS = 60.0
MOST_BUCKETS = 10_000
"""Callers kept in mind; the one that was quiet longest is dropped first, and starts with a full bucket again."""


@dataclass(slots=True, kw_only=True)
class Bucket:
    tokens: float
    at: float


class RateLimit:
    """A token bucket for each caller: a minute's worth may be spent at once, then it fills up evenly. For one thread, the event loop's."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_minute=0` limits nothing."""
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def spend(self, caller: str) -> None:
        """Take one token; raise a 429 that says when there will be one."""
        if not self._per_minute:
            return
        now, rate = self._clock(), self._per_minute / SECONDS
        bucket = self._buckets.setdefault(caller, Bucket(tokens=self._per_minute, at=now))
        self._buckets.move_to_end(caller)
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self._per_minute, bucket.tokens + (now - bucket.at) * rate)
        bucket.at = now
        if bucket.tokens < 1:
            raise too_many(f"This key may ask {self._per_minute} times a minute.", (1 - bucket.tokens) / rate)
        bucket.tokens -= 1


class Places:
    """Room for a number of requests at once. For one thread, the event loop's."""

    def __init__(self, total: int, what: str) -> None:
        self._total = total
        self._what = what
        self.taken = 0

    def take(self) -> "Place":
        """Return a place to be left with `leave`; raise a 429 when all are taken: whoever is told soon can go elsewhere."""
        if self.taken >= self._total:
            raise too_many(f"All {self._total} places for {self._what} are taken; try again in a moment.")
        self.taken += 1
        return Place(self)

    @contextmanager
    def hold(self) -> Iterator[None]:
        place = self.take()
        try:
            yield
        finally:
            place.leave()


class Place:
    def __init__(self, places: Places) -> None:
        self._places: Places | None = places

    def leave(self) -> None:
        """Idempotent."""
        if self._places is not None:
            self._places.taken -= 1
            self._places = None
