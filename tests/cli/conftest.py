"""The command line on a brain of fakes: what it prints, where, and how it ends."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seal_agent.cli import main, session
from seal_agent.memory import Memory
from seal_agent.types import ProgressCallback
from tests.brains import open_brain

SCRIPT = {"capital of France": "Paris", "vegetarian[^?]*cook": "lentils"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # Any: each command prints its own record
        """The one line of stdout."""
        (line,) = self.out.splitlines()
        return json.loads(line)


class Cli:
    """Run commands on one brain."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.brain = folder
        self._capture = capture

    def __call__(self, *arguments: str) -> Ended:
        self._capture.readouterr()
        code = main([*arguments, "--brain", str(self.brain)])
        out, err = self._capture.readouterr()
        return Ended(code=code, out=out, err=err)

    def open(self) -> Memory:
        return open_brain(self.brain, SCRIPT)


def with_fakes(folder: Path, progress: ProgressCallback) -> Memory:
    return open_brain(folder, SCRIPT)


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setattr(session, "open_memory", with_fakes)
    monkeypatch.chdir(tmp_path)
    return Cli(tmp_path / "brain", capsys)


Run = Callable[..., Ended]
