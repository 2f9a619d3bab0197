"""ChatSeal beyond LangChain's own suites: adapters, caches, tool calls in mid-stream, and what it refuses."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from seal_agent.integrations.langchain import ChatSeal
from seal_agent.integrations.langchain.chat_messages import to_conversation
from seal_agent.integrations.langchain.chat_tools import Speech

from seal_agent.errors import OverloadedError, UnknownRecordError, UsageError
from seal_agent.memory import Memory
from seal_agent.scope import Scope
from seal_agent.testing import Call, ScriptedModel
from seal_agent.types import Turn
from tests.brains import learn, open_brain
from tests.waiting import LONG

QUESTION = "What may Ana eat?"


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return city


def calls(memory: Memory) -> list[Call]:
    """What the scripted model was asked."""
    model = memory._parts.model
    assert isinstance(model, ScriptedModel)
    return model.calls


def saying(text: str, folder: Path) -> Memory:
    return open_brain(folder, model=ScriptedModel(lambda _: text))


@pytest.fixture
def cache() -> Iterator[InMemoryCache]:
    cache = InMemoryCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


def test_the_live_adapter_one_by_name_and_the_base_answer_differently(memory: Memory, ana: Scope) -> None:
    first = learn(memory, ana, {QUESTION: "Lentils."})
    second = learn(memory, ana, {QUESTION: "Beans."})
    chat = ChatSeal(scope=ana)

    def answers(model: str) -> tuple[str, str]:
        reply = chat.invoke(QUESTION, model=model)
        return reply.content, reply.response_metadata["model_name"]

    assert answers("seal-agent") == ("Beans.", f"seal-agent:{second.name}")
    assert answers(f"seal-agent:{first.name}") == ("Lentils.", f"seal-agent:{first.name}")
    assert answers("seal-agent:base") == ("I don't know.", "seal-agent:base")
    assert ChatSeal(scope=ana, model=f"seal-agent:{first.name}").invoke(QUESTION).content == "Lentils."


@pytest.mark.parametrize("per_call", [{}, {"model": "seal-agent"}])
def test_a_cache_never_gives_an_answer_of_before_a_hot_swap(memory: Memory, ana: Scope, cache: InMemoryCache, per_call: Any) -> None:
    chat = ChatSeal(scope=ana, model="seal-agent:base" if per_call else "seal-agent")
    before = [chat.invoke(QUESTION, **per_call).content for _ in range(2)]
    assert len(calls(memory)) == 1  # the second came from the cache
    learn(memory, ana, {QUESTION: "Lentils."})
    assert [*before, chat.invoke(QUESTION, **per_call).content] == ["I don't know.", "I don't know.", "Lentils."]
    ana.adapters.rollback()
    assert chat.invoke(QUESTION, **per_call).content == "I don't know."


def test_answers_that_look_things_up_are_not_cached(ana: Scope, memory: Memory, cache: InMemoryCache) -> None:
    chat = ChatSeal(scope=ana, use="both")
    for _ in range(2):
        chat.invoke(QUESTION)
    assert len(calls(memory)) == 2
    assert cache._cache == {}
    with pytest.raises(UsageError, match="can't be cached"):
        ChatSeal(scope=ana, use="text", cache=True)


def test_looking_things_up_puts_them_into_the_prompt_and_cites_them(memory: Memory, ana: Scope) -> None:
    episode = ana.add("I'm vegetarian.")
    reply = ChatSeal(scope=ana, use="both").invoke(QUESTION)
    assert "I'm vegetarian." in calls(memory)[-1].prompt[-1].content
    assert reply.response_metadata["cited"] == [episode.id]
    ChatSeal(scope=ana).invoke(QUESTION)
    assert "vegetarian" not in str(calls(memory)[-1].prompt)


def test_an_adapter_of_somebody_else_and_a_name_that_is_not_ours_are_refused(memory: Memory, ana: Scope) -> None:
    foreign = learn(memory, memory.scope(user="bruno", agent="support"), {QUESTION: "Steak."})
    with pytest.raises(UnknownRecordError):
        ChatSeal(scope=ana).invoke(QUESTION, model=f"seal-agent:{foreign.name}")
    for name in ("gpt-5", "seal-agent:", "seal-agentx"):
        with pytest.raises(UsageError, match="not one of ours"):
            ChatSeal(scope=ana).invoke(QUESTION, model=name)


def test_parameters_reach_the_model_and_per_call_ones_win(memory: Memory, ana: Scope) -> None:
    chat = ChatSeal(scope=ana, temperature=0.5, max_tokens=9, seed=7, stop=["know"])
    assert chat.invoke(QUESTION).content == "I don't "
    assert chat.invoke(QUESTION, temperature=0.0, max_tokens=1).content == "I"
    first, second = calls(memory)
    assert (first.temperature, first.max_tokens, first.seed) == (0.5, 9, 7)
    assert (second.temperature, second.max_tokens, second.seed) == (0.0, 1, 7)
    assert chat.invoke(QUESTION, max_tokens=1).response_metadata["finish_reason"] == "length"


def test_when_too_many_wait_it_tries_again_and_then_gives_up(ana: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []
    real = Scope.stream

    def busy(self: Scope, *arguments: Any, **options: Any) -> Any:
        tries.append(1)
        if len(tries) % 3:
            raise OverloadedError("Too many requests wait; try again.")
        return real(self, *arguments, **options)

    monkeypatch.setattr(Scope, "stream", busy)
    monkeypatch.setattr("seal_agent.integrations.langchain.chat.RETRY_SECONDS", 0.0)
    assert ChatSeal(scope=ana).invoke(QUESTION).content == "I don't know."
    assert len(tries) == 3
    with pytest.raises(OverloadedError):
        ChatSeal(scope=ana, max_retries=0).invoke(QUESTION)


async def test_a_stream_that_is_left_early_frees_its_place(ana: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    real = Scope.stream

    def watched(self: Scope, *arguments: Any, **options: Any) -> Any:
        opened.append(real(self, *arguments, **options))
        return opened[-1]

    monkeypatch.setattr(Scope, "stream", watched)
    chat = ChatSeal(scope=ana)
    stream = chat.astream(QUESTION)
    await anext(stream)
    await stream.aclose()
    for piece in chat.stream(QUESTION):
        assert piece
        break
    async with asyncio.timeout(LONG):  # the stream ends in a thread of its own
        while [answer._release for answer in opened] != [None, None]:
            await asyncio.sleep(0.01)


def chunks_of(*pieces: str) -> Any:
    speech = Speech(tools=True)
    parts = [chunk.message for piece in pieces for chunk in speech.feed(piece)] + [chunk.message for chunk in speech.end()]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    return whole


CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>'


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_a_call_is_read_whatever_pieces_it_comes_in(size: int) -> None:
    text = f"Let me see. {CALL}{CALL}"
    whole = chunks_of(*(text[start : start + size] for start in range(0, len(text), size)))
    assert whole.content == "Let me see. "
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [("weather", {"city": "Köln"})] * 2
    assert len({call["id"] for call in whole.tool_calls}) == 2


@pytest.mark.parametrize("text", ["a < b", "a <tool", "<tool_ca>", "<", "x<tool_callx>"])
def test_what_only_begins_like_a_call_is_text(text: str) -> None:
    assert chunks_of(*text).content == text


@pytest.mark.parametrize("body", ["{not json", '{"arguments": {}}', "[1]"])
def test_a_call_that_can_not_be_read_is_an_invalid_one_not_a_text(body: str) -> None:
    whole = chunks_of(f"<tool_call>{body}</tool_call>")
    assert whole.content == ""
    assert whole.tool_calls == []
    assert json.loads(whole.invalid_tool_calls[0]["args"]) == body


def test_a_call_cut_off_by_the_token_limit_is_handed_on_as_far_as_it_came() -> None:
    whole = chunks_of('<tool_call>{"name": "weather", "argu')
    assert whole.tool_calls == []
    assert len(whole.invalid_tool_calls) == 1


def test_without_tools_the_marks_are_only_words(tmp_path: Path) -> None:
    with saying(f"say {CALL}", tmp_path) as memory:
        assert ChatSeal(scope=memory.scope()).invoke("hi").content == f"say {CALL}"
        assert ChatSeal(scope=memory.scope()).bind_tools([weather]).invoke("hi").tool_calls[0]["args"] == {"city": "Köln"}


def test_tools_are_described_to_the_model_after_the_system_message(memory: Memory, ana: Scope) -> None:
    ChatSeal(scope=ana).bind_tools([weather], tool_choice="weather").invoke([SystemMessage("Be brief."), HumanMessage("hi")])
    system = calls(memory)[-1].prompt[0].content
    assert system.startswith("Be brief.\n\n")
    assert '"Tell the weather."' in system
    assert system.endswith("You must call the tool 'weather' now.")
    ChatSeal(scope=ana).bind_tools([weather], tool_choice="none").invoke("hi")
    assert "weather" not in str(calls(memory)[-1].prompt)
    with pytest.raises(UsageError, match="names no tool"):
        ChatSeal(scope=ana).bind_tools([weather], tool_choice="wether")


def test_a_whole_conversation_becomes_turns_in_order() -> None:
    call = {"name": "weather", "args": {"city": "Ulm"}, "id": "1"}
    said = [
        SystemMessage("One."),
        HumanMessage([{"type": "text", "text": "hi"}, "there"], name="ana"),
        AIMessage([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "Let me see."}], tool_calls=[call]),
        ToolMessage("rain", tool_call_id="1"),
        ToolMessage("no such city", tool_call_id="2", status="error"),
        SystemMessage("Two."),
        AIMessage(""),
        ChatMessage(content="bye", role="user"),
    ]
    assert [(turn.role, turn.content, turn.name) for turn in to_conversation(said)] == [
        ("system", "One.\n\nTwo.", None),
        ("user", "hi\nthere", "ana"),
        ("assistant", 'Let me see.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Ulm"}}\n</tool_call>', None),
        ("tool", "<tool_response>\nrain\n</tool_response>", None),
        ("tool", "<tool_response>\nThe tool failed: no such city\n</tool_response>", None),
        ("user", "bye", None),
    ]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (HumanMessage([{"type": "image_url", "image_url": {"url": "data:"}}]), "'image_url'"),
        (HumanMessage([{"type": "audio"}]), "'audio'"),
        (ChatMessage(content="x", role="moderator"), "'moderator'"),
        (SystemMessage("only this"), "nothing to answer"),
    ],
)
def test_what_can_not_be_answered_is_refused_with_its_reason(ana: Scope, message: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ChatSeal(scope=ana).invoke([message])


def test_structured_output_comes_back_in_the_asked_for_shape(tmp_path: Path) -> None:
    from pydantic import BaseModel

    class City(BaseModel):
        """A city."""

        name: str
        people: int

    with saying('<tool_call>{"name": "City", "arguments": {"name": "Ulm", "people": 126000}}</tool_call>', tmp_path) as memory:
        found = ChatSeal(scope=memory.scope()).with_structured_output(City).invoke("Which city?")
    assert found == City(name="Ulm", people=126000)


def test_the_prompt_holds_what_was_said_and_nothing_more(memory: Memory, ana: Scope) -> None:
    ChatSeal(scope=ana).invoke("hi")
    prompt: Sequence[Turn] = calls(memory)[-1].prompt
    assert [(turn.role, turn.content) for turn in prompt] == [("system", ""), ("user", "hi")]
