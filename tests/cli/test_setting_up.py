"""`init` makes a brain whose settings explain themselves; `doctor` says what is wrong, also where a brain can't be opened."""

import tomllib
from pathlib import Path

import pytest

from seal_agent.cli.settings_file import settings_file
from seal_agent.config import Settings
from tests.brains import learn
from tests.cli.conftest import Cli


def uncommented(text: str) -> str:
    return "\n".join(
        line.removeprefix("# ") for line in text.splitlines() if not line.startswith("## ") and (" = " in line or line[:1] == "[")
    )


def test_init_makes_a_brain_and_its_settings(cli: Cli) -> None:
    made = cli("init", "--json").json
    assert (made["created"], made["wrote_settings"], made["brain"]) == (True, True, str(cli.brain))
    assert {"seal.db", "seal.toml"} <= {path.name for path in cli.brain.iterdir()}


def test_init_again_changes_nothing(cli: Cli) -> None:
    cli("init")
    (cli.brain / "seal.toml").write_text("[retrieval]\nk = 3\n")
    again = cli("init", "--json").json
    assert (again["created"], again["wrote_settings"]) == (False, False)
    assert (cli.brain / "seal.toml").read_text() == "[retrieval]\nk = 3\n"
    assert "already" in cli("init").out


def test_the_settings_as_written_are_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "seal.toml").write_text(settings_file(), encoding="utf-8")
    assert Settings.load(tmp_path / "seal.toml") == Settings.load(None)


def test_every_setting_is_there_with_its_default_and_meaning(tmp_path: Path) -> None:
    text = settings_file()
    assert tomllib.loads(uncommented(text)) == Settings.load(None).model_dump(mode="json")
    for section in Settings.model_fields.values():
        for field in type(section.default).model_fields.values():
            assert (field.description or "?").split()[0] in text


def test_the_settings_file_does_not_depend_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings_file()
    monkeypatch.setenv("SEAL_RETRIEVAL__K", "99")
    assert settings_file() == before


def test_init_on_a_file_says_so(cli: Cli) -> None:
    cli.brain.write_text("")
    assert cli("init").code == 4


def test_a_healthy_brain_is_code_0(cli: Cli) -> None:
    cli("init")
    ended = cli("doctor")
    assert ended.code == 0
    assert "PROBLEM" not in ended.out
    assert {finding["level"] for finding in cli("doctor", "--json").json} <= {"ok", "warning"}


def test_a_damaged_adapter_is_code_4(cli: Cli) -> None:
    with cli.open() as memory:
        adapter = learn(memory, memory.scope(user="ana"), {"Tea?": "yes"})
        (memory.folder / adapter.path / "adapter_config.json").unlink()
    ended = cli("doctor")
    assert ended.code == 4
    assert "PROBLEM  adapters" in ended.out
    assert "way out" in ended.out


def test_a_brain_that_can_not_be_opened_is_examined_from_outside(cli: Cli) -> None:
    with cli.open():
        ended = cli("doctor", "--json")
    assert ended.code == 3
    assert [finding["name"] for finding in ended.json if finding["level"] == "problem"] == ["brain"]


def test_broken_settings_are_found_before_the_brain_is_opened(cli: Cli) -> None:
    cli("init")
    (cli.brain / "seal.toml").write_text("[gate\n")
    ended = cli("doctor")
    assert ended.code == 2
    assert "PROBLEM  settings" in ended.out


def test_without_a_brain_the_machine_alone_is_examined(cli: Cli) -> None:
    ended = cli("doctor")
    assert (ended.code, cli.brain.exists()) == (0, False)
    assert "seal-agent init" in ended.out


def test_settings_that_can_not_be_written_are_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_text

    def full(path: Path, text: str, encoding: str) -> int:
        if path.name == "seal.toml":
            raise OSError(28, "No space left on device")
        return write(path, text, encoding=encoding)

    monkeypatch.setattr(Path, "write_text", full)
    ended = cli("init")
    assert ended.code == 4
    assert "No space left" in ended.err
