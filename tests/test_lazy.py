"""A part is built once, whoever asks first; a build that failed is not tried again at once."""

import threading
import time

import pytest

from seal_agent import lazy
from seal_agent.errors import ModelNotFoundError
from seal_agent.lazy import Lazy


def test_nothing_is_built_before_it_is_needed() -> None:
    part = Lazy(lambda: pytest.fail("built too early"))
    assert part.peek() is None


def test_many_threads_get_the_one_part_that_was_built() -> None:
    built: list[object] = []

    def build() -> object:
        time.sleep(0.01)
        built.append(object())
        return built[-1]

    part, got = Lazy(build), list[object]()
    threads = [threading.Thread(target=lambda: got.append(part.get())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(built), len(got), set(got)) == (1, 8, set(built))


def test_a_failed_build_is_remembered_for_a_while_and_then_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def build() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ModelNotFoundError("No weights; connect the network.")
        return "built"

    part = Lazy(build)
    for _ in range(2):
        with pytest.raises(ModelNotFoundError, match="connect the network"):
            part.get()
    assert len(tries) == 1
    monkeypatch.setattr(lazy, "RETRY_SECONDS", 0.0)
    assert part.get() == "built"
