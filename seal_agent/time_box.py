"""Do something for at most so long, and go on without it. Deliberately stops nothing: what takes longer ends in its own time."""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")
logger = logging.getLogger(__name__)


def within(seconds: float, what: str, do: Callable[[], T]) -> T | None:
    """Return what `do` returns; None, with a warning, when it raises or takes longer than `seconds`."""
    try:
        return begun(do).result(seconds)
    except Exception as error:  # noqa: BLE001  # logged: an agent without its memory is worth more than no agent
        tell(what, seconds, error)
        return None


async def awithin(seconds: float, what: str, do: Callable[[], T]) -> T | None:
    """The same without blocking the event loop."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(begun(do)), seconds)
    except Exception as error:  # noqa: BLE001  # as above
        tell(what, seconds, error)
        return None


def begun(do: Callable[[], T]) -> Future[T]:
    """Run it in a daemon of its own and no pool: one that hangs must neither take a place from others nor keep the process from ending."""
    done: Future[T] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        if done.set_running_or_notify_cancel():
            try:
                done.set_result(context.run(do))
            except BaseException as error:  # noqa: BLE001  # raised again for whoever waits
                done.set_exception(error)

    threading.Thread(target=run, name="seal-memory-call", daemon=True).start()
    return done


def tell(what: str, seconds: float, error: Exception) -> None:
    if isinstance(error, TimeoutError):
        logger.warning("%s took longer than %.1f s; going on without it", what, seconds)
    else:
        logger.warning("%s failed, going on without it: %s: %s", what, type(error).__name__, error)
