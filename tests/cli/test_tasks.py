"""`learn`, `run` and `tasks` end to end on the fakes: what they print, and how they end."""

import io
import json
import sys
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
    assert cli("adapters", "list").out.endswith("  task intent\n")
    assert cli("run", "intent", PAIRS[0][0]).out == "refund\n"
    assert cli("run", "intent", PAIRS[0][0], "--json").json["text"] == "refund"
    shared = cli("tasks", "--user", "ana")
    assert shared.out.startswith("intent  text, 6 demonstrations")
    assert "of default/default)" in shared.out
    assert "was learnt in 'default/default/ana'" in cli("tasks", "--drop", "intent", "--user", "ana").err
    assert cli("tasks", "--drop", "intent").code == 0
    assert "No tasks yet" in cli("tasks").out


@pytest.mark.slow
def test_a_file_of_inputs_is_run_in_one_batch(cli: Cli, file: Path, tmp_path: Path) -> None:
    cli("learn", "intent", "--file", str(file))
    inputs = tmp_path / "inputs.jsonl"
    inputs.write_text(json.dumps(PAIRS[0][0]) + "\n" + json.dumps({"input": PAIRS[3][0]}) + "\n")
    ended = cli("run", "intent", "--file", str(inputs))
    assert ended.out == "refund\ndelivery\n"
    assert [one["text"] for one in cli("run", "intent", "--file", str(inputs), "--json").json] == ["refund", "delivery"]
    assert cli("run", "intent", "--file", str(inputs), "--grid").code == 2
    inputs.write_text('"still waiting"\n[[1]]\n')
    assert "Input 2 of 'intent' is a grid" in cli("run", "intent", "--file", str(inputs)).err


@pytest.mark.slow
def test_a_text_may_hold_what_some_take_for_the_end_of_a_line(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "\n".join(json.dumps({"input": f"{a}\u2028thanks", "output": b}, ensure_ascii=False) for a, b in PAIRS)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    assert cli("learn", "intent", "--file", "-").code == 0


@pytest.mark.slow
def test_demonstrations_are_scanned_with_the_rest_of_the_brain(cli: Cli, file: Path) -> None:
    cli("learn", "intent", "--file", str(file))
    (cli.brain / "seal.toml").write_text('[privacy]\npatterns = { furniture = "sofa" }\n')
    (found,) = cli("scan", "--json").json
    assert (found["where"], found["kind"]) == ("task intent, demonstration 4", "custom")


@pytest.mark.slow
def test_what_is_forgotten_names_the_task_that_still_says_it(cli: Cli, file: Path) -> None:
    cli("learn", "intent", "--file", str(file))
    assert "No fact and no episode" in (preview := cli("forget", "--query", "kettle").out)
    assert "a demonstration of the task 'intent' says it" in preview
    cli("add", PAIRS[0][0])
    forgotten = cli("forget", "--query", "kettle", "--yes")
    assert forgotten.code == 0
    assert "The task 'intent' keeps a demonstration" in forgotten.out
    cli("tasks", "--drop", "intent")
    cli("add", "my lamp")
    assert "task" not in cli("forget", "--query", "lamp").out


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
