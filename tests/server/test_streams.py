"""Streams on a real connection: a client that leaves frees the generation, and many at once are answered while adapters swap."""

import asyncio
import json
import socket
import threading
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from seal_agent.memory import Memory
from seal_agent.sampling import Sampling
from seal_agent.testing import ScriptedModel
from tests.brains import learn, open_brain
from tests.server.conftest import SUPPORT, make_app
from tests.server.running import Running, running
from tests.waiting import LONG, wait_until

TALK: Any = [{"role": "user", "content": "Speak"}]


class Patient(ScriptedModel):
    """Says "word" until it is stopped, one piece each time it is allowed to."""

    def __init__(self) -> None:
        super().__init__({}, id="scripted")
        self.open = 0
        self.stopped = threading.Event()

    def stream(self, prompt: Any, *, adapter: str | None = None, sampling: Sampling | None = None, timeout: float | None = None) -> Any:
        model = self
        model.open += 1

        class Endless:
            result = None

            def __iter__(self) -> Any:
                return self

            def __next__(self) -> str:
                if model.stopped.wait(0.02):
                    raise StopIteration
                return "word "

            def close(self) -> None:
                if not model.stopped.is_set():
                    model.open -= 1
                    model.stopped.set()

        return Endless()


def leave_in_mid_stream(server: Running) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0, timeout=LONG)
    with client, client.chat.completions.create(model="seal-agent", messages=TALK, stream=True) as stream:
        said = [chunk.choices[0].delta.content for _, chunk in zip(range(4), stream, strict=False)]
    assert said[1:] == ["word ", "word ", "word "]


def leave_before_the_answer(server: Running, model: Patient) -> None:
    body = json.dumps({"model": "seal-agent", "messages": TALK}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(head.encode() + body)
        wait_until(lambda: model.open == 1)


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_leaves_in_mid_answer_frees_the_generation(tmp_path: Path, streamed: bool) -> None:
    model = Patient()
    with open_brain(tmp_path, model=model) as memory, running(make_app(memory, local=SUPPORT)) as server:
        if streamed:
            leave_in_mid_stream(server)
        else:
            leave_before_the_answer(server, model)
        wait_until(model.stopped.is_set)
        assert model.open == 0

        def metrics() -> str:
            return httpx2.get(f"{server.url}/metrics", timeout=LONG).text

        wait_until(lambda: "seal_chat_disconnects_total 1.0" in metrics())
        wait_until(lambda: "seal_chat_answers_open 0.0" in metrics())
        if streamed:  # what was said is kept, and marked
            wait_until(lambda: memory.stats().episodes == 1)


def swap_until(stop: threading.Event, memory: Memory) -> int:
    scope = memory.scope(user="ana", agent="support")
    swaps = 0
    while not stop.is_set():
        scope.adapters.rollback()
        scope.adapters.forward()
        swaps += 2
    return swaps


@pytest.mark.slow
async def test_two_hundred_parallel_streams_while_adapters_swap_give_no_error_and_no_mixed_answer(tmp_path: Path) -> None:
    script = {"asked": "base " * 20}
    with open_brain(tmp_path, script) as memory, running(make_app(memory, local=SUPPORT, requests_per_minute=0)) as server:
        scope = memory.scope(user="ana", agent="support")
        learn(memory, scope, {"asked what is asked": "first " * 20})
        learn(memory, scope, {"asked what is asked": "second " * 20})
        stop = threading.Event()
        swapping = asyncio.create_task(asyncio.to_thread(swap_until, stop, memory))
        talk: Any = [{"role": "user", "content": "asked what is asked"}]

        async def one() -> tuple[str, Any]:
            stream = await client.chat.completions.create(
                model="seal-agent", messages=talk, stream=True, user="ana", max_tokens=50, extra_headers={"Seal-Record": "off"}
            )
            said, adapter = [], None
            async for chunk in stream:
                said.append(chunk.choices[0].delta.content or "")
                adapter = (chunk.model_extra or {}).get("seal", {}).get("adapter", adapter)
            return "".join(said), adapter

        limits = httpx2.Limits(max_connections=250)
        async with openai.AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key="unused", max_retries=0, http_client=httpx2.AsyncClient(limits=limits, timeout=LONG)
        ) as client:
            answers = await asyncio.gather(*(one() for _ in range(200)))
        stop.set()
        swaps = await swapping
    assert swaps > 0
    assert len(answers) == 200
    by_adapter: dict[Any, set[str]] = {}
    for text, adapter in answers:
        by_adapter.setdefault(adapter, set()).add(" ".join(sorted(set(text.split()))))
    assert all(len(said) == 1 for said in by_adapter.values()), by_adapter
