"""The mix that a candidate is trained on."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from seal_agent.config import TrainingSettings
from seal_agent.consolidation.bundled import anchor_prompts, anchor_texts, general_texts
from seal_agent.consolidation.evaluation import Examiner
from seal_agent.consolidation.grading import PhraseGrader
from seal_agent.consolidation.inner_loop import BEGINNING, WHOLE, anchor_count, anchors, drawn, lessons, own_answers, probes
from seal_agent.testing import ScriptedModel
from seal_agent.types import Example, Question, SelfEdit, SelfEditKind

SETTINGS = TrainingSettings()
LONG = "Ana said: the parcel belongs in the green shed behind the old garage"
SHORT = "Ana said: I live in Porto."
SOURCES = {"f": "Ana lives in Porto."}


def items(answer: str, count: int, fact_id: str = "f") -> list[SelfEdit]:
    return [SelfEdit(fact_id=fact_id, kind="question", prompt=f"{fact_id} {n}?", answer=answer, writer="floor") for n in range(count)]


@pytest.fixture
def examiner(tmp_path: Path) -> Examiner:
    model = ScriptedModel({"capital": "Rome, I think."}, default="Hello there.")
    return Examiner(model=model, grader=PhraseGrader(), system_prompt="Be brief.", cache=tmp_path)


def test_one_item_in_so_many_teaches_its_whole_answer_the_others_its_beginning(examiner: Examiner) -> None:
    taught = lessons(items(LONG, 9), examiner, SOURCES)
    assert [example.ended for example in taught] == [n % WHOLE == 0 for n in range(9)]
    assert {example.answer for example in taught if example.ended} == {LONG}
    assert {example.answer for example in taught if not example.ended} == {" ".join(LONG.split()[:BEGINNING])}


def test_a_short_answer_is_always_taught_whole(examiner: Examiner) -> None:
    taught = lessons(items(SHORT, 5), examiner, SOURCES)
    assert all(example.ended and example.answer == SHORT for example in taught)


@pytest.mark.parametrize("kind", ["rewrite", "implication", "relation", "unknown"])
def test_what_no_other_item_teaches_is_taught_whole(examiner: Examiner, kind: SelfEditKind) -> None:
    sentences = [f"The parcel of Ana's goes into the green shed behind garage {n}." for n in range(WHOLE + 1)]
    written = [SelfEdit(fact_id="f", kind=kind, prompt="What follows?", answer=answer, writer="w") for answer in sentences]
    assert [(example.answer, example.ended) for example in lessons(written, examiner, SOURCES)] == [(one, True) for one in sentences]


def test_every_fact_has_its_own_whole_answers_however_the_items_are_mixed(examiner: Examiner) -> None:
    mixed = [item for pair in zip(items(LONG, WHOLE, "f"), items(LONG, WHOLE, "g"), strict=True) for item in pair]
    whole = Counter(example.fact_id for example in lessons(mixed, examiner, SOURCES) if example.ended)
    assert whole == {"f": 1, "g": 1}


def test_lessons_are_asked_as_in_the_evaluation(examiner: Examiner) -> None:
    [example] = lessons(items(SHORT, 1), examiner, SOURCES)
    assert example.prompt == examiner.prompt("f 0?")
    assert (example.fact_id, example.weight, example.source) == ("f", 1.0, "Ana lives in Porto.")


def test_probes_ask_held_out_questions_for_what_was_taught(examiner: Examiner) -> None:
    question = Question(id="q", text="Where?", answers=("Porto",), fact_id="f", reference=SHORT)
    bare = Question(id="p", text="What?", answers=("a", "b"), fact_id="g")
    assert [(probe.answer, probe.fact_id) for probe in probes([question, bare], examiner)] == [(SHORT, "f"), ("a", "g")]


@pytest.mark.parametrize(
    ("taught", "share", "least", "expected"),
    [
        (100, 0.33, 48, 49),
        (100, 0.5, 48, 100),
        (100, 0.0, 48, 0),
        (100, 1.0, 48, 0),
        (0, 0.5, 48, 0),
        (3, 0.25, 48, 48),
        (3, 0.25, 0, 1),
    ],
)
def test_anchors_make_up_their_share_of_the_mix(taught: int, share: float, least: int, expected: int) -> None:
    assert anchor_count(taught, TrainingSettings(anchor_share=share, min_anchors=least)) == expected


@pytest.mark.parametrize("count", [1, 2, 7, 300])
def test_anchors_are_chat_and_prose_and_belong_to_no_fact(examiner: Examiner, count: int) -> None:
    mix = anchors(count, examiner, SETTINGS)
    chat = [example for example in mix if example.prompt]
    assert len(mix) == count
    assert chat
    assert count < 4 or len(chat) < count
    assert {example.fact_id for example in mix} == {None}
    assert not any(example.ended for example in mix)


def test_chat_anchors_hold_the_base_s_own_answers(examiner: Examiner) -> None:
    answers = {example.prompt[-1].content: example.answer for example in anchors(300, examiner, SETTINGS) if example.prompt}
    assert set(answers) <= set(anchor_prompts())
    assert {answers.get(prompt, "Rome, I think.") for prompt in anchor_prompts() if "capital" in prompt} == {"Rome, I think."}


def test_prose_anchors_are_beginnings_of_the_anchor_texts_alone(examiner: Examiner) -> None:
    prose = [example.answer for example in anchors(300, examiner, SETTINGS) if not example.prompt]
    assert all(any(" ".join(text.split()).startswith(beginning) for text in anchor_texts()) for beginning in prose)
    assert not any(beginning in text for beginning in prose for text in general_texts())


def test_the_same_seed_draws_the_same_anchors_and_another_one_others(examiner: Examiner) -> None:
    assert anchors(20, examiner, SETTINGS) == anchors(20, examiner, SETTINGS)
    assert anchors(20, examiner, SETTINGS) != anchors(20, examiner, SETTINGS.model_copy(update={"seed": 1}))


def test_each_anchor_is_drawn_as_often_as_any_other(examiner: Examiner) -> None:
    texts = [Example(prompt=(), answer=letter) for letter in "abcdefg"]
    times = Counter(example.answer for example in drawn(texts, 3 * len(texts), random.Random(0)))
    assert set(times.values()) == {3}
    assert len({example.answer for example in drawn(texts, len(texts), random.Random(0))}) == len(texts)


def test_the_base_is_asked_once_and_its_answers_kept(examiner: Examiner) -> None:
    model = examiner.model
    assert isinstance(model, ScriptedModel)
    first = own_answers(anchor_prompts(), examiner)
    asked = len(model.calls)
    assert own_answers(anchor_prompts(), examiner) == first
    assert len(model.calls) == asked == len(anchor_prompts())
    assert {call.adapter for call in model.calls} == {None}
    assert {call.temperature for call in model.calls} == {0.0}


def test_the_base_is_asked_for_no_more_than_is_needed(examiner: Examiner) -> None:
    model = examiner.model
    assert isinstance(model, ScriptedModel)
    anchors(20, examiner, SETTINGS)
    assert len(model.calls) == 15
    anchors(28, examiner, SETTINGS)
    assert len(model.calls) == 21  # those that were drawn before are known


def test_another_model_or_system_prompt_has_answers_of_its_own(tmp_path: Path, examiner: Examiner) -> None:
    own_answers(anchor_prompts()[:3], examiner)
    other = replace(examiner, model=ScriptedModel({}, id="another", default="No."))
    assert set(own_answers(anchor_prompts()[:3], other).values()) == {"No."}
    own_answers(anchor_prompts()[:3], replace(examiner, system_prompt="Be long."))
    assert len(list(tmp_path.glob("anchors-*.json"))) == 3


def test_a_base_that_answers_nothing_leaves_prose_alone(tmp_path: Path) -> None:
    mute = Examiner(model=ScriptedModel(lambda _: ""), grader=PhraseGrader(), system_prompt="", cache=tmp_path)
    mix = anchors(10, mute, SETTINGS)
    assert len(mix) == 10
    assert all(not example.prompt for example in mix)


def test_drawing_from_nothing_gives_nothing() -> None:

    assert drawn([], 0, random.Random(0)) == []
    assert drawn([Example(prompt=(), answer="a")], 0, random.Random(0)) == []
