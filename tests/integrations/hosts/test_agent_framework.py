"""The context provider, in a real agent of Microsoft Agent Framework."""

from typing import Any

from seal_agent.ledger.episodes import list_episodes
from seal_agent.memory import Memory
from tests.integrations.hosts.host import needs

needs("agent_framework")

from agent_framework import Agent, BaseChatClient, ChatResponse, Message  # noqa: E402  # only where it is installed
from seal_agent.integrations.agent_framework import SealContextProvider  # noqa: E402


class Listening(BaseChatClient):  # type: ignore[misc]
    """Answers "ok" and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []

    def _inner_get_response(self, *, messages: Any, **_: Any) -> Any:
        async def reply() -> ChatResponse:
            self.heard.append([message.text for message in messages])
            return ChatResponse(messages=[Message("assistant", ["ok"])])

        return reply()


async def test_a_run_recalls_and_is_recorded_without_what_was_recalled(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.add("I'm vegetarian.")
    client = Listening()
    agent = Agent(client, context_providers=[SealContextProvider(ana)])
    session = agent.create_session()
    response = await agent.run("What may I eat?", session=session)
    assert response.text == "ok"
    (heard,) = client.heard
    assert any("I'm vegetarian." in text for text in heard)
    assert heard[-1] == "What may I eat?"
    with memory._parts.ledger.read() as connection:
        episode = list_episodes(connection, ana.id)[-1]
    assert [(turn.role, turn.content) for turn in episode.turns] == [("user", "What may I eat?"), ("assistant", "ok")]
    assert episode.session == session.session_id
    assert "vegetarian" not in str(session.to_dict())
