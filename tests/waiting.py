"""How long a test waits for what another thread or process does: so long that no machine is too busy for it."""

import time
from collections.abc import Callable

LONG = 120.0
"""Seconds after which a wait has failed. Nothing waits so long where all is well, and a suite that ran out of time says so anyway."""
PAUSE = 0.005
"""Seconds between two looks."""


def wait_until(reached: Callable[[], object]) -> None:
    """Return once it is true."""
    end = time.monotonic() + LONG
    while not reached():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(PAUSE)
