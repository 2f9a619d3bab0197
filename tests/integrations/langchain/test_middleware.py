"""The middleware in real agents of `create_agent`: recall, adapter, recording, and what happens when the memory fails."""

import asyncio
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from pydantic import Field
from seal_agent.integrations.langchain import ChatSeal, SealMemoryMiddleware

from seal_agent.errors import UsageError
from seal_agent.ledger.episodes import list_episodes
from seal_agent.memory import Memory
from seal_agent.scope import Scope
from seal_agent.testing import ScriptedModel
from tests.brains import BrokenEmbedder, learn, open_brain
from tests.integrations.langchain.scripted import SAYS, engine
from tests.waiting import LONG

ASKED: Any = {"messages": [{"role": "user", "content": "What may I eat?"}]}


@dataclass
class Who:
    user_id: str


class Listening(GenericFakeChatModel):
    """A model of another make that keeps what it is asked, and may fail."""

    heard: list[Any] = Field(default_factory=list)
    fails: bool = False

    def _generate(self, messages: Any, *arguments: Any, **options: Any) -> Any:
        self.heard.append(messages)
        if self.fails:
            raise ConnectionError("the provider is down, says key sk-123")
        return super()._generate(messages, *arguments, **options)

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self


def listening(*replies: str | AIMessage, fails: bool = False) -> Listening:
    messages = [reply if isinstance(reply, AIMessage) else AIMessage(reply) for reply in replies]
    return Listening(messages=iter(messages), heard=[], fails=fails)


def episodes(memory: Memory, scope: Scope) -> list[tuple[list[tuple[str, str]], str | None]]:
    """What was recorded: turns and outcome of each episode, in order."""
    with memory._parts.ledger.read() as connection:
        found = list_episodes(connection, scope.id)
    return [([(turn.role, turn.content) for turn in episode.turns], episode.outcome) for episode in found]


def test_what_was_said_before_reaches_the_model_and_what_is_said_now_is_recorded(memory: Memory, ana: Scope) -> None:
    ana.add("I'm vegetarian.")
    model = listening("Lentils.")
    agent = create_agent(model, system_prompt="Be brief.", middleware=[SealMemoryMiddleware(ana)])
    answer = agent.invoke(ASKED)
    system, asked = model.heard[0]
    assert system == SystemMessage("Be brief.", id=system.id)
    assert "I'm vegetarian." in asked.content
    assert asked.content.endswith("What may I eat?")
    # Neither the conversation nor the episode holds what was recalled.
    assert [message.content for message in answer["messages"]] == ["What may I eat?", "Lentils."]
    assert "seal_recalled" not in answer
    assert episodes(memory, ana)[1:] == [([("user", "What may I eat?"), ("assistant", "Lentils.")], None)]


async def test_the_same_holds_asynchronously_and_with_a_system_placement(memory: Memory, ana: Scope) -> None:
    ana.add("I'm vegetarian.")
    model = listening("Lentils.")
    agent = create_agent(model, system_prompt="Be brief.", middleware=[SealMemoryMiddleware(ana, placement="system")])
    await agent.ainvoke(ASKED)
    system, asked = model.heard[0]
    assert system.text.startswith("Be brief.")
    assert "I'm vegetarian." in system.text
    assert asked.content == "What may I eat?"
    assert len(episodes(memory, ana)) == 2


def test_a_brain_takes_the_user_from_context_or_configuration_and_refuses_to_guess(memory: Memory) -> None:
    memory.scope(user="ana", agent="shop").add("I'm vegetarian.")
    memory.scope(user="bruno", agent="shop").add("I eat everything.")
    model = listening("a", "b", "c")
    agent = create_agent(model, middleware=[SealMemoryMiddleware(memory, agent="shop")], context_schema=Who)
    agent.invoke(ASKED, context=Who("ana"))
    agent.invoke(ASKED, config={"configurable": {"user_id": "bruno"}})
    assert "vegetarian" in model.heard[0][-1].content
    assert "everything" not in model.heard[0][-1].content
    assert "everything" in model.heard[1][-1].content
    with pytest.raises(UsageError, match="whose memory"):
        agent.invoke(ASKED)
    assert len(model.heard) == 2


def test_a_function_says_whose_memory_it_is(memory: Memory) -> None:
    memory.scope(tenant="acme", user="ana").add("I'm vegetarian.")

    def whose(context: object, configurable: Mapping[str, Any]) -> Scope:
        return memory.scope(tenant=configurable["org"], user="ana")  # type: ignore[no-any-return, unused-ignore]

    model = listening("a")
    create_agent(model, middleware=[SealMemoryMiddleware(whose)]).invoke(ASKED, config={"configurable": {"org": "acme"}})
    assert "vegetarian" in model.heard[0][-1].content


def test_it_searches_once_per_message_however_many_calls_the_model_makes(ana: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []
    real = Scope.context

    def watched(self: Scope, query: str, *rest: Any) -> Any:
        searched.append(query)
        return real(self, query, *rest)

    monkeypatch.setattr(Scope, "context", watched)

    @tool
    def look() -> str:
        """Look."""
        return "a lamp"

    calls = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "1"}])
    model = listening(calls, "Done.")
    create_agent(model, [look], middleware=[SealMemoryMiddleware(ana)]).invoke(ASKED)
    assert len(model.heard) == 2
    assert searched == ["What may I eat?"]


def test_each_user_is_answered_by_their_own_adapter_and_one_run_keeps_one(tmp_path: Path) -> None:
    model = ScriptedModel(engine)
    with open_brain(tmp_path, model=model) as memory:
        ana, bruno = (memory.scope(user=user, agent="support") for user in ("ana", "bruno"))
        adapter = learn(memory, ana, {"What may I eat?": "Lentils, as ever."})
        chat = ChatSeal(scope=memory.scope(agent="support"))
        agent = create_agent(chat, middleware=[SealMemoryMiddleware(memory, agent="support", budget=0)])

        def ask(user: str) -> Any:
            return agent.invoke(ASKED, config={"configurable": {"user_id": user}})["messages"][-1]

        assert ask("ana").content == "Lentils, as ever."
        assert ask("ana").response_metadata["adapter"] == adapter.name
        assert ask("bruno").content == SAYS
        assert ask("bruno").response_metadata["model_name"] == "seal-agent:base"
        assert bruno.adapters.live is None
        assert chat.scope.id.user is None  # the agent's own model is left as it was


def test_an_adapter_that_the_developer_named_is_left_alone(tmp_path: Path) -> None:
    with open_brain(tmp_path) as memory:
        ana = memory.scope(user="ana")
        learn(memory, ana, {"What may I eat?": "Lentils."})
        agent = create_agent(ChatSeal(scope=ana, model="seal-agent:base"), middleware=[SealMemoryMiddleware(ana, budget=0)])
        assert agent.invoke(ASKED)["messages"][-1].content == "I don't know."


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_model_that_fails_is_recorded_without_the_error_s_words_and_still_fails(memory: Memory, ana: Scope, asynchronous: bool) -> None:
    agent = create_agent(listening(fails=True), middleware=[SealMemoryMiddleware(ana)])
    with pytest.raises(ConnectionError):
        asyncio.run(agent.ainvoke(ASKED)) if asynchronous else agent.invoke(ASKED)
    assert episodes(memory, ana) == [([("user", "What may I eat?")], "failed: ConnectionError")]


def test_a_tool_that_brings_the_agent_down_is_recorded(memory: Memory, ana: Scope) -> None:
    @tool
    def explode() -> str:
        """Explode."""
        raise RuntimeError("boom")

    model = listening(AIMessage("", tool_calls=[{"name": "explode", "args": {}, "id": "1"}]))
    with pytest.raises(RuntimeError):
        create_agent(model, [explode], middleware=[SealMemoryMiddleware(ana)]).invoke(ASKED)
    assert episodes(memory, ana) == [([("user", "What may I eat?")], "failed: RuntimeError")]


def test_an_interrupt_is_no_failure_and_what_was_recalled_is_in_no_checkpoint(memory: Memory, ana: Scope) -> None:
    ana.add("I'm vegetarian.")

    @tool
    def confirm() -> str:
        """Confirm."""
        return str(interrupt("sure?"))

    model = listening(AIMessage("", tool_calls=[{"name": "confirm", "args": {}, "id": "1"}]), "Done.")
    saver = InMemorySaver()
    agent = create_agent(model, [confirm], middleware=[SealMemoryMiddleware(ana)], checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "t1"}}
    agent.invoke(ASKED, config=config)
    assert len(episodes(memory, ana)) == 1
    assert "vegetarian" not in repr(saver.storage) + repr(saver.blobs) + repr(saver.writes)
    agent.invoke(Command(resume="yes"), config=config)
    assert "I'm vegetarian." in model.heard[1][0].content  # found anew
    assert episodes(memory, ana)[1:] == [([("user", "What may I eat?"), ("assistant", "Done.")], None)]
    with memory._parts.ledger.read() as connection:
        assert connection.exec_driver_sql("SELECT DISTINCT session FROM episodes WHERE session IS NOT NULL").scalars().all() == ["t1"]


def test_the_agent_answers_when_the_memory_is_slow_or_broken(
    memory: Memory, ana: Scope, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answered = threading.Event()

    def slow(*_: Any, **__: Any) -> Any:
        assert answered.wait(LONG)

    def broken(*_: Any, **__: Any) -> Any:
        raise OSError("disk on fire")

    for failing, said in ((slow, "took longer"), (broken, "disk on fire")):
        monkeypatch.setattr(Scope, "context", failing)
        monkeypatch.setattr(Scope, "add", broken)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            agent = create_agent(listening("Lentils.", "Lentils."), middleware=[SealMemoryMiddleware(ana, timeout=0.05)])
            assert agent.invoke(ASKED)["messages"][-1].content == "Lentils."

            async def ask(agent: Any = agent) -> Any:
                try:
                    return await agent.ainvoke(ASKED)
                finally:
                    answered.set()  # the loop does not end before its threads

            assert asyncio.run(ask())["messages"][-1].content == "Lentils."
        assert said in caplog.text
        assert "recording" in caplog.text


def test_without_an_embedder_the_agent_remembers_by_words(tmp_path: Path) -> None:
    with open_brain(tmp_path, embedder=BrokenEmbedder()) as memory:
        ana = memory.scope(user="ana")
        ana.add("I eat lentils.")
        model = listening("ok")
        create_agent(model, middleware=[SealMemoryMiddleware(ana)]).invoke({"messages": [HumanMessage("Do I eat lentils?")]})
        assert "I eat lentils." in model.heard[0][-1].content


@pytest.mark.parametrize(("record", "recorded"), [("user", [[("user", "What may I eat?")]]), ("none", [])])
def test_less_is_recorded_where_that_is_asked_for(memory: Memory, ana: Scope, record: str, recorded: list[Any]) -> None:
    create_agent(listening("Lentils."), middleware=[SealMemoryMiddleware(ana, record=record)]).invoke(ASKED)
    assert [turns for turns, _ in episodes(memory, ana)] == recorded


def test_images_stay_in_the_question_and_only_the_words_are_searched_and_recorded(memory: Memory, ana: Scope) -> None:
    ana.add("I'm vegetarian.")
    picture = {"type": "image", "url": "https://example.org/a.png"}
    model = listening("Lentils.")
    agent = create_agent(model, middleware=[SealMemoryMiddleware(ana)])
    agent.invoke({"messages": [HumanMessage([{"type": "text", "text": "May I eat this?"}, picture])]})
    block, text, image = model.heard[0][0].content
    assert "vegetarian" in block["text"]
    assert (text["text"], image) == ("May I eat this?", picture)
    assert episodes(memory, ana)[-1][0][0] == ("user", "May I eat this?")


def test_wrong_words_are_refused_at_once(ana: Scope) -> None:
    with pytest.raises(UsageError, match="placement='top'"):
        SealMemoryMiddleware(ana, placement="top")
