"""Two steps instead of one for what can't be undone: first a plan and a token, then the token alone, once, soon, by the same owner.

A text that says "forget everything" can make an agent call a tool once; it can't have known the token, and what is confirmed is exactly the
plan that was shown. Deliberately in memory: after a restart one asks again.
"""

import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from seal_agent.errors import UsageError

T = TypeVar("T")

LIFETIME_SECONDS = 600.0
MOST_PENDING = 1_000
TOKEN_BYTES = 12


class Confirmations(Generic[T]):
    """Hold plans until they are confirmed. Safe to use from several threads.

    >>> pending = Confirmations[str]()
    >>> token = pending.offer("ana", "all of it")
    >>> pending.take("ana", token)
    'all of it'
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: OrderedDict[str, tuple[str, float, T]] = OrderedDict()

    def offer(self, owner: str, plan: T) -> str:
        """Keep a plan of this owner and return the token that confirms it."""
        token = secrets.token_hex(TOKEN_BYTES)
        with self._lock:
            self._pending[token] = (owner, self._clock() + LIFETIME_SECONDS, plan)
            while len(self._pending) > MOST_PENDING:
                self._pending.popitem(last=False)
        return token

    def take(self, owner: str, token: str) -> T:
        """Return the plan and forget the token; raise `UsageError` for one that is unknown, used, too old or another owner's."""
        with self._lock:
            found = self._pending.get(token)
            if found is not None and hmac.compare_digest(found[0].encode(), owner.encode()):
                del self._pending[token]
                if self._clock() < found[1]:
                    return found[2]
        raise UsageError(
            "There is nothing to confirm under that token: it is wrong, used or older than ten minutes. Ask for the plan again."
        )
