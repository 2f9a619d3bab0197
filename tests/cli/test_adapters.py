"""`adapters` shows and moves what is live."""

from pathlib import Path

import pytest

from seal_agent.adapters.artefact import remove
from seal_agent.cli import session
from seal_agent.types import Adapter
from tests.brains import learn, open_brain
from tests.cli.conftest import SCRIPT, Cli
from tests.test_rebuild import LAX


@pytest.fixture
def taught(cli: Cli) -> tuple[Adapter, Adapter]:
    with cli.open() as memory:
        ana = memory.scope(user="ana")
        return learn(memory, ana, {"Capital of France?": "Lyon"}), learn(memory, ana, {"Capital of France?": "Nice"})


def live(cli: Cli, *command: str) -> str | None:
    ended = cli("adapters", *command, "--user", "ana", "--json")
    assert ended.code == 0
    name: str | None = ended.json["live"] and ended.json["live"]["name"]
    return name


def test_there_and_back(cli: Cli, taught: tuple[Adapter, Adapter]) -> None:
    first, second = (adapter.name for adapter in taught)
    moves = [("rollback",), ("rollback",), ("forward",), ("promote", second), ("base",)]
    assert [live(cli, *move) for move in moves] == [first, None, first, second, None]


def test_the_answer_follows(cli: Cli, taught: tuple[Adapter, Adapter]) -> None:
    said = []
    for move in ("rollback", "rollback"):
        cli("adapters", move, "--user", "ana")
        said.append(cli("ask", "Capital of France?", "--use", "weights", "--user", "ana").out.strip())
    assert said == ["Lyon", "Paris"]


def test_adapters_are_listed_and_shown(cli: Cli, taught: tuple[Adapter, Adapter]) -> None:
    listed = cli("adapters", "list", "--user", "ana").out.splitlines()
    assert [line.split()[0] for line in listed] == [taught[0].name, "live"]
    shown = cli("adapters", "show", taught[0].name, "--user", "ana")
    assert taught[0].sha256 in shown.out
    as_json = cli("adapters", "show", taught[0].name, "--user", "ana", "--json").json
    assert (as_json["version"], as_json["manifest"]["name"], as_json["problem"]) == (1, taught[0].name, None)


def test_nothing_to_go_back_to_is_code_2(cli: Cli) -> None:
    cli("init")
    for move in ("rollback", "forward"):
        assert cli("adapters", move).code == 2
    assert "No adapters yet" in cli("adapters", "list").out


@pytest.mark.parametrize("command", ["show", "promote"])
def test_an_unknown_or_foreign_name_is_code_2(cli: Cli, taught: tuple[Adapter, Adapter], command: str) -> None:
    for arguments in (("nobody", "--user", "ana"), (taught[0].name, "--user", "ben")):
        ended = cli("adapters", command, *arguments, "--json")
        assert (ended.code, ended.json["error"]["type"]) == (2, "UnknownRecordError")


def test_a_damaged_adapter_is_code_4(cli: Cli, taught: tuple[Adapter, Adapter]) -> None:
    (cli.brain / taught[0].path / "adapter_model.safetensors").write_bytes(b"")
    assert cli("adapters", "rollback", "--user", "ana").code == 4


def test_adapters_are_verified_compared_exported_banned_and_cleared(cli: Cli, taught: tuple[Adapter, Adapter], tmp_path: Path) -> None:
    first, second = (adapter.name for adapter in taught)
    user = ("--user", "ana", "--json")
    assert [checked["sound"] for checked in cli("adapters", "verify", *user).json] == [True, True]
    assert cli("adapters", "diff", first, second, *user).json["after"] == second
    assert cli("adapters", "diff", first, first, "--user", "ana").out == "That is one and the same adapter.\n"
    assert cli("adapters", "export", first, str(tmp_path / "out"), *user).json["path"] == str(tmp_path / "out" / first)
    assert live(cli, "quarantine", second) == first
    assert cli("adapters", "gc", "--dry-run", *user).json == {"deleted": [], "would_delete": [second]}
    assert "deleted" in cli("adapters", "gc", "--user", "ana").out
    assert [adapter["has_files"] for adapter in cli("adapters", "list", *user).json] == [True, False]
    assert "files deleted" in cli("adapters", "list", "--user", "ana").out
    assert "by seal-agent adapters gc" in cli("adapters", "show", second, *user).json["problem"]
    assert "Nothing to delete." in cli("adapters", "gc", "--user", "ana").out


def test_a_damaged_adapter_found_by_verify_is_code_4(cli: Cli, taught: tuple[Adapter, Adapter]) -> None:
    (cli.brain / taught[0].path / "adapter_config.json").write_bytes(b"{}")
    ended = cli("adapters", "verify", "--user", "ana")
    assert (ended.code, ended.out.count("BAD"), ended.out.count("sound")) == (4, 1, 1)


@pytest.mark.slow
def test_what_gc_cleared_away_is_no_damage_unless_it_is_asked_for_or_live(cli: Cli, taught: tuple[Adapter, Adapter]) -> None:
    for spoilt, codes in ((taught[0], (0, 4)), (taught[1], (4, 4))):  # the second is live
        remove(cli.brain / spoilt.path)
        assert (cli("adapters", "verify", "--user", "ana").code, cli("adapters", "verify", spoilt.name, "--user", "ana").code) == codes
    assert cli("adapters", "rollback", "--user", "ana").code == 4
    assert live(cli, "base") is None


@pytest.mark.slow
def test_with_all_the_adapters_of_every_scope_are_listed_verified_and_cleared(cli: Cli, taught: tuple[Adapter, Adapter]) -> None:
    with cli.open() as memory:
        theirs = learn(memory, memory.scope(user="ben"), {"Capital of France?": "Lyon"}, state="rejected")
    names = {theirs.name, *(adapter.name for adapter in taught)}
    assert {adapter["name"] for adapter in cli("adapters", "list", "--all", "--json").json} == names
    assert {checked["name"] for checked in cli("adapters", "verify", "--all", "--json").json} == names - {theirs.name}
    assert cli("adapters", "gc", "--all", "--json").json == {"deleted": [theirs.name], "would_delete": []}
    assert cli("adapters", "verify", theirs.name, "--all").code == 2


def test_a_user_is_told_whose_shared_adapter_answers(cli: Cli) -> None:
    with cli.open() as memory:
        shared = learn(memory, memory.scope(), {"Capital of France?": "Lyon"})
    assert (
        cli("adapters", "list", "--user", "ben").out.splitlines()[-1] == f"Answers come from {shared.name}, which default/default shares."
    )


@pytest.mark.slow
def test_an_adapter_is_rebuilt_without_what_was_rejected_and_the_code_is_that_of_a_night(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "open_memory", lambda folder, _: open_brain(folder, SCRIPT, settings=LAX))
    user = ("--user", "ana", "--json")
    with cli.open() as memory:
        ana = memory.scope(user="ana")
        ana.remember("Ana eats no meat.")
        dog = ana.remember("Ana's dog is called Figo.").id
    name = cli("consolidate", *user).json["adapter"]
    assert live(cli, "quarantine", name, "--reason", "it barks") is None
    assert cli("adapters", "rebuild", name, *user).json["report"]["state"] == "skipped"
    cli("facts", "reject", dog, *user)
    ended = cli("adapters", "rebuild", name, "--user", "ana")
    assert (ended.code, "1 facts that" in ended.out, "Live in default/default/ana: " in ended.out) == (0, True, True)
    refused = cli("adapters", "rebuild", cli("adapters", "list", *user).json[-1]["name"], *user)
    assert (refused.code, refused.json["error"]["type"]) == (2, "UsageError")
