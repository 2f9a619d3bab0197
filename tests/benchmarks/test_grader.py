"""The figures of the grader's benchmark, by hand; and a file that is none."""

import json
from pathlib import Path

import pytest

from benchmarks.grader import interval, main, measure

ROWS = [
    {"title": "a", "question": "Where?", "gold": "Oslo", "answer": "In Oslo.", "correct": True},
    {"title": "a", "question": "Where?", "gold": "Oslo", "answer": "Not in Oslo.", "correct": False},
    {"title": "b", "question": "When?", "gold": "in spring", "answer": "In April.", "correct": True},
    {"title": "b", "question": "When?", "gold": "in spring", "answer": "In May 1990.", "correct": False},
]


def test_agreement_and_its_two_kinds_of_mistakes_are_counted() -> None:
    figures = measure(ROWS, seed=0)
    assert (figures["agreement"], figures["n"]) == (0.5, 4)
    assert (figures["false_right"], figures["false_wrong"]) == (0.25, 0.25)
    assert figures["right_gpt"] == figures["right_local"] == 0.5


def test_an_interval_is_drawn_over_whole_groups() -> None:
    assert interval([[1.0, 1.0], [1.0]], seed=0) == (1.0, 1.0)
    assert interval([[0.0] * 5, [1.0] * 5], seed=0) == (0.0, 1.0)


def test_json_is_one_object_on_the_last_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "graded.json").write_text(json.dumps(ROWS))
    assert main([str(tmp_path / "graded.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["n"] == 4


@pytest.mark.parametrize("content", [None, "{", "[]", "7", '[{"title": "t"}]', '["t"]'])
def test_a_file_that_is_not_there_or_of_another_kind_is_named(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "graded.json").write_text(content)
    assert main([str(tmp_path / "graded.json")]) == 2
    assert "graded.json is no file of graded answers" in capsys.readouterr().err


def test_a_file_with_fewer_answers_than_a_quick_run_takes_is_judged_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "graded.json").write_text(json.dumps(ROWS))
    assert main([str(tmp_path / "graded.json"), "--quick", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["n"] == 4
