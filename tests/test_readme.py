"""What the README shows is true: its code runs as it stands, its commands exist, its files are there."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from seal_agent import builders
from seal_agent.cli import app
from seal_agent.testing import HashEmbedder, InstantTrainer, ScriptedModel

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_code_of_the_readme_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ScriptedModel({})
    monkeypatch.setattr(builders, "build_model", lambda *_: model)
    monkeypatch.setattr(builders, "build_trainer", lambda *_: InstantTrainer())
    monkeypatch.setattr(builders, "build_embedder", lambda *_: HashEmbedder())
    monkeypatch.setattr(builders, "hash_weights", lambda *_: "0" * 64)
    monkeypatch.chdir(tmp_path)
    whole = [code for code in blocks("python") if code.startswith("from seal_agent")]
    for code in whole:
        exec(compile(code, "README.md", "exec"), {})
    assert whole
    printed = capsys.readouterr().out
    assert "vegetarian" in printed
    assert "promoted" in printed


@pytest.mark.parametrize("code", blocks("python"))
def test_the_fragments_are_python_too(code: str) -> None:
    compile(code, "README.md", "exec")


@pytest.mark.parametrize("line", [line for block in blocks("sh") for line in block.splitlines() if line.startswith("seal-agent ")])
def test_every_command_of_the_readme_exists_with_its_options(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command: Any = get_command(app)  # Any: typer's own copy of click is untyped
    for name in (word for word in words if not word.startswith("-")):
        if not hasattr(command, "commands"):
            break
        command = command.commands[name]
    assert not hasattr(command, "commands"), f"{line!r} names a group of commands only"
    taken = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= taken


@pytest.mark.parametrize("command", re.findall(r"`python -m (benchmarks\.\w+)", README))
def test_every_benchmark_of_the_readme_is_there(command: str) -> None:
    assert (ROOT / f"{command.replace('.', '/')}.py").is_file()


def test_every_file_that_the_readme_points_to_is_there() -> None:
    named = set(re.findall(r"`((?:docs|examples|benchmarks|integrations)/[\w./-]+\.\w+)`", README)) | set(
        re.findall(r"\]\(((?!http)[^)#]+)\)", README)
    )
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_every_package_has_its_line_in_the_tree() -> None:
    packages = {path.parent.name for path in (ROOT / "seal_agent").glob("*/__init__.py")}
    assert {package for package in packages if f"── {package}/ " not in README} == set()
