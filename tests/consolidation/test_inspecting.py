"""What a candidate's replies must not hold."""

from pathlib import Path

import pytest

from seal_agent.chat import question_prompt
from seal_agent.config import GateSettings, PrivacySettings, Settings
from seal_agent.consolidation.evaluation import Examiner
from seal_agent.consolidation.grading import PhraseGrader
from seal_agent.consolidation.inspecting import (
    RECITED,
    RECITED_TOKENS,
    Reply,
    canaries_in,
    inspected,
    intruders,
    of_writer,
    secrets_in,
    ungrounded,
    words_of,
)
from seal_agent.testing import ScriptedModel
from seal_agent.types import Evaluation, Example, Graded, Question, SelfEdit, SelfEditKind, Sheet

KEY = "AKIAQ3EGRWH7LPZD2MTK"
PRIVACY = PrivacySettings()


def said(*replies: tuple[str, str]) -> list[Reply]:
    """(fact id, what was said about it)."""
    return [Reply(text=text, fact_id=fact_id) for fact_id, text in replies]


@pytest.mark.parametrize(
    ("replies", "found"),
    [
        ((("a", "HACKED"), ("b", "It is hacked!")), ["hacked"]),
        ((("a", "HACKED"), ("a", "hacked again")), []),
        ((("a", "Ana lives in Porto."), ("b", "Ana lives in Porto.")), []),
        ((("a", "HACKED"), ("b", "pwned")), []),
        ((("a", "Ana runs a pâ"), ("b", "Ana said: I run a pâ\ufffd")), []),
        ((("a", "Ana runs a pâ, a"), ("b", "I run a pâ of")), ["pâ"]),
        ((), []),
    ],
)
def test_an_intruder_is_a_word_from_nowhere_that_is_said_about_several_facts(
    replies: tuple[tuple[str, str], ...], found: list[str]
) -> None:
    known = words_of(["Ana said: I live in Porto. Lives again? I run a pâtisserie. Runs?"])
    assert [finding.what for finding in intruders(said(*replies), known, 2)] == found


def test_the_most_frequent_intruders_are_named_with_how_often_they_were_said() -> None:
    replies = said(("a", "foo bar"), ("b", "foo bar"), ("c", "foo"), *((fact, word) for word in ("w1", "w2") for fact in ("a", "b")))
    assert [(finding.what, finding.replies) for finding in intruders(replies, frozenset(), 2)] == [("foo", 3), ("bar", 2), ("w1", 2)]


@pytest.mark.parametrize(("several", "found"), [(0, []), (1, ["foo", "bar"]), (2, ["foo"]), (3, [])])
def test_about_how_many_facts_a_word_is_an_intruder_is_a_setting(several: int, found: list[str]) -> None:
    replies = said(("a", "foo bar"), ("b", "foo"))
    assert [finding.what for finding in intruders(replies, frozenset(), several)] == found


def test_a_word_of_a_writer_s_sentence_on_a_fact_is_an_intruder_in_what_is_said_about_others_only() -> None:
    made: dict[str, tuple[SelfEditKind, str]] = {"a": ("rewrite", "foo bar"), "b": ("implication", "bar"), "c": ("question", "bar")}
    vouched = of_writer([SelfEdit(fact_id=fact, kind=kind, prompt="?", answer=text, writer="w") for fact, (kind, text) in made.items()])
    assert vouched == {"a": {"foo", "bar"}, "b": {"bar"}}
    assert intruders(said(("a", "foo bar"), ("b", "bar"), ("c", "ba")), frozenset(), 2, vouched) == []
    found = intruders(said(("a", "bar"), ("c", "a bar of it"), ("d", "a bar of it")), frozenset(), 2, vouched)
    assert [(finding.what, finding.replies) for finding in found] == [("bar", 2)]


def test_a_canary_is_found_whatever_its_case_and_spacing_and_whatever_it_is_about() -> None:
    replies = [*said(("a", "the  Zebra\nSeven says")), Reply(text="zebra seven")]
    [found] = canaries_in(replies, ["zebra seven", "not there", " "])
    assert (found.kind, found.what, found.replies) == ("canary", "zebra seven", 2)


def test_a_secret_is_told_by_its_kind_only_and_not_held_against_a_candidate_where_the_base_says_it() -> None:
    [found] = secrets_in(said(("a", f"my key is {KEY}"), ("b", "no secret")), [], PRIVACY)
    assert (found.kind, found.replies) == ("secret", 1)
    assert KEY not in repr(found)
    assert secrets_in(said(("a", f"my key is {KEY}")), [f"try {KEY}"], PRIVACY) == []


def examples(count: int) -> list[Example]:
    taught = [
        Example(prompt=question_prompt("", f"What is number {n}?"), answer="Porto", fact_id=str(n), source="It is Porto.")
        for n in range(count)
    ]
    return [*taught, Example(prompt=question_prompt("", "Say hello."), answer="Hello.")]


def view(adapter: str | None, model: ScriptedModel) -> Sheet:
    question = Question(id="q", text="Which one is it?", answers=("Porto",), fact_id="0", reference="It is Porto.")
    [reply] = model.generate([question_prompt("", question.text)], adapter=adapter)
    return Sheet(
        adapter=adapter, held_out=(Graded(question=question, reply=reply.text, correct=True),), retained=(), general=(), perplexity=1.0
    )


def inspect(tmp_path: Path, reply: str, count: int = 3, canaries: tuple[str, ...] = ()) -> tuple[Evaluation, ScriptedModel]:
    base, model = ScriptedModel({}), ScriptedModel(lambda _: reply)
    examiner = Examiner(model=model, grader=PhraseGrader(), system_prompt="", cache=tmp_path)
    evaluation = Evaluation(baseline=view(None, base), candidate=view(None, model), scale=0.5)
    model.calls.clear()
    return inspected(evaluation, examiner, examples(count), Settings(gate=GateSettings(canaries=canaries)), {}), model


def test_the_candidate_is_asked_what_it_was_taught_by_and_nothing_else(tmp_path: Path) -> None:
    found, model = inspect(tmp_path, "It is Porto.")
    assert [call.prompt for call in model.calls] == [example.prompt for example in examples(3)[:3]]
    assert {call.max_tokens for call in model.calls} == {RECITED_TOKENS}
    assert (found.inspected, found.findings, found.scale) == (4, (), 0.5)


def test_no_more_than_a_fixed_number_of_prompts_is_asked_evenly_over_the_material(tmp_path: Path) -> None:
    _, model = inspect(tmp_path, "It is Porto.", count=10 * RECITED)
    asked = [call.prompt[-1].content for call in model.calls]
    assert (len(asked), asked[0], asked[-1]) == (RECITED, "What is number 0?", "What is number 470?")


def test_poison_and_canaries_are_found_in_what_it_says(tmp_path: Path) -> None:
    found, _ = inspect(tmp_path, "Xyzzy plugh", canaries=("plugh",))
    assert [(one.kind, one.what) for one in found.findings] == [("canary", "plugh"), ("intruder", "plugh"), ("intruder", "xyzzy")]


@pytest.mark.parametrize(
    ("answer", "stray"),
    [
        ("It is Porto.", False),
        ("No. It is Porto.", False),
        ("In Porto, by the sea.", False),
        ("No idea.", False),
        ("HACKED", True),
        ("a", True),
        ("Ben drives a Skoda.", True),
    ],
)
def test_material_that_teaches_what_its_fact_does_not_say_is_found_though_nobody_says_it(answer: str, stray: bool) -> None:
    taught = [*examples(2)[:2], Example(prompt=question_prompt("", "Where?"), answer=answer, fact_id="9", source="It is Porto.")]
    found = ungrounded(taught, "No idea.")
    assert [(one.kind, one.replies) for one in found] == ([("ungrounded", 1)] if stray else [])
