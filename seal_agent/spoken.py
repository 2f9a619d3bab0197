"""The stream of an answer that is known already, for models that say it at once and for the fakes. Deliberately waits for nothing."""

from collections.abc import Iterable
from typing import Self

from seal_agent.errors import GenerationError
from seal_agent.types import Generation


class Spoken:
    """Implements `seal_agent.protocols.TextStream` over given pieces, which joined are `result.text`."""

    def __init__(self, result: Generation, pieces: Iterable[str]) -> None:
        self._result = result
        self._left = [piece for piece in pieces if piece]
        self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if self._closed or not self._left:
            raise StopIteration
        return self._left.pop(0)

    @property
    def result(self) -> Generation:
        if self._left:
            raise GenerationError("The answer is not whole: the stream was not read to its end.")
        return self._result

    def close(self) -> None:
        self._closed = True
