"""Progress is shown on a terminal, and nowhere else."""

import io
import sys

import pytest

from seal_agent.cli.progress import duration, note, progress_bar
from seal_agent.types import Progress, silent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as progress:
        assert progress is silent


def test_on_a_terminal_each_stage_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bar() as progress:
        progress(Progress(stage="train", done=3, total=10, loss=1.25, tokens_per_second=300.0, seconds_left=75.0))
        progress(Progress(stage="[bold]evaluate", done=1, total=2, detail="held-out [1/2]"))
    shown = terminal.getvalue()
    for words in ("train", "3/10", "loss 1.250", "300 tokens/s", "1 min 15 s left", "[bold]evaluate", "held-out [1/2]"):
        assert words in shown


def test_a_stage_without_figures_has_no_note() -> None:
    assert note(Progress(stage="select", done=0, total=1)) == ""


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "0 s"), (59.6, "1 min 00 s"), (-3.0, "0 s"), (3_725.0, "62 min 05 s")])
def test_durations_are_told_in_minutes_and_seconds(seconds: float, words: str) -> None:
    assert duration(seconds) == words
