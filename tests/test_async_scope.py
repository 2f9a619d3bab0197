import asyncio
import contextvars
import inspect
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from seal_agent.errors import InvalidTurnError, StoreError
from seal_agent.protocols import Vectors
from seal_agent.scope import Scope
from seal_agent.testing import HashEmbedder
from tests.brains import open_brain
from tests.waiting import LONG

TWINS = sorted(name for name, value in inspect.getmembers(Scope) if inspect.iscoroutinefunction(value))


class SlowEmbedder(HashEmbedder):
    """Holds every call until it is let go, like a model that is busy."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.go = threading.Event()

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.entered.set()
        assert self.go.wait(LONG)
        return super().embed(texts)


async def test_what_is_added_by_await_is_found_by_await(tmp_path: Path) -> None:
    with open_brain(tmp_path) as memory:
        ana = memory.scope(user="ana")
        episode = await ana.aadd("I'm vegetarian.", session="s1")
        assert episode.session == "s1"
        assert [hit.text for hit in await ana.asearch("what may she eat?", k=1)] == ["I'm vegetarian."]
        assert episode.id in (await ana.acontext("food")).cited
        assert (await ana.aask("Hello?")).text is not None


async def test_the_event_loop_goes_on_while_a_call_runs(tmp_path: Path) -> None:
    embedder = SlowEmbedder()
    with open_brain(tmp_path, embedder=embedder) as memory:
        adding = asyncio.create_task(memory.scope(user="ana").aadd("I'm vegetarian."))
        while not embedder.entered.is_set():
            await asyncio.sleep(0.001)
        assert not adding.done()
        embedder.go.set()
        await adding


async def test_a_hundred_calls_at_once_lose_nothing(tmp_path: Path) -> None:
    with open_brain(tmp_path) as memory:
        ana = memory.scope(user="ana")
        await asyncio.gather(*(ana.aadd(f"Order {n} ships to Rotterdam.", id=f"e{n}") for n in range(100)))
        assert memory.stats().episodes == 100


async def test_errors_are_those_of_the_call_itself(tmp_path: Path) -> None:
    memory = open_brain(tmp_path)
    with pytest.raises(InvalidTurnError):
        await memory.scope(user="ana").aadd("")
    ana = memory.scope(user="ana")
    memory.close()
    with pytest.raises(StoreError, match="closed"):
        await ana.aadd("Too late.")


async def test_a_cancelled_add_that_has_begun_is_recorded(tmp_path: Path) -> None:
    embedder = SlowEmbedder()
    with open_brain(tmp_path, embedder=embedder) as memory:
        adding = asyncio.create_task(memory.scope(user="ana").aadd("I'm vegetarian."))
        while not embedder.entered.is_set():
            await asyncio.sleep(0.001)
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        embedder.go.set()
        async with asyncio.timeout(LONG):
            while memory.stats().episodes == 0:
                await asyncio.sleep(0.005)


async def test_context_variables_reach_the_call(tmp_path: Path) -> None:
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")
    seen: list[str] = []

    class Watching(HashEmbedder):
        def embed(self, texts: Sequence[str]) -> Vectors:
            seen.append(request.get())
            return super().embed(texts)

    with open_brain(tmp_path, embedder=Watching()) as memory:
        request.set("r1")
        await memory.scope(user="ana").aadd("I'm vegetarian.")
    assert seen == ["r1"]


@pytest.mark.parametrize("name", TWINS)
def test_each_twin_has_its_namesakes_signature_and_says_what_it_is(name: str) -> None:
    twin, original = getattr(Scope, name), getattr(Scope, name.removeprefix("a"))
    assert inspect.signature(twin) == inspect.signature(original)
    assert twin.__name__ == name
    assert original.__name__ in twin.__doc__


def test_every_daily_call_has_a_twin() -> None:
    assert {"aadd", "asearch", "acontext", "aask", "aask_many", "aremember", "afacts"} <= set(TWINS)


def test_a_forked_process_is_told_to_open_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_brain(tmp_path) as memory:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(StoreError, match="fork"):
            asyncio.run(memory.scope(user="ana").aadd("hello"))
        monkeypatch.undo()
