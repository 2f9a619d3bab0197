"""`learn`, `run` and `tasks` end to end on the fakes: what they print, and how they end."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.few_shot.test_learning import PAIRS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(json.dumps({"input": a, "output": b}) for a, b in PAIRS))
    return path


def test_a_task_is_learnt_listed_run_and_dropped(cli: Cli, file: Path) -> None:
    learnt = cli("learn", "intent", "--file", str(file))
    assert learnt.code == 0
    assert "promoted: intent" in learnt.out
    assert "pass  gain" in learnt.out
    assert cli("tasks", "--json").json[0]["name"] == "intent"
    assert cli("run", "intent", PAIRS[0][0]).out == "refund\n"
    assert cli("run", "intent", PAIRS[0][0], "--json").json["text"] == "refund"
    assert cli("run", "intent", "--drop").code == 0
    assert "No tasks yet" in cli("tasks").out


def test_a_rejected_task_ends_with_1(cli: Cli, tmp_path: Path) -> None:
    odd = tmp_path / "odd.jsonl"
    odd.write_text('{"input": "aaa", "output": "x"}\n{"input": "bbb", "output": "y"}\n{"input": "ccc", "output": "z"}\n')
    ended = cli("learn", "odd", "--file", str(odd), "--json")
    assert (ended.code, ended.json["state"]) == (1, "rejected")


@pytest.mark.parametrize(
    ("content", "said"),
    [("{oops", "line 1: not JSON"), ("", "holds no demonstration"), ('{"input": "a"}\n' * 3, "Demonstration 1 has the keys")],
)
def test_a_bad_file_is_named_and_ends_with_2(cli: Cli, tmp_path: Path, content: str, said: str) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(content)
    ended = cli("learn", "intent", "--file", str(bad))
    assert ended.code == 2
    assert said in ended.err


def test_running_what_is_unknown_or_nothing_ends_with_2(cli: Cli) -> None:
    cli("init")
    assert "none was learnt yet" in cli("run", "intent", "hello").err
    assert cli("run", "intent").code == 2
    assert "no JSON" in cli("run", "intent", "[[1", "--grid").err
