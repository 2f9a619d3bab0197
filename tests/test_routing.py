"""The router: weights alone only for what they learnt and are sure of, the base for other things, and an honest no."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from seal_agent.calibration import Calibration
from seal_agent.config import Settings
from seal_agent.ledger.adapters import nearest_live
from seal_agent.ledger.schema import cycles
from seal_agent.memory import Memory
from seal_agent.routing import decide, known_of, speaks_of_others
from seal_agent.scope import Scope
from seal_agent.types import Adapter, Route, ScopeId
from tests.brains import learn, open_brain

COLOURS = ("red", "blue", "green", "white", "black", "pink", "brown", "grey")
THINGS = ("car", "house", "boat", "door", "hat", "coat", "bike", "lamp")
FACTS = [f"Ana's {thing} is {colour}." for thing, colour in zip(THINGS, COLOURS, strict=True)]
LESSONS = {f"Which colour has Ana's {thing}?": colour for thing, colour in zip(THINGS, COLOURS, strict=True)}
GENERAL = ("capital France?", "boil eggs quickly?", "who wrote Hamlet?")


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with open_brain(tmp_path / "brain", {"remembered": "from text", "capital": "Paris"}, settings=Settings.load(None)) as opened:
        yield opened


@pytest.fixture
def ana(memory: Memory) -> Scope:
    return memory.scope(user="ana")


def taught(memory: Memory, ana: Scope, right: bool = True) -> Adapter:
    """An adapter that learnt all facts, and the report of the night in which its held-out questions were answered, rightly or not."""
    facts = [ana.remember(text) for text in FACTS]
    adapter = learn(memory, ana, LESSONS, facts=facts)
    held_out = [{"question": {"text": f"What colour is Ana's {thing}?"}, "correct": right} for thing in THINGS]
    general = [{"question": {"text": text}, "correct": True} for text in GENERAL]
    report = json.dumps({"evaluation": {"candidate": {"held_out": held_out, "general": general}}})
    with memory._parts.ledger.write() as connection:
        connection.execute(update(cycles).where(cycles.c.id == adapter.cycle_id).values(report=report))
    return adapter


def routes(scope: Scope, *questions: str) -> list[Route]:
    return [answer.trace.route for answer in scope.ask_many(questions)]


def test_what_the_weights_learnt_and_are_sure_of_costs_no_context(memory: Memory, ana: Scope) -> None:
    adapter = taught(memory, ana)
    answer = ana.ask("What colour is Ana's boat?")
    assert (answer.text, answer.trace.route, answer.trace.adapter) == ("green", "weights", adapter.name)
    assert answer.trace.confidence is not None
    assert answer.trace.confidence >= 0.8
    assert "learnt" in answer.trace.why
    both = ana.ask("What colour is Ana's boat?", use="both")
    assert answer.trace.prompt_tokens < both.trace.prompt_tokens / 2
    assert both.trace.why == "asked for"


def test_weights_that_were_wrong_in_the_night_are_not_trusted_alone(memory: Memory, ana: Scope) -> None:
    taught(memory, ana, right=False)
    answer = ana.ask("What colour is Ana's boat?")
    assert (answer.trace.route, answer.trace.adapter is not None) == ("both", True)
    assert answer.trace.confidence is not None
    assert answer.trace.confidence < 0.8


def test_before_the_first_night_and_without_a_calibration_it_is_both(memory: Memory, ana: Scope) -> None:
    ana.remember(FACTS[0])
    assert ana.ask("What colour is Ana's car?").trace.why == "no adapter is live"
    learn(memory, ana, LESSONS)
    answer = ana.ask("What colour is Ana's car?")
    assert (answer.trace.route, "calibrate" in answer.trace.why) == ("both", True)


def test_what_was_said_since_the_night_wins_over_the_weights(memory: Memory, ana: Scope) -> None:
    taught(memory, ana)
    ana.add("By the way, what colour is Ana's boat? It is yellow now.")
    answer = ana.ask("What colour is Ana's boat?")
    assert (answer.trace.route, "newer" in answer.trace.why) == ("both", True)
    assert routes(ana, "What colour is Ana's hat?", "What colour is Ana's boat?")[1] == "both"


def test_a_fact_that_the_weights_do_not_hold_is_answered_with_text(memory: Memory, ana: Scope) -> None:
    taught(memory, ana)
    ana.remember("Ana's telephone is purple.")
    answer = ana.ask("What colour is Ana's telephone?")
    assert (answer.trace.route, "not in the weights" in answer.trace.why) == ("both", True)


def test_another_topic_is_the_bases_own(memory: Memory, ana: Scope) -> None:
    taught(memory, ana)
    answer = ana.ask("capital France?")
    assert (answer.text, answer.trace.route, answer.trace.adapter, answer.trace.cited) == ("Paris", "base", None, ())


def test_where_neither_knows_about_the_user_it_says_so_without_asking_the_model(memory: Memory, ana: Scope) -> None:
    taught(memory, ana)
    answer = ana.ask("Where did I park?")
    assert (answer.text, answer.trace.abstained, answer.trace.prompt_tokens) == ("I don't know.", True, 0)
    with ana.stream("Where did I park?") as stream:
        assert (list(stream), stream.answer.trace.abstained) == (["I don't know."], True)


def test_a_batch_may_take_several_routes_and_keeps_its_order(memory: Memory, ana: Scope) -> None:
    taught(memory, ana)
    asked = ("capital France?", "What colour is Ana's boat?", "Where did I park?", "What colour is Ana's hat?")
    assert [answer.text for answer in ana.ask_many(asked)] == ["Paris", "green", "I don't know.", "black"]
    assert routes(ana, *asked) == ["base", "weights", "base", "weights"]


@pytest.mark.parametrize(
    ("question", "user", "of_others"),
    [
        ("What colour is a ripe lemon?", "ana", True),
        ("What is the largest US state?", "ana", True),
        ("What colour is my car?", "ana", False),
        ("What colour is Ana's car?", "ana", False),
        ("What is the return window?", None, False),
        ("Wann liefert ihr die Lampen?", "ana", False),
    ],
)
def test_only_an_english_question_that_names_nobody_in_a_users_scope_speaks_of_others(
    question: str, user: str | None, of_others: bool
) -> None:
    assert speaks_of_others(question, ScopeId(user=user)) == of_others


def test_what_speaks_of_others_has_to_be_nearer_to_be_about_the_user(memory: Memory, ana: Scope) -> None:
    taught(memory, ana)
    with memory._parts.ledger.read() as connection:
        known = known_of(connection, memory._parts, ana.id, nearest_live(connection, ana.id))  # type: ignore[arg-type]  # one is live
    assert known is not None
    calibration = Calibration(bias=9.0, weights=(0.0, 0.0, 0.0), off_topic_below=0.1, elsewhere_below=0.9, asked=8)
    for question, route in (("What colour is the boat?", "base"), ("What colour is my boat?", "weights")):
        (vector,) = memory._parts.embedder.embed([question])
        assert decide(question, vector, known, calibration, 0.5).route == route
