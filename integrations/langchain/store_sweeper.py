"""A daemon thread that does one thing at an interval until it is stopped. Deliberately knows no store."""

import logging
import threading
from collections.abc import Callable

from seal_agent.errors import SealAgentError

logger = logging.getLogger(__name__)


class Sweeper:
    """Call `sweep` every some minutes; a sweep that fails is logged and the next one tried."""

    def __init__(self, sweep: Callable[[], int]) -> None:
        self._sweep = sweep
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, minutes: float) -> None:
        """Begin, unless it runs already."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, args=(minutes * 60,), name="seal-store-sweeper", daemon=True)
        self._thread.start()

    def stop(self, timeout: float | None) -> bool:
        """End it; return whether it has ended within `timeout` seconds."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout)
        return self._thread is None or not self._thread.is_alive()

    def _run(self, seconds: float) -> None:
        while not self._stopped.wait(seconds):
            try:
                swept = self._sweep()
            except SealAgentError as error:
                logger.warning("expired items could not be swept: %s", error)
            else:
                logger.debug("swept %d expired items", swept)
