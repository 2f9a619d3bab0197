"""The router: weights alone only for what they learnt and are sure of, the base for other things, and an honest no."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from seal_agent.calibration import Calibration
from seal_agent.config import Settings
from seal_agent.ledger.adapters import nearest_live
from seal_agent.ledger.episodes import mark_extracted
from seal_agent.ledger.schema import cycles, entries
from seal_agent.memory import Memory
from seal_agent.routing import Routed, below_of, choose, decide, known_of
from seal_agent.scope import Scope
from seal_agent.testing import HashEmbedder
from seal_agent.types import Adapter, Route
from seal_agent.whose import whose
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
    text = ana.ask("What colour is Ana's boat?", use="text")
    assert answer.trace.prompt_tokens < text.trace.prompt_tokens / 2
    both = ana.ask("What colour is Ana's boat?", use="both")
    assert (both.text, both.trace.why, both.trace.prompt_tokens) == ("green", "asked for", answer.trace.prompt_tokens)


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


CALIBRATION = Calibration(
    bias=9.0, weights=(0.0, 0.0, 0.0), off_topic_below=0.1, either_below=0.5, elsewhere_below=0.9, asked=8
)  # sure of everything


def test_what_speaks_of_others_has_to_be_nearer_to_be_about_the_user(memory: Memory, ana: Scope) -> None:
    taught(memory, ana)
    with memory._parts.ledger.read() as connection:
        known = known_of(connection, ana.id, nearest_live(connection, ana.id), memory._parts.embedder_id)  # type: ignore[arg-type]  # one is live
    assert known is not None
    for question, route in (("What colour is the boat?", "base"), ("What colour is my boat?", "weights")):
        (vector,) = memory._parts.embedder.embed([question])
        assert decide(whose(question, ana.id), vector, known, CALIBRATION, 0.5).route == route


def test_who_may_be_spoken_of_has_to_be_nearer_than_the_user_and_not_as_near_as_others() -> None:
    assert [below_of(speaks, CALIBRATION) for speaks in ("user", "unknown", "perhaps", "others")] == [0.1, 0.1, 0.5, 0.9]


def test_everybodys_we_is_answered_by_the_base_and_never_with_not_knowing(memory: Memory, ana: Scope) -> None:
    taught(memory, ana)
    answer = ana.ask("What do we breathe?")
    assert (answer.trace.route, answer.trace.abstained) == ("base", False)
    assert ana.ask("Where did we park?").trace.abstained


def test_asked_for_both_the_text_holds_only_what_is_near_the_question(memory: Memory, ana: Scope) -> None:
    taught(memory, ana)
    whole = ana.context("What colour is Ana's boat?")
    answer = ana.ask("What colour is Ana's boat?", use="both")
    assert len(answer.trace.cited) < len(whole.cited)
    assert ana.ask("capital France?", use="both").trace.cited == ()


def test_what_the_weights_do_not_hold_stands_in_the_prompt_and_with_it_what_is_pinned(memory: Memory, ana: Scope) -> None:
    taught(memory, ana)
    new = ana.remember("Ana's telephone is purple.")
    pinned = ana.remember("Ana wants short answers.")
    ana.pin(pinned.id)
    cited = ana.ask("What colour is Ana's telephone?").trace.cited
    assert cited[:2] == (pinned.id, new.id)
    assert ana.ask("capital France?", use="both").trace.cited == ()


def test_weights_that_are_not_sure_get_the_text_of_the_fact(memory: Memory, ana: Scope) -> None:
    taught(memory, ana, right=False)
    boat = next(fact.id for fact in ana.facts() if "boat" in fact.text)
    assert ana.ask("What colour is Ana's boat?").trace.cited[0] == boat


def test_what_was_said_since_the_night_is_shown_with_what_it_may_correct(memory: Memory, ana: Scope) -> None:
    taught(memory, ana)
    episode = ana.add("By the way, what colour is Ana's boat? It is yellow now.")
    cited = ana.ask("What colour is Ana's boat?", use="both").trace.cited
    assert episode.id in cited
    assert next(fact.id for fact in ana.facts() if "boat" in fact.text) in cited


def test_what_was_said_and_never_became_a_fact_is_looked_at_before_not_knowing_is_said(memory: Memory, ana: Scope) -> None:
    taught(memory, ana)
    episode = ana.add("I did park where I did park, where trains stop.")
    with memory._parts.ledger.write() as connection:
        mark_extracted(connection, ana.id, [episode.id], memory._parts.clock())
    answer = ana.ask("Where did I park?")
    assert (answer.trace.route, answer.trace.abstained, answer.trace.cited) == ("both", False, (episode.id,))
    with ana.stream("Where did I park?") as stream:
        stream.read()
        assert stream.answer.trace.cited == (episode.id,)


def test_an_adapter_asked_for_by_name_stands_beside_the_whole_context(memory: Memory, ana: Scope) -> None:
    adapter = taught(memory, ana)
    assert ana.chat("capital France?", adapter=adapter.name).trace.cited == ana.context("capital France?").cited


def test_something_new_without_a_vector_brings_the_whole_context(memory: Memory, ana: Scope) -> None:
    taught(memory, ana)
    ana.add("Something about the boat.")
    with memory._parts.ledger.write() as connection:
        connection.execute(update(entries).where(entries.c.kind == "turn").values(vector=None, embedder=None))
    trace = ana.ask("What colour is Ana's boat?").trace
    assert (trace.route, "vector" in trace.why, len(trace.cited)) == ("both", True, len(ana.context("What colour is Ana's boat?").cited))


@pytest.mark.parametrize("use", ["auto", "both"])
def test_where_the_adapter_can_not_be_used_after_all_the_whole_text_is_there(memory: Memory, ana: Scope, use: Route) -> None:
    adapter = taught(memory, ana)
    question = "What colour is Ana's boat?"
    assert len(ana.ask(question, use=use).trace.cited) < len(ana.context(question).cited)
    memory._parts.serving.drop(adapter.name)
    (memory.folder / adapter.path / "adapter_model.safetensors").write_bytes(b"damaged")
    for answer in (ana.ask(question, use=use), ana.chat(question, use=use)):
        assert (answer.trace.route, answer.trace.adapter, "no adapter can be used" in answer.trace.why) == ("both", None, True)
        assert answer.trace.cited == ana.context(question).cited


@pytest.mark.parametrize("use", ["auto", "both"])
def test_what_was_weighed_for_one_adapter_is_not_left_to_another_that_goes_live_meanwhile(
    memory: Memory, ana: Scope, use: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught(memory, ana)
    question = "What colour is Ana's boat?"

    def choose_and_promote(*given: object) -> list[Routed]:
        decided = choose(*given)  # type: ignore[arg-type]  # passed on as it came
        promoted.append(learn(memory, ana, {"Who?": "Nobody."}).name)
        return decided

    promoted: list[str] = []
    monkeypatch.setattr("seal_agent.answering.choose", choose_and_promote)
    for ask in (ana.ask, ana.chat):
        trace = ask(question, use=use).trace
        assert (trace.route, trace.adapter, "went live meanwhile" in trace.why) == ("both", promoted[-1], True)
        assert trace.cited == ana.context(question).cited
        ana.adapters.rollback()


@pytest.mark.slow
def test_another_embedder_brings_another_calibration(memory: Memory, ana: Scope) -> None:
    adapter = taught(memory, ana)
    ana.ask("What colour is Ana's boat?")
    before = memory._parts.calibrations[adapter.name]
    memory.reindex(HashEmbedder(dim=512))
    ana.ask("What colour is Ana's boat?")
    assert memory._parts.calibrations[adapter.name] not in (None, before)


class AnotherEmbedder(HashEmbedder):
    """Not the one that embedded what is there, whether its vectors are as long or not."""

    @property
    def id(self) -> str:
        return "another"


@pytest.mark.parametrize("dim", [64, 128], ids=["as long", "longer"])
def test_vectors_of_another_embedder_are_not_compared_with_a_question(tmp_path: Path, dim: int) -> None:
    with open_brain(tmp_path / "brain", settings=Settings.load(None)) as memory:
        taught(memory, memory.scope(user="ana"))
    with open_brain(tmp_path / "brain", settings=Settings.load(None), embedder=AnotherEmbedder(dim)) as memory:
        ana = memory.scope(user="ana")
        first, second = (ana.ask("What colour is Ana's boat?").trace for _ in range(2))
        assert (first.route, "vector" in first.why, bool(first.cited)) == ("both", True, True)
        assert second.route == "weights"  # the search of the first has embedded them
