"""The session, in real runs of the OpenAI Agents SDK."""

from typing import Any

import pytest

from seal_agent.memory import Memory
from tests.integrations.hosts.host import needs

needs("agents")

from agents import Agent, ModelResponse, RunConfig, Runner, Usage  # noqa: E402  # only where it is installed
from agents.models.interface import Model  # noqa: E402
from openai.types.responses import ResponseOutputMessage, ResponseOutputText  # noqa: E402
from seal_agent.integrations.openai_agents import SealSession  # noqa: E402


class Listening(Model):  # type: ignore[misc]
    """Answers "ok" and keeps what it was asked."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def get_response(self, system_instructions: Any, input: Any, *rest: Any, **options: Any) -> Any:
        self.heard.append(input)
        text = ResponseOutputText(text="ok", type="output_text", annotations=[])
        message = ResponseOutputMessage(id="m", role="assistant", status="completed", type="message", content=[text])
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *arguments: Any, **options: Any) -> Any:
        raise NotImplementedError


async def test_a_run_goes_on_where_the_session_ended_and_recalls_other_sessions(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.add("I'm vegetarian.", session="earlier")
    model, session = Listening(), SealSession(ana, "chat.1")
    config = RunConfig(session_input_callback=session.with_recall, tracing_disabled=True)
    agent = Agent(name="a", model=model)
    await Runner.run(agent, "What may I eat?", session=session, run_config=config)
    await Runner.run(agent, "And drink?", session=session, run_config=config)
    first, second = model.heard
    assert "I'm vegetarian." in str(first[0]["content"])
    assert first[-1]["content"] == "What may I eat?"
    said = [item.get("content") for item in second]
    assert "What may I eat?" in said
    assert said[-1] == "And drink?"
    history = await session.get_items()
    assert [item["role"] for item in history] == ["user", "assistant", "user", "assistant"]
    assert not any("vegetarian" in str(item) for item in history)
    found = {(hit.text, hit.role) for hit in ana.search("eat", 50)}
    assert ("What may I eat?", "user") in found
    assert ("ok", "assistant") in found
    assert not any("vegetarian" in text for text, _ in found if text != "I'm vegetarian.")


async def test_the_history_is_kept_in_order_limited_popped_and_cleared(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    session = SealSession(ana, "s", record=False)
    items: list[Any] = [{"role": "user", "content": str(number)} for number in range(12)]
    await session.add_items(items[:5])
    await session.add_items(items[5:])
    assert await session.get_items() == items
    assert await SealSession(ana, "s").get_items(3) == items[-3:]
    assert await session.get_items(0) == []
    assert await session.pop_item() == items[-1]
    assert await SealSession(ana, "other").get_items() == []
    await session.clear_session()
    assert await session.get_items() == []
    assert await session.pop_item() is None
    await session.add_items([])


async def test_a_memory_that_fails_does_not_stop_a_run(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = memory.scope(user="ana")

    def broken(*_: Any, **__: Any) -> Any:
        raise OSError("on fire")

    monkeypatch.setattr(type(ana), "context", broken)
    monkeypatch.setattr(type(ana), "add", broken)
    session, model = SealSession(ana, "s"), Listening()
    config = RunConfig(session_input_callback=session.with_recall, tracing_disabled=True)
    result = await Runner.run(Agent(name="a", model=model), "Hi", session=session, run_config=config)
    assert result.final_output == "ok"
