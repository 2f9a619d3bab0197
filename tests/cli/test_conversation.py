"""By day on the command line: say it, find it, ask for it."""

import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from seal_agent.types import ScopeId
from tests.cli.conftest import Cli

WEEK = Path(__file__).parents[2] / "examples" / "data" / "support_week.jsonl"
GOOD = {"turns": [{"role": "user", "content": "Hello"}]}


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data), closed=False))


def test_what_is_added_is_found(cli: Cli) -> None:
    added = cli("add", "I'm vegetarian.", "--user", "ana", "--session", "s1", "--json")
    assert (added.code, added.json["session"], added.json["scope"]["user"]) == (0, "s1", "ana")
    found = cli("search", "vegetarian", "--user", "ana", "--json")
    assert [hit["text"] for hit in found.json] == ["I'm vegetarian."]
    assert "I'm vegetarian." in cli("search", "vegetarian", "--user", "ana").out
    assert cli("search", "vegetarian", "--user", "ben").out == "Nothing found.\n"


def test_text_can_come_from_standard_input(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, "\ufeffTwo\nlines, grüße".encode())
    assert cli("add", "-", "--json").json["turns"][0]["content"] == "Two\nlines, grüße"


@pytest.mark.parametrize("data", [b"", b" \n", b"\xff\xfe", b"a\0b"], ids=repr)
def test_standard_input_that_says_nothing_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    stdin(monkeypatch, data)
    assert (cli("add", "-").code, cli.brain.exists()) == (2, False)


def test_closed_standard_input_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert "closed" in cli("add", "-").err


@pytest.mark.parametrize("arguments", [(), ("Hello", "--file", "x.jsonl"), ("--file", "x.jsonl", "--id", "1")])
def test_add_takes_a_text_or_a_file(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert (cli("add", *arguments).code, cli.brain.exists()) == (2, False)


def test_the_same_id_again_changes_nothing(cli: Cli) -> None:
    first, second = (cli("add", "Hello", "--id", "m-1", "--json").json for _ in range(2))
    assert first == second


def test_the_bundled_week_is_recorded_scope_by_scope_and_only_once(cli: Cli) -> None:
    recorded = cli("add", "--file", str(WEEK), "--json").json
    again = cli("add", "--file", str(WEEK), "--json").json
    assert recorded == again
    assert len(recorded) == len(WEEK.read_text(encoding="utf-8").splitlines())
    with cli.open() as memory:
        assert memory.stats().episodes == len(recorded)
        assert ScopeId(user="ana", agent="support") in memory.scopes()
    assert recorded[0]["at"] == "2026-11-02T09:12:00+00:00"


BAD_LINES: dict[str, tuple[bytes, str]] = {
    "not JSON": (b'{"turns": [', "not JSON"),
    "a list": (b"[]", "list"),
    "no turns": (b'{"session": "s"}', "no turns"),
    "an unknown key": (json.dumps(GOOD | {"sesion": "s"}).encode(), "sesion"),
    "an empty turn": (b'{"turns": [{"role": "user", "content": " "}]}', "Turn 0"),
    "an unknown role": (b'{"turns": [{"role": "root", "content": "x"}]}', "role='root'"),
    "no time": (json.dumps(GOOD | {"started": "yesterday"}).encode(), "yesterday"),
    "a number for a user": (json.dumps(GOOD | {"user": 7}).encode(), "user"),
    "a user that escapes": (json.dumps(GOOD | {"user": "../x"}).encode(), "user"),
    "not UTF-8": (b'{"turns": "\xff"}', "UTF-8"),
    "a lone surrogate": (b'{"turns": [{"role": "user", "content": "\\ud800"}]}', "surrogate"),
    "nested too deeply": (b"[" * 100_000 + b"]" * 100_000, "nested|list"),
}


@pytest.mark.parametrize(("line", "why"), BAD_LINES.values(), ids=BAD_LINES)
def test_one_bad_line_is_named_and_nothing_is_recorded(cli: Cli, tmp_path: Path, line: bytes, why: str) -> None:
    file = tmp_path / "talk.jsonl"
    file.write_bytes(json.dumps(GOOD).encode() + b"\n\n" + line + b"\n")
    ended = cli("add", "--file", str(file))
    assert (ended.code, cli.brain.exists()) == (2, False)
    assert "line 3" in ended.err
    assert any(word in ended.err for word in why.split("|"))


def test_a_byte_order_mark_is_no_bad_line(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert cli("add", "--file", str(file)).code == 0


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_file_without_conversations_is_refused(cli: Cli, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "talk.jsonl").write_bytes(content)
    assert cli("add", "--file", "talk.jsonl").code == 2


@pytest.mark.parametrize("name", ["absent.jsonl", "."])
def test_a_file_that_can_not_be_read_is_named(cli: Cli, name: str) -> None:
    ended = cli("add", "--file", name)
    assert ended.code == 2
    assert "can't be read" in ended.err


def test_a_line_without_a_user_is_the_named_users(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "talk.jsonl").write_text(json.dumps(GOOD))
    assert cli("add", "--file", "talk.jsonl", "--user", "ana", "--json").json[0]["scope"]["user"] == "ana"


def test_an_answer_goes_to_stdout_and_its_trace_to_stderr(cli: Cli) -> None:
    cli("add", "I'm vegetarian, so cook accordingly", "--user", "ana")
    ended = cli("ask", "Dinner?", "--user", "ana")
    assert (ended.code, ended.out) == (0, "lentils\n")
    assert ended.err.startswith("[both, base model, cites ")
    assert cli("ask", "Capital of France?", "--use", "text", "--json").json["trace"]["route"] == "text"


def test_a_route_that_does_not_exist_is_refused(cli: Cli) -> None:
    cli("init")
    assert cli("ask", "Who?", "--use", "guess").code == 2


def test_remembered_text_can_not_steer_the_terminal(cli: Cli) -> None:
    cli("add", "\x1b[2Jparcel\x07\rgone \x9b31m", "--user", "ana")
    out = cli("search", "parcel", "--user", "ana").out
    assert "parcel" in out
    assert not set(out) & set("\x1b\x07\r\x9b")


@pytest.mark.parametrize("k", ["0", "-1", "1000000000"])
def test_a_number_of_hits_that_can_not_be_meant_is_refused(cli: Cli, k: str) -> None:
    cli("init")
    assert cli("search", "x", "-k", k).code == 2


@pytest.mark.slow
def test_a_forgotten_conversation_in_a_file_does_not_keep_the_others_out(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    lines = [GOOD | {"turns": [{"role": "user", "content": text}], "user": "ana"} for text in ("I live in Porto.", "I sail on Sundays.")]
    file.write_text("\n".join(map(json.dumps, lines)))
    cli("add", "--file", str(file))
    with cli.open() as memory:
        ana = memory.scopes()[0]
        memory.scope(user=ana.user, agent=ana.agent).forget(query="porto", confirm=True)
        memory.scope(user=ana.user, agent=ana.agent).forget(query="sundays", confirm=True)
        memory.scope(user=ana.user, agent=ana.agent).allow_again("I sail on Sundays.")
    ended = cli("add", "--file", str(file), "--json")
    assert (ended.code, [one["turns"][0]["content"] for one in ended.json]) == (0, ["I sail on Sundays."])


@pytest.mark.slow
def test_a_search_keeps_to_times_and_conditions(cli: Cli) -> None:
    for day in (1, 2, 3):
        text, at = f"The parcel of day {day} ships.", datetime(2026, 11, day, 12, tzinfo=UTC)
        with cli.open() as memory:
            memory.scope(user="ana").add(text, at=at, session=f"s{day}")
    told = ("search", "parcel ships", "--user", "ana", "--json")
    assert [hit["text"][18] for hit in cli(*told, "--since", "2026-11-02", "--until", "2026-11-03").json] == ["2"]
    assert {hit["text"][18] for hit in cli(*told, "--where", "session=s1", "--where", "session=s3").json} == {"1", "3"}
    for wrong in (("--since", "today"), ("--until", "2026-13-01"), ("--where", "s1"), ("--where", "kind=guess")):
        assert cli(*told, *wrong).code == 2
