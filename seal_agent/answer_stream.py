"""An answer while it is being said: pieces of text to iterate over, in a thread or in an event loop, then the whole with its trace.

Closing it early stops the model and frees its place. Deliberately no queue and no thread of its own: both belong to the model.
"""

import asyncio
import contextvars
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import Self

from seal_agent.errors import GenerationError, UsageError
from seal_agent.protocols import Model, StreamingModel, TextStream
from seal_agent.sampling import Sampling, cut_at
from seal_agent.spoken import Spoken
from seal_agent.types import Answer, Generation, Turn


class AnswerStream:
    """Made by `Scope.stream`. Joined, its pieces are `answer.text`.

    with scope.stream("What should I cook?") as stream:
        for piece in stream:
            print(piece, end="", flush=True)
    print(stream.answer.trace.adapter)

    `async with` and `async for` do the same without blocking the event loop.
    """

    def __init__(
        self,
        pieces: TextStream,
        finish: Callable[[Generation, float | None], Answer],
        release: Callable[[], None],
        failed: Callable[[GenerationError], None] | None = None,
        threads: Callable[[], Executor] | None = None,
    ) -> None:
        """Private. `finish` gets what was said and when its first piece came, `failed` why the model said no more.

        `release` is called once, however the stream ends. `threads` returns those in which an event loop's reader waits.
        """
        self._threads = threads
        self._failed = failed
        self._pieces = pieces
        self._finish = finish
        self._release: Callable[[], None] | None = release
        self._first_at: float | None = None
        self._answer: Answer | None = None

    @property
    def answer(self) -> Answer:
        """The whole answer with its trace. Raise `UsageError` while pieces are left, or when the stream was closed before its end."""
        if self._answer is None:
            raise UsageError("The answer is not whole: read the stream to its end first.")
        return self._answer

    def read(self) -> Answer:
        """Read what is left and return the whole answer."""
        for _ in self:
            pass
        return self.answer

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        """Return the next piece. Raise `DeadlineError` when the time is up and `GenerationError` when the model fails."""
        if self._release is None:
            raise StopIteration
        try:
            piece = next(self._pieces)
        except StopIteration:
            if self._release is not None:  # another thread may have closed the stream while this one waited: then nothing is whole
                self._answer = self._finish(self._pieces.result, self._first_at)
                self.close()
            raise
        except BaseException as error:  # whatever it was, the place in the batch is free again; it is raised on
            self.close()
            if isinstance(error, GenerationError) and self._failed is not None:
                self._failed(error)
            raise
        if self._first_at is None:
            self._first_at = time.perf_counter()
        return piece

    def close(self) -> None:
        """Stop the model if it is still speaking. Idempotent; safe from any thread."""
        release, self._release = self._release, None
        if release is not None:
            try:
                self._pieces.close()
            finally:
                release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        # A thread waits for each piece. Cancelled, it is let go by closing the stream, which is what whoever cancels wants.
        try:
            take = functools.partial(contextvars.copy_context().run, next, self, None)
            piece = await asyncio.get_running_loop().run_in_executor(self._threads() if self._threads else None, take)
        except asyncio.CancelledError:
            self.close()
            raise
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        await asyncio.to_thread(self.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        with suppress(Exception):  # the interpreter may be going down; an error here could reach nobody
            self.close()


def open_text_stream(
    model: Model, prompt: Sequence[Turn], adapter: str | None, sampling: Sampling, timeout: float | None = None
) -> TextStream:
    """Stream from any model; one that can't is asked for its whole answer, which comes in one piece and heeds no `timeout`."""
    if isinstance(model, StreamingModel):
        return model.stream(prompt, adapter=adapter, sampling=sampling, timeout=timeout)
    if sampling.top_p < 1:
        raise UsageError(f"{type(model).__name__} knows no top_p; leave it out.")
    (whole,) = model.generate(
        [prompt], adapter=adapter, max_tokens=sampling.max_tokens, temperature=sampling.temperature, seed=sampling.seed
    )
    text, stopped = cut_at(whole.text, sampling.stop)
    tokens = model.count_tokens(text) if stopped else whole.tokens
    return Spoken(Generation(text=text, tokens=tokens, finished=whole.finished or stopped), [text])
