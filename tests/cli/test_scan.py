"""`scan` says what is where, and never what it is."""

import io
import json
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run

KEY = "AKIA" + "IOSFODNN7EXAMPLE"


def test_a_file_is_scanned_without_being_recorded(cli: Run, tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    turns = [{"role": "user", "content": f"Use {KEY}"}, {"role": "tool", "content": "to: ana@example.com"}]
    file.write_text(json.dumps({"id": "c1", "turns": turns}) + "\n")
    ended = cli("scan", str(file), "--json")
    assert [(one["where"], one["turn"], one["role"], one["kind"], one["policy"], one["start"], one["end"]) for one in ended.json] == [
        ("c1", 0, "user", "api_key", "redact", 4, 24),
        ("c1", 1, "tool", "email", "keep", 4, 19),
    ]
    assert not (tmp_path / "brain" / "seal.db").exists()
    shown = cli("scan", str(file))
    assert "1 api_key, 1 email" in shown.out
    assert KEY not in ended.out + shown.out


def test_standard_input_is_a_text(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"my PIN is 4711")))
    assert [(one["where"], one["kind"]) for one in cli("scan", "-", "--json").json] == [("-", "password")]


def test_without_a_path_the_brain_is_scanned(cli: Run) -> None:
    cli("add", "write to ana@example.com", "--user", "ana")
    (found,) = cli("scan", "--json").json
    assert (found["kind"], found["policy"], found["turn"]) == ("email", "keep", 0)


def test_the_settings_of_the_brain_decide(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "brain").mkdir()
    (tmp_path / "brain" / "seal.toml").write_text('[privacy]\nemail = "block"\n')
    file = tmp_path / "talk.jsonl"
    file.write_text(json.dumps({"turns": [{"role": "user", "content": "ana@example.com"}]}) + "\n")
    assert cli("scan", str(file), "--json").json[0]["policy"] == "block"


@pytest.mark.parametrize("arguments", [("scan",), ("scan", "nowhere.jsonl")])
def test_nothing_to_scan_is_wrong_usage(cli: Run, arguments: tuple[str, ...]) -> None:
    assert cli(*arguments).code == 2


def test_nothing_found_is_a_result(cli: Run) -> None:
    cli("add", "I'm vegan", "--user", "ana")
    assert (cli("scan").out, cli("scan", "--json").json) == ("Nothing found.\n", [])
