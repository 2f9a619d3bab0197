"""Long benchmarks in portions: what is done is kept in a file, so that the same command goes on where it stopped or was killed.

Also the command line that they share. The file has one JSON object a line: the conditions first, then one line per finished unit of work.
It knows nothing of what is measured, and keeps results of other conditions apart by refusing the file.
"""

import contextlib
import json
import math
import os
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

from benchmarks.reporting import report
from seal_agent.config import ModelSettings, TrainingSettings
from seal_agent.errors import SealAgentError, UsageError
from seal_agent.models.local import LocalModel
from seal_agent.models.weights import resolve

MODEL = "smollm2-135m-instruct"
NO_CLOCK = 60.0 * 24 * 365
"""Minutes that no training takes."""
Figures = dict[str, Any]
"""What `--json` prints."""
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


def parser(name: str, doc: str | None, *, quick: str) -> ArgumentParser:
    """The arguments that every benchmark in portions has; `quick` says what `--quick` leaves."""
    parser = ArgumentParser(prog=name, description=(doc or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--model", default=MODEL, help="hub id or folder (%(default)s)")
    parser.add_argument("--out", type=Path, help="keep what is done in this file and go on from it; the base's answers in <file>.cache")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no further unit after so many minutes")
    return parser


def training(**settings: Any) -> TrainingSettings:  # Any: fields of TrainingSettings
    """The package's defaults, but no clock ends a training: else a busy machine would decide how much of it is measured."""
    return TrainingSettings(max_minutes=NO_CLOCK, **settings)


def count(text: str) -> int:
    """An argument that says how many, at least one."""
    number = int(text)
    if number < 1:
        raise ArgumentTypeError(f"{number} is too few")
    return number


def add_sizes(parser: ArgumentParser, *, facts: int, seeds: int) -> None:
    parser.add_argument("--facts", type=count, help=f"facts per seed ({facts})")
    parser.add_argument("--seeds", type=count, help=f"how many seeds ({seeds})")


def sizes(options: Namespace, *, quick: tuple[int, int], default: tuple[int, int]) -> tuple[int, int]:
    """(facts, seeds) as asked for."""
    facts, seeds = quick if options.quick else default
    return options.facts or facts, options.seeds or seeds


def run(
    options: Namespace,
    conditions: dict[str, Any],
    measure: Callable[[LocalModel, Path, Portions], Figures],
    show: Callable[[Figures], None],
) -> int:
    """Measure what there is time for with the model and a folder for the base's answers, and show it; return the exit code."""
    try:
        kept = Portions(options.out, {"model": options.model, **conditions}, options.minutes)
        with cache_of(options.out) as folder:
            figures = measure(LocalModel(resolve(options.model), options.model, ModelSettings()), folder, kept)
    except SealAgentError as error:
        report(str(error))
        return 2
    show(figures)
    if options.json:
        print(json.dumps(figures))
    return 0


@contextlib.contextmanager
def cache_of(out: Path | None) -> Iterator[Path]:
    """Where the base model's answers are kept: beside the file, or for this process only."""
    if out is not None:
        yield out.with_name(f"{out.name}.cache")
        return
    with TemporaryDirectory() as folder:
        yield Path(folder)
