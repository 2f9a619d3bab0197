"""A progress bar on stderr when that is a terminal, nothing otherwise."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from seal_agent.types import Progress, ProgressCallback, silent

SECONDS_PER_MINUTE = 60


@contextmanager
def progress_bar() -> Iterator[ProgressCallback]:
    """Yield a callback that shows each stage as a line, gone when the block ends."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        lines: dict[str, TaskID] = {}

        def show(progress: Progress) -> None:
            if progress.stage not in lines:
                lines[progress.stage] = bars.add_task(progress.stage, note="")
            bars.update(lines[progress.stage], completed=progress.done, total=progress.total, note=note(progress))

        yield show


def note(progress: Progress) -> str:
    """What is said beside the bar: loss, speed, time left, and whatever the stage has to tell."""
    parts = [
        "" if progress.loss is None else f"loss {progress.loss:.3f}",
        "" if progress.tokens_per_second is None else f"{progress.tokens_per_second:,.0f} tokens/s",
        "" if progress.seconds_left is None else f"{duration(progress.seconds_left)} left",
        progress.detail,
    ]
    return "  ".join(part for part in parts if part)


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(max(0.0, seconds)), SECONDS_PER_MINUTE)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
