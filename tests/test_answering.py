"""An answer comes from text, from weights or from both, and says which."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seal_agent.answering import estimate_tokens
from seal_agent.config import Settings
from seal_agent.errors import ModelNotFoundError, UsageError
from seal_agent.memory import Memory
from seal_agent.testing import ScriptedModel
from tests.brains import learn, open_brain


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with open_brain(tmp_path / "brain", {"capital of France": "Paris", "vegetarian[^?]*cook": "lentils"}) as opened:
        yield opened


def test_a_missing_model_says_where_it_was_looked_for(tmp_path: Path) -> None:
    settings = Settings.load(None, model={"id": str(tmp_path / "absent")})
    with open_brain(tmp_path / "brain", model=None, settings=settings) as memory, pytest.raises(ModelNotFoundError, match="absent"):
        memory.scope(user="ana").ask("Who am I?")


def test_an_answer_says_what_it_rests_on(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    episode = ana.add("I'm vegetarian, so cook accordingly")
    answer = ana.ask("Dinner?")
    assert (answer.text, answer.trace.route, answer.trace.adapter, answer.trace.cited) == ("lentils", "both", None, (episode.id,))
    assert answer.trace.prompt_tokens > 10
    assert answer.trace.answer_tokens == 1
    assert set(answer.trace.seconds) == {"load", "route", "context", "adapter", "answer"}
    assert memory.stats().episodes == 1


def test_weights_alone_are_asked_without_context(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.add("I'm vegetarian, so cook accordingly")
    learn(memory, ana, {"What should I cook?": "tofu"})
    assert ana.ask("What should I cook?", use="weights").text == "tofu"
    assert ana.ask("What should I cook?", use="weights").trace.cited == ()


def test_text_alone_is_asked_without_the_adapter(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    learn(memory, ana, {"Capital of France?": "Lyon"})
    answer = ana.ask("Capital of France?", use="text")
    assert (answer.text, answer.trace.adapter) == ("Paris", None)


def test_a_user_without_an_adapter_is_answered_by_the_shared_one(memory: Memory) -> None:
    shared = learn(memory, memory.scope(), {"When do parcels ship?": "on Monday"})
    answer = memory.scope(user="ana").ask("When do parcels ship?")
    assert (answer.text, answer.trace.adapter) == ("on Monday", shared.name)


def test_a_question_in_the_place_of_a_list_is_not_asked_letter_by_letter(memory: Memory) -> None:
    with pytest.raises(UsageError, match="there is ask"):
        memory.scope(user="ana").ask_many("Why?")


def test_no_other_users_adapter_ever_answers(memory: Memory) -> None:
    learn(memory, memory.scope(user="ben"), {"What is my pin?": "1234"})
    assert memory.scope(user="ana").ask("What is my pin?").trace.adapter is None


@pytest.mark.parametrize("damage", ["flipped", "missing", "foreign file"])
def test_a_damaged_adapter_is_passed_over_with_a_warning(memory: Memory, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    ana = memory.scope(user="ana")
    adapter = learn(memory, ana, {"Capital of France?": "Lyon"})
    weights = memory.folder / adapter.path / "adapter_model.safetensors"
    if damage == "flipped":
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    elif damage == "missing":
        weights.unlink()
    else:
        (weights.parent / "code.py").write_text("boom")
    answer = ana.ask("Capital of France?")
    assert (answer.text, answer.trace.adapter) == ("Paris", None)
    assert adapter.name in caplog.text
    assert "IntegrityError" in caplog.text


@pytest.mark.parametrize("question", ["", "  ", None, "\ud800"])
def test_what_is_no_question_is_refused(memory: Memory, question: Any) -> None:
    with pytest.raises(UsageError):
        memory.scope(user="ana").ask(question)


def test_a_route_that_does_not_exist_is_refused(memory: Memory) -> None:
    with pytest.raises(UsageError, match="text, weights, both, base"):
        memory.scope(user="ana").ask("Who?", use="guess")  # type: ignore[arg-type]  # the point


def test_what_is_remembered_stands_ahead_of_the_question(tmp_path: Path) -> None:
    model = ScriptedModel({})
    with open_brain(tmp_path, model=model) as memory:
        ana = memory.scope(user="ana")
        ana.remember("Ana sails.")
        ana.ask("Who sails?")
        ana.ask("Who sails?", use="weights")
    with_text, bare = (call.prompt[-1] for call in model.calls)
    assert (with_text.role, bare.content) == ("user", "Who sails?")
    assert with_text.content.startswith("What is remembered about Ana")
    assert "Ana sails." in with_text.content
    assert with_text.content.endswith(">>\n\nWho sails?")


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [("", 0, 0), ("Ana drinks tea in the morning", 6, 9), ("x" * 400, 100, 100), ("素晴らしい一日", 7, 14)],
    ids=["nothing", "a sentence", "one long word", "Japanese"],
)
def test_tokens_are_estimated_without_a_tokenizer(text: str, least: int, most: int) -> None:
    assert least <= estimate_tokens(text) <= most
