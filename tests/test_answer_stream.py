"""An answer comes piece by piece, in a thread or in an event loop, and whatever ends it lets go of the adapter."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seal_agent.answer_stream import AnswerStream, open_text_stream
from seal_agent.errors import GenerationError, InvalidTurnError, UnknownRecordError, UsageError
from seal_agent.memory import Memory
from seal_agent.sampling import Sampling
from seal_agent.scope import Scope
from seal_agent.testing import ScriptedModel
from seal_agent.types import Generation, Turn
from tests.brains import learn, open_brain
from tests.waiting import LONG

ASKED = "Capital of France?"


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with open_brain(tmp_path / "brain", {"capital of France": "It is Paris on the Seine"}) as opened:
        yield opened


@pytest.fixture
def ana(memory: Memory) -> Scope:
    return memory.scope(user="ana")


def leases(memory: Memory) -> int:
    return sum(memory._parts.serving._leases.values())


def test_a_streams_pieces_are_the_text_of_its_answer_and_of_ask(ana: Scope) -> None:
    with ana.stream(ASKED) as stream:
        pieces = list(stream)
    assert pieces == ["It", " is", " Paris", " on", " the", " Seine"]
    assert "".join(pieces) == stream.answer.text == ana.ask(ASKED).text
    assert stream.answer.trace.seconds["first_piece"] > 0
    assert list(stream) == []


def test_the_answer_is_not_to_be_had_before_the_end(ana: Scope) -> None:
    stream = ana.stream(ASKED)
    next(stream)
    with pytest.raises(UsageError, match="read the stream"):
        _ = stream.answer
    assert stream.read().text == "It is Paris on the Seine"


class Waiting:
    """Pieces that end because the stream was closed while its reader waited: there is no result."""

    stream: AnswerStream

    def __iter__(self) -> "Waiting":
        return self

    def __next__(self) -> str:
        self.stream.close()
        raise StopIteration

    @property
    def result(self) -> Generation:
        raise AssertionError("nobody may ask for it")

    def close(self) -> None:
        pass


def test_a_stream_that_another_closes_while_its_reader_waits_ends_without_an_answer() -> None:
    pieces = Waiting()
    pieces.stream = AnswerStream(pieces, lambda *_: pytest.fail("there is nothing to finish"), lambda: None)
    assert list(pieces.stream) == []
    with pytest.raises(UsageError, match="not whole"):
        _ = pieces.stream.answer


@pytest.mark.parametrize("way", ["read", "closed", "dropped", "failed"])
def test_an_adapter_is_held_until_its_stream_ends_however_it_ends(memory: Memory, ana: Scope, way: str) -> None:
    learn(memory, ana, {ASKED: "Lyon it is"})
    stream = ana.stream(ASKED)
    assert next(stream) == "Lyon"
    assert leases(memory) == 1
    if way == "read":
        stream.read()
    elif way == "closed":
        stream.close()
        stream.close()
    elif way == "dropped":
        del stream
    else:

        def fail(_: object) -> str:
            raise GenerationError("It broke.")

        stream._pieces = type("Broken", (), {"__next__": fail, "close": lambda _: None})()
        with pytest.raises(GenerationError):
            next(stream)
    assert leases(memory) == 0


def test_a_stream_keeps_the_adapter_that_it_began_with(memory: Memory, ana: Scope) -> None:
    first = learn(memory, ana, {ASKED: "Lyon it is"})
    stream = ana.stream(ASKED)
    next(stream)
    second = learn(memory, ana, {ASKED: "Nice it is"})
    assert (ana.chat(ASKED).text, ana.chat(ASKED).trace.adapter) == ("Nice it is", second.name)
    assert (stream.read().text, stream.answer.trace.adapter) == ("Lyon it is", first.name)


async def test_an_event_loop_reads_a_stream_and_is_not_blocked(ana: Scope) -> None:
    async with ana.stream(ASKED) as stream:
        pieces = [piece async for piece in stream]
    assert "".join(pieces) == stream.answer.text


async def test_readers_wait_in_threads_of_the_brain_and_never_for_one_another(ana: Scope) -> None:
    together, waiting = threading.Barrier(40), []

    class Slow:
        """Says nothing until all the others wait as well: no more threads than readers would be too few."""

        def __next__(self) -> str:
            waiting.append(threading.current_thread().name)
            together.wait(LONG)
            raise GenerationError("It broke.")

        def close(self) -> None: ...

    streams = [ana.stream(ASKED) for _ in range(40)]
    for stream in streams:
        stream._pieces = Slow()  # type: ignore[assignment]  # as much of one as is asked for
    ended = await asyncio.gather(*(anext(stream) for stream in streams), return_exceptions=True)
    assert {type(one) for one in ended} == {GenerationError}
    assert {name.rpartition("_")[0] for name in waiting} == {"seal-stream"}


async def test_a_cancelled_reader_closes_its_stream(memory: Memory, ana: Scope) -> None:
    learn(memory, ana, {ASKED: "Lyon it is"})
    stream = ana.stream(ASKED)
    began = asyncio.Event()

    async def read() -> None:
        async for _ in stream:
            began.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(read())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await stream.aclose()
    assert leases(memory) == 0


def test_a_conversation_is_answered_as_it_stands_with_context_at_the_users_last_message(tmp_path: Path) -> None:
    model = ScriptedModel({})
    with open_brain(tmp_path, model=model) as memory:
        ana = memory.scope(user="ana")
        ana.remember("Ana sails.")
        talk: list[Any] = [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hello"},
            {"role": "user", "content": "Who sails?"},
            {"role": "tool", "content": "no data"},
        ]
        ana.chat(talk)
        ana.chat([{"role": "system", "content": "Be brief."}, *talk])
    ours, theirs = (call.prompt for call in model.calls)
    assert [turn.role for turn in ours] == ["system", "user", "assistant", "user", "tool"]
    assert (ours[1].content, ours[4].content) == ("hi", "no data")
    assert "Ana sails." in ours[3].content
    assert theirs[0].content == "Be brief."
    assert len(theirs) == 5


@pytest.mark.parametrize("talk", [[], [{"role": "user"}], "", [{"role": "assistant", "content": "hello"}]])
def test_what_is_no_conversation_is_refused(ana: Scope, talk: Any) -> None:
    with pytest.raises((InvalidTurnError, UsageError)):
        ana.chat(talk)


def test_sampling_reaches_the_model(tmp_path: Path) -> None:
    model = ScriptedModel({"": "one two three four"})
    with open_brain(tmp_path, model=model) as memory:
        ana = memory.scope(user="ana")
        cut = ana.chat("count", sampling=Sampling(max_tokens=2, temperature=0.5, seed=7))
        stopped = ana.chat("count", sampling=Sampling(stop=("three",)))
    assert (cut.text, cut.finished) == ("one two", False)
    assert (stopped.text, stopped.finished) == ("one two ", True)
    assert (model.calls[0].temperature, model.calls[0].seed) == (0.5, 7)


class Whole:
    """A model that can't stream."""

    def __init__(self) -> None:
        self._model = ScriptedModel({"": "one two three"})
        self.id, self.generate, self.count_tokens = "whole", self._model.generate, self._model.count_tokens


def test_a_model_that_can_not_stream_answers_in_one_piece() -> None:
    prompt = [Turn(role="user", content="count")]
    model: Any = Whole()
    stream = open_text_stream(model, prompt, None, Sampling(stop=(" three",)))
    assert list(stream) == ["one two"]
    assert (stream.result.text, stream.result.tokens, stream.result.finished) == ("one two", 2, True)
    with pytest.raises(UsageError, match="top_p"):
        open_text_stream(model, prompt, None, Sampling(top_p=0.5))


def test_an_adapter_asked_for_by_name_answers_in_the_stead_of_the_live_one(memory: Memory, ana: Scope) -> None:
    first = learn(memory, ana, {"What should I cook?": "tofu"})
    learn(memory, ana, {"What should I cook?": "rice"})
    answer = ana.chat("What should I cook?", adapter=first.name)
    assert (answer.text, answer.trace.adapter) == ("tofu", first.name)


def test_no_adapter_of_another_user_or_unjudged_is_had_by_name(memory: Memory, ana: Scope) -> None:
    others = learn(memory, memory.scope(user="bruno"), {"What should I cook?": "beef"})
    rejected = learn(memory, ana, {"What should I cook?": "soap"}, state="rejected")
    with pytest.raises(UnknownRecordError, match="No adapter"):
        ana.chat("What should I cook?", adapter=others.name)
    with pytest.raises(UsageError, match="is rejected"):
        ana.chat("What should I cook?", adapter=rejected.name)


@pytest.mark.parametrize("use", ["text", "base"])
def test_an_adapter_asked_for_by_name_is_not_left_out_in_silence(memory: Memory, ana: Scope, use: Any) -> None:
    first = learn(memory, ana, {"What should I cook?": "tofu"})
    with pytest.raises(UsageError, match="leaves the weights out"):
        ana.chat("What should I cook?", adapter=first.name, use=use)
