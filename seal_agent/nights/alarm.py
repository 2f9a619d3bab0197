"""The alarm clock: APScheduler rings every `nights.check_seconds`, and at each ring due nights begin in threads of their own.

Only that: whether a night is due is asked of the ledger (`agenda.py`), so a ring that is late, lost or doubled changes nothing.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from apscheduler.schedulers.background import BackgroundScheduler

from seal_agent.errors import SealAgentError
from seal_agent.types import ScopeId

logger = logging.getLogger(__name__)

Due = Callable[[], Iterable[ScopeId]]
Hold = Callable[[ScopeId, threading.Event], object]


class Alarm:
    """Rings until stopped. `due` says whose night can begin, `hold` holds one until it ends or its event is set."""

    def __init__(self, due: Due, hold: Hold, seconds: float, at_once: int) -> None:
        self._due = due
        self._hold = hold
        self._seconds = seconds
        self._at_once = at_once
        self._stop = threading.Event()
        self._held: dict[ScopeId, threading.Thread] = {}
        self._lock = threading.Lock()
        self._scheduler = BackgroundScheduler(timezone=UTC)

    def start(self) -> None:
        job = {"max_instances": 1, "coalesce": True, "misfire_grace_time": None, "next_run_time": datetime.now(UTC)}
        self._scheduler.add_job(self.ring, "interval", seconds=self._seconds, **job)
        self._scheduler.start()

    def ring(self) -> None:
        """Begin what is due, as far as there is room."""
        try:
            for scope in self._due():
                self._begin(scope)
        except SealAgentError as error:
            # A brain on a full disk tonight may have room tomorrow: the clock goes on.
            logger.warning("could not tell whose night is due: %s: %s", type(error).__name__, error)

    def _begin(self, scope: ScopeId) -> None:
        with self._lock:
            self._held = {held: thread for held, thread in self._held.items() if thread.is_alive()}
            if self._stop.is_set() or scope in self._held or len(self._held) >= self._at_once:
                return
            # A daemon: a host that ends without `stop` must not wait for a night of hours; the cycle goes on from its checkpoint.
            thread = threading.Thread(target=self._hold, args=(scope, self._stop), name=f"night of {scope.key}", daemon=True)
            self._held[scope] = thread
            thread.start()

    @property
    def held(self) -> tuple[ScopeId, ...]:
        """Whose night is under way here."""
        with self._lock:
            return tuple(scope for scope, thread in self._held.items() if thread.is_alive())

    def stop(self, timeout: float) -> bool:
        """Ring no more, ask running nights to stop at their next step, and wait for them; return whether all have ended."""
        self._stop.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        ends = datetime.now(UTC).timestamp() + timeout
        with self._lock:
            threads = list(self._held.values())
        for thread in threads:
            thread.join(max(0.0, ends - datetime.now(UTC).timestamp()))
        return not any(thread.is_alive() for thread in threads)
