"""Made-up facts, and the figures of the objectives' and the gate's benchmarks, on a tiny model."""

import random
from pathlib import Path

import pytest

from benchmarks import gate, objectives
from benchmarks.gate import UPDATES, shuffled
from benchmarks.made_up_facts import KINDS, NAMES, make_facts
from benchmarks.portions import Portions
from seal_agent.consolidation import evaluation, inner_loop
from seal_agent.errors import UsageError
from seal_agent.models.local import LocalModel
from seal_agent.trainers import seal
from seal_agent.types import Question

GENERAL = (Question(id="general-0", text="what is water ?", answers=("water",)),)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "PADDED_ON_CPU", 8)
    monkeypatch.setattr(seal, "EPOCHS", 1)
    monkeypatch.setattr(inner_loop, "anchor_prompts", lambda: ("say no",))
    monkeypatch.setattr(evaluation, "general_questions", lambda _="questions": GENERAL)
    monkeypatch.setattr(evaluation, "probes", lambda: ())
    monkeypatch.setattr(evaluation, "general_texts", lambda: ("ana lives in oslo .",))


def test_no_held_out_question_is_taught_and_no_fact_is_told_twice() -> None:
    lessons = make_facts(len(NAMES) * len(KINDS), seed=0)
    taught = {example.prompt[-1].content for example in lessons.examples}
    assert not taught & {question.text for question in lessons.questions}
    assert len(taught) == len(lessons.examples)
    assert all(question.answers[0] in (question.reference or "") for question in lessons.questions)


def test_more_facts_than_there_are_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="no more than 48 made-up facts; 49"):
        make_facts(49, 0)


def test_the_same_seed_makes_the_same_facts() -> None:
    assert make_facts(5, 3) == make_facts(5, 3) != make_facts(5, 4)


@pytest.mark.usefixtures("hours_pass")
def test_every_objective_has_every_figure(chat_model: LocalModel, tmp_path: Path) -> None:
    figures = objectives.measure(chat_model, objectives.Plan(names=["distilled", "passage"], facts=1, seeds=[0]), tmp_path, Portions())
    assert set(figures["objectives"]) == {"distilled", "passage"}
    for row in figures["objectives"].values():
        assert set(row) == {*objectives.FIGURES, "by_seed"}
        assert row["seconds"] > 0
        assert 0 <= row["recall"] <= 1
    assert figures["base"]["perplexity_ratio"] == pytest.approx(1)
    assert (figures["trials"], figures["seeds"], figures["facts"]) == (1, [0], 1)


def test_poison_spoils_its_share_of_the_answers_and_shuffling_keeps_them_all() -> None:
    examples, order = list(make_facts(10, 0).examples), random.Random(0)
    for name, share in (("poison_5", 0.05), ("poison_20", 0.2), ("poison_50", 0.5)):
        assert sum(example.answer == gate.POISON for example in UPDATES[name].spoil(examples, order)) == round(share * len(examples))
    mixed = shuffled(examples, order)
    assert sorted(example.answer for example in mixed) == sorted(example.answer for example in examples)
    assert sum(one.answer != other.answer for one, other in zip(mixed, examples, strict=True)) > len(examples) / 2


@pytest.mark.usefixtures("hours_pass")
def test_the_gate_is_asked_for_every_update_and_training_that_refuses_promotes_nothing(chat_model: LocalModel, tmp_path: Path) -> None:
    figures = gate.measure(chat_model, gate.Plan(names=["good", "empty", "one_token"], facts=1, seeds=[0]), tmp_path, Portions())
    assert (figures["bad_tried"], figures["good_tried"], figures["trials"]) == (2, 1, 3)
    assert figures["bad_promoted"] == 0
    assert any("what their fact does not say" in reason for reason in figures["updates"]["one_token"]["reasons"][0])
    assert not any(reason.startswith("not trained") for reason in figures["updates"]["good"]["reasons"][0])
    assert "nothing to train on" in figures["updates"]["empty"]["reasons"][0][0]


def test_no_time_left_judges_nothing_new(chat_model: LocalModel, tmp_path: Path) -> None:
    over = Portions(minutes=0)
    assert gate.measure(chat_model, gate.Plan(names=["good"], facts=1, seeds=[0]), tmp_path, over)["good_tried"] == 0
    figures = objectives.measure(chat_model, objectives.Plan(names=["masked"], facts=1, seeds=[0]), tmp_path, over)
    assert (figures["base"], figures["objectives"], figures["trials"]) == (None, {}, 0)


def test_there_are_eight_bad_updates() -> None:
    assert len(UPDATES) == 1 + 8
