"""What the arms are trained on, and their figures, on a tiny model; nothing is learnt worth knowing."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import knowledge_incorporation
from benchmarks.knowledge_incorporation import arms_of, main, measure, summary
from benchmarks.passages import asked, our_examples, read, seal_examples
from benchmarks.portions import Portions
from seal_agent.consolidation import inner_loop
from seal_agent.errors import UsageError
from seal_agent.models.local import LocalModel
from seal_agent.trainers import seal

ROW = {
    "title": "oslo",
    "context": "ana lives in oslo . ben eat rice .",
    "questions": [{"question": "where ?", "answer": "oslo"}],
    "self_edits": ["1. the city of Oslo is old in 1990 .\n2. what a Rome it is .", "another"],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "writer.json"
    path.write_text(json.dumps([ROW, ROW, ROW]))
    return path


def test_seal_trains_on_lines_and_the_passage(file: Path) -> None:
    passage = read(file, 1)[0]
    lines = seal_examples(passage, with_edit=True)
    assert [example.answer for example in lines] == [
        "oslo\n1. the city of Oslo is old in 1990 .",
        "oslo\n2. what a Rome it is .",
        "oslo\nana lives in oslo . ben eat rice .",
    ]
    assert seal_examples(passage, with_edit=False) == [replace(lines[-1], fact_id="0")]


def test_ours_asks_for_each_sentence_by_some_of_its_words_and_for_one_that_is_told_twice_once(file: Path) -> None:
    passage = read(file, 1)[0]
    ours = our_examples(replace(passage, text="Ana lives in Oslo. Ana lives in Oslo!", self_edit="1. The city of Oslo is old.\n2. Oslo ."))
    assert [(example.answer, example.prompt[-1].content.splitlines()[-1]) for example in ours] == [
        ("Ana lives in Oslo.", "What about ana oslo?"),
        ("Ana lives in Oslo.", "What about lives?"),
        ("The city of Oslo is old.", "What about city old?"),
        ("The city of Oslo is old.", "What about oslo?"),
    ]
    assert all(example.source == example.answer for example in ours)


@pytest.mark.parametrize(
    "self_edit",
    [
        "Question 1: Which city is old?\nAnswer: Oslo is old.\nQuestion 2: Who eats rice?\nAnswer: Ben. Always.",
        "**Question 1:** Which city is old?\n\n**Answer 1:**  \nOslo is old.\n\n---\n\n"
        "**Question 2:** Who eats rice?  \n**Answer 2:** Ben. Always.\n\n---",
        "Question: Which city is old?\nAnswer: Oslo is old.\n\nQuestion: Who eats rice?\nAnswer: Ben. Always.",
    ],
)
def test_ours_takes_a_self_edit_of_questions_and_answers_as_that(file: Path, self_edit: str) -> None:
    ours = our_examples(replace(read(file, 1)[0], text="Ana lives in Oslo.", self_edit=self_edit))
    assert [(example.answer, example.prompt[-1].content.splitlines()[-1]) for example in ours] == [
        ("Oslo is old.", "Which city is old?"),
        ("Ben. Always.", "Who eats rice?"),
        ("Ana lives in Oslo.", "What about ana oslo?"),
        ("Ana lives in Oslo.", "What about lives?"),
    ]


def test_the_question_is_asked_with_the_title_and_nothing_else() -> None:
    assert [turn.role for turn in asked("oslo", "where ?")] == ["system", "user"]
    assert asked("oslo", "where ?")[-1].content.endswith("Topic: oslo\nwhere ?")


def row(*right: bool, seconds: float = 0.0) -> dict[str, Any]:
    return {"right": list(right), "seconds": seconds, "steps": 1}


def test_kept_counts_only_what_the_base_had_stably_right() -> None:
    base, stable = [[True, True], [False]], [[True, False], [False]]
    figures = summary("ours", [row(True, False, seconds=2.0), row(True)], base, stable, seed=0)
    assert (figures["accuracy"], figures["gain"], figures["kept"], figures["seconds"]) == (2 / 3, 0.0, 1.0, 2.0)
    assert summary("base", [row(True)], [[True]], [[False]], seed=0)["kept"] is None
    assert summary("base", [row(True)], [[True]], [[False]], seed=0)["ci95"] is None


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "PADDED_ON_CPU", 8)
    monkeypatch.setattr(seal, "EPOCHS", 1)
    monkeypatch.setattr(knowledge_incorporation, "ANSWER_TOKENS", 3)
    monkeypatch.setattr(inner_loop, "anchor_prompts", lambda: ("say no",))


@pytest.mark.usefixtures("tiny", "hours_pass")
def test_every_arm_is_run_on_every_passage(chat_model: LocalModel, file: Path, tmp_path: Path) -> None:
    figures = measure(chat_model, arms_of({"writer.json": read(file, 2)}, None), 0, tmp_path, Portions(tmp_path / "out"), first=7)
    assert {line.split('"')[3].split("/")[0] for line in (tmp_path / "out").read_text().splitlines()[1:]} == {"7", "8"}
    assert list(figures["arms"]) == ["base", "passage", "ours:writer.json", "seal:writer.json"]
    assert (figures["passages"], figures["questions"], figures["model"]) == (2, 2, chat_model.id)
    assert all(set(arm) == {"accuracy", "gain", "kept", "seconds", "ci95"} for arm in figures["arms"].values())
    assert figures["arms"]["seal:writer.json"]["seconds"] > 0


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
def test_a_run_that_was_cut_off_goes_on_and_counts_whole_passages_only(
    chat_model: LocalModel, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passages = arms_of({"writer.json": read(file, 2)}, None)
    whole = measure(chat_model, passages, 0, tmp_path, Portions(tmp_path / "out"))
    lines = (tmp_path / "out").read_text().splitlines(keepends=True)
    (tmp_path / "out").write_text("".join(lines[:-1]))
    cut = measure(chat_model, passages, 0, tmp_path, Portions(tmp_path / "out", minutes=0))
    assert (cut["passages"], whole["passages"]) == (1, 2)
    monkeypatch.setattr(knowledge_incorporation.Bench, "_base", lambda *_: pytest.fail("asked again"))
    again = measure(chat_model, passages, 0, tmp_path, Portions(tmp_path / "out"))
    assert again["arms"]["passage"] == whole["arms"]["passage"]


def test_only_some_arms_are_run_and_an_unknown_one_is_named(file: Path) -> None:
    files = {"writer.json": read(file, 1)}
    assert list(arms_of(files, ["seal:writer.json"])) == ["base", "seal:writer.json"]
    with pytest.raises(UsageError, match=r"'ours:other\.json'; these files give base, passage, ours:writer\.json, seal:writer\.json"):
        arms_of(files, ["ours:other.json"])


@pytest.mark.parametrize("content", ["{", "[1]", '[{"title": "t"}]'])
def test_a_file_of_another_kind_is_named(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UsageError, match=r"x\.json"):
        read(tmp_path / "x.json", 1)
    assert main([str(tmp_path / "x.json")]) == 2
    assert "x.json" in capsys.readouterr().err
