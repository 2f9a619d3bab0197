"""The capability, in a real agent of Pydantic AI."""

from typing import Any

import pytest

from seal_agent.ledger.episodes import list_episodes
from seal_agent.memory import Memory
from seal_agent.scope import Scope
from tests.integrations.hosts.host import needs

needs("pydantic_ai")

from pydantic_ai import Agent  # noqa: E402  # only where it is installed
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart  # noqa: E402
from pydantic_ai.models.function import AgentInfo, FunctionModel  # noqa: E402
from seal_agent.integrations.pydantic_ai import SealMemory  # noqa: E402


def recorded(memory: Memory, scope: Scope) -> list[Any]:
    with memory._parts.ledger.read() as connection:
        return [([(turn.role, turn.content) for turn in e.turns], e.outcome) for e in list_episodes(connection, scope.id)]


async def test_a_run_recalls_once_for_all_its_requests_and_is_recorded(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = memory.scope(user="ana")
    ana.add("I'm vegetarian.")
    heard: list[Any] = []
    searched: list[str] = []
    real = Scope.context

    def watched(self: Scope, query: str, *rest: Any) -> Any:
        searched.append(query)
        return real(self, query, *rest)

    monkeypatch.setattr(Scope, "context", watched)

    def answer(messages: Any, info: AgentInfo) -> ModelResponse:
        heard.append(str(messages))
        return ModelResponse(parts=[ToolCallPart("look", {}) if len(heard) == 1 else TextPart("ok")])

    agent = Agent(FunctionModel(answer), capabilities=[SealMemory(ana)])

    @agent.tool_plain  # type: ignore[untyped-decorator]
    def look() -> str:
        return "a lamp"

    result = await agent.run("What may I eat?")
    assert result.output == "ok"
    assert len(heard) == 2
    assert all("I'm vegetarian." in said for said in heard)
    assert searched == ["What may I eat?"]
    assert "vegetarian" not in str(result.all_messages())
    assert recorded(memory, ana)[1:] == [([("user", "What may I eat?"), ("assistant", "ok")], None)]


async def test_a_run_that_fails_is_recorded_and_fails(memory: Memory) -> None:
    ana = memory.scope(user="ana")

    def fail(messages: Any, info: AgentInfo) -> ModelResponse:
        raise ConnectionError("down, key sk-1")

    with pytest.raises(ConnectionError):
        await Agent(FunctionModel(fail), capabilities=[SealMemory(ana)]).run("Hi?")
    assert recorded(memory, ana) == [([("user", "Hi?")], "failed: ConnectionError")]
