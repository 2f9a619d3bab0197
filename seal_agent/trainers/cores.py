"""Several cores at work on one training step, each on rows of its own.

Two cores on one matrix product wait for each other after every product, and a training step of a small model is thousands of small
ones; two cores on two products wait once a step. It knows nothing of what is computed; a GPU needs none of it (`count` 1).
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

import torch

Result = TypeVar("Result")


class Cores:
    """`count` threads with one core each, until closed; with 1 everything runs in the caller's thread."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="seal-train") if count > 1 else None
        if self._pool is not None:
            # torch keeps the number per thread but also as the default of threads to come, which is put back.
            default = torch.get_num_threads()
            together = threading.Barrier(count)  # or one quick thread would take all the calls
            for started in [self._pool.submit(take_one_core, together) for _ in range(count)]:
                started.result()
            torch.set_num_threads(default)

    def run(self, parts: Sequence[Callable[[], Result]]) -> list[Result]:
        """Compute the parts side by side; return their results in order, or raise what the first failing one raised."""
        if self._pool is None or len(parts) == 1:
            return [part() for part in parts]
        return list(self._pool.map(lambda part: part(), parts))

    def close(self) -> None:
        """End the threads. Idempotent."""
        if self._pool is not None:
            self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def take_one_core(together: threading.Barrier) -> None:
    together.wait()
    torch.set_num_threads(1)
    torch.get_num_threads()  # a thread's first look takes the default over: let it be now, while that is 1
