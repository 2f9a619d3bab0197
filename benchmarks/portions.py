"""Long benchmarks in portions: what is done is kept in a file, so that the same command goes on where it stopped or was killed.

One JSON object a line: the conditions first, then one line per finished unit of work. It knows nothing of what is measured, and keeps
results of other conditions apart by refusing the file.
"""

import contextlib
import json
import math
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from seal_agent.errors import UsageError

Result = Any
"""Whatever `json` writes and reads back unchanged."""


class Portions:
    """The finished units of one benchmark under one set of conditions, and whether there is time for another."""

    def __init__(self, file: Path | None = None, conditions: dict[str, Any] | None = None, minutes: float = math.inf) -> None:
        """Without a file nothing outlives the process. Raise `UsageError` for a file of other conditions or of another kind."""
        self._file = file
        self._until = time.monotonic() + 60 * minutes
        self._kept: dict[str, Result] = {}
        told = {"conditions": conditions or {}}
        if file is None:
            return
        if file.exists() and file.stat().st_size:
            self._kept = read(file, told)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(told) + "\n", encoding="utf-8")

    def wants(self, unit: str) -> bool:
        """Whether the unit is done already or may still be begun."""
        return unit in self._kept or time.monotonic() < self._until

    def result(self, unit: str, make: Callable[[], Result]) -> Result:
        """Return what was kept of the unit, or make and keep it."""
        if unit not in self._kept:
            self._kept[unit] = made = make()
            if self._file is not None:
                with self._file.open("a", encoding="utf-8") as kept:
                    kept.write(json.dumps({"unit": unit, "result": made}) + "\n")
        return self._kept[unit]


def read(file: Path, told: dict[str, Any]) -> dict[str, Result]:
    """The units in the file; a last line that a killed process left half written is cut off."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        del lines[-1]
        file.write_text("".join(lines), encoding="utf-8")
    try:
        first, *rows = [json.loads(line) for line in lines]
        kept = {row["unit"]: row["result"] for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file} holds no portions of a benchmark: {error!r}") from error
    if first != told:
        raise UsageError(f"{file} was begun under other conditions: {json.dumps(first)}, not {json.dumps(told)}. Name another --out.")
    return kept


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, help="keep what is done in this file and go on from it; the base's answers in <file>.cache")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no further unit after so many minutes")


@contextlib.contextmanager
def cache_of(out: Path | None) -> Iterator[Path]:
    """Where the base model's answers are kept: beside the file, or for this process only."""
    if out is not None:
        yield out.with_name(f"{out.name}.cache")
        return
    with TemporaryDirectory() as folder:
        yield Path(folder)
