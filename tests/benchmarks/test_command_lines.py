"""Every benchmark has the same switches."""

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
CHILDREN = ("crash_writer", "memory_peer")
"""Started by a benchmark, not by people."""
COMMANDS = sorted(path.stem for path in FOLDER.glob("*.py") if "def main(" in path.read_text() and path.stem not in CHILDREN)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_can_be_quick_and_speak_json(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{name}").main()
    told = capsys.readouterr().out
    assert (ended.value.code, "--quick" in told, "--json" in told) == (0, True, True)
