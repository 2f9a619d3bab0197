"""Calls for async code: each `a…` method of a scope is its synchronous namesake, run in a thread.

The one home for that, so that no host wraps the same method again. Deliberately no second implementation: signature, checks, errors and
result are those of the method that is wrapped, and what is true of its use by several threads is true here.
"""

import asyncio
import contextvars
import functools
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from seal_agent.errors import StoreError
from seal_agent.lazy import Lazy

P = ParamSpec("P")
R = TypeVar("R")

MEMORY_THREADS = 8
"""Calls that read or write the brain at a time. Writers take turns in any case, and more readers than cores gain nothing."""
MODEL_THREADS = 4
"""Answers in the making at a time. A pool of their own: slow answers must not keep quick calls waiting."""
STREAM_THREADS = 256
"""Streams that are read from event loops at a time. Each waits in a thread for its next piece; one more would wait for another's."""


class Threads:
    """The threads of one brain, started at the first call."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._memory = Lazy(lambda: ThreadPoolExecutor(MEMORY_THREADS, thread_name_prefix="seal-memory"))
        self._model = Lazy(lambda: ThreadPoolExecutor(MODEL_THREADS, thread_name_prefix="seal-model"))
        self._streams = Lazy(lambda: ThreadPoolExecutor(STREAM_THREADS, thread_name_prefix="seal-stream"))

    def pool(self, *, slow: bool) -> Executor:
        """Return the pool for quick calls or the one for answers; raise `StoreError` after a fork, where its threads are gone."""
        self._check_process()
        return (self._model if slow else self._memory).get()

    def streams(self) -> Executor:
        """Return the pool in which streams wait for their pieces: the event loop's own has a handful of threads, and other work to do."""
        self._check_process()
        return self._streams.get()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise StoreError("This brain was opened before the process was forked; open it after the fork instead.")

    def close(self) -> None:
        """Let the threads end once what they were given is done. Idempotent."""
        for pool in (self._memory.peek(), self._model.peek(), self._streams.peek()):
            if pool is not None:
                pool.shutdown(wait=False)


class Open(Protocol):
    """What is open: its `pool` raises `StoreError` once it is closed."""

    def pool(self, *, slow: bool) -> Executor: ...


class Threaded(Protocol):
    @property
    def _parts(self) -> Open: ...


S = TypeVar("S", bound=Threaded)


def in_thread(
    method: Callable[Concatenate[S, P], R], *, slow: bool = False
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:  # Any: what a coroutine is sent is asyncio's business
    """Make the awaitable namesake of a method; the event loop goes on meanwhile, and context variables are the caller's.

    Cancelling the awaiting task does not undo a call that has begun: what it was recording is recorded.
    """

    async def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        run = functools.partial(contextvars.copy_context().run, method, self, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._parts.pool(slow=slow), run)

    functools.update_wrapper(call, method)
    call.__name__, call.__qualname__ = f"a{method.__name__}", f"Scope.a{method.__name__}"
    call.__doc__ = f"Await `{method.__name__}`, run in a thread: same arguments, result and errors."
    return call
