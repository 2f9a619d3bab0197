"""`learn`, `run` and `tasks`: what a scope was taught by demonstrations, and doing it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seal_agent.cli.conversation import FROM_STDIN, read_stdin
from seal_agent.cli.night import INTERRUPTED, REFUSED, stop_on_interrupt
from seal_agent.cli.output import on_one_line, printable
from seal_agent.cli.session import Session, with_brain
from seal_agent.errors import CycleInterruptedError, InvalidTaskError, UsageError

if TYPE_CHECKING:
    from seal_agent.few_shot.records import KnownTask, TaskReport

Name = Annotated[str, typer.Argument(metavar="TASK", help="The task's name.")]


def register(app: typer.Typer) -> None:
    app.command()(learn)
    app.command()(run)
    app.command()(tasks)


@with_brain
def learn(
    session: Session,
    task: Name,
    file: Annotated[
        Path, typer.Option("--file", help='Demonstrations, one {"input": ..., "output": ...} a line; texts, or grids as lists.')
    ],
) -> int:
    """Learn a task from demonstrations; kept if it beats the same model with the demonstrations in its prompt."""
    demonstrations = read_demonstrations(file)
    with stop_on_interrupt() as stop:
        try:
            with session.scope(create=True) as scope:
                report = scope.learn(task, demonstrations, should_stop=stop.is_set)
        except CycleInterruptedError:
            if stop.is_set():
                return INTERRUPTED
            raise
    session.emit(report, lambda: show_report(report))
    return 0 if report.state == "promoted" else REFUSED


@with_brain
def run(
    session: Session,
    task: Name,
    value: Annotated[str | None, typer.Argument(metavar="INPUT", help="The input; - reads it from standard input.")] = None,
    grid: Annotated[bool, typer.Option("--grid", help="The input is a grid as JSON: [[0, 1], [1, 0]].")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Remove the task for good, with its demonstrations.")] = False,
) -> None:
    """Run a learnt task on one input."""
    if drop == (value is not None):
        raise UsageError("Give an input (- for standard input), or --drop.")
    if drop:
        with session.scope() as scope:
            scope.drop_task(task)
        session.emit({"dropped": task}, lambda: print(f"Dropped {task}"))
        return
    said = read_stdin() if value == FROM_STDIN else str(value)
    with session.scope() as scope:
        answer = scope.run(task, parse_grid(said) if grid else said)

    def show() -> None:
        print(printable(answer.text))
        print(f"[{answer.adapter}{'' if answer.shown_before else ', an output that no demonstration has'}]", file=sys.stderr)

    session.emit(answer, show)


@with_brain
def tasks(session: Session) -> None:
    """List the tasks that were learnt in this scope."""
    with session.scope() as scope:
        known = scope.tasks()

    def show() -> None:
        for one in known:
            print(line_of(one))
        if not known:
            print("No tasks yet; seal-agent learn NAME --file demonstrations.jsonl teaches one.")

    session.emit(known, show)


def line_of(task: "KnownTask") -> str:
    held_out = f"{task.held_out.accuracy:.0%} of held-out demonstrations"
    return f"{task.name}  {task.kind}, {len(task.demonstrations)} demonstrations, {held_out}  ({task.adapter})"


def show_report(report: "TaskReport") -> None:
    print(f"{report.state}: {report.task}" + (f" ({report.adapter})" if report.adapter else ""))
    for check in report.decision.checks:
        print(f"  {'pass' if check.passed else 'FAIL'}  {check.name:6}  {on_one_line(check.text)}")
    print("recipes, best first:")
    for trial in report.trials:
        found = trial.figures
        print(f"  {found.probability:.3f}  {found.right:3} of {found.asked:<3}  {trial.writer:6}  {on_one_line(trial.recipe.text)}")
    for reason, count in sorted(report.refused.items()):
        print(f"  {count} written ones refused: {on_one_line(reason)}")


def read_demonstrations(file: Path) -> list[Any]:  # Any: checked by `to_task`, which names what is wrong
    """Read one JSON object a line; raise `UsageError` for a file that can't be read, `InvalidTaskError` naming the line that is wrong."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} can't be read: {error}.") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            found.append(parse_line(file, number, line))
    if not found:
        raise InvalidTaskError(f"{file} holds no demonstration; write one JSON object a line.")
    return found


def parse_line(file: Path, number: int, line: str) -> object:
    try:
        return json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidTaskError(f"{file}, line {number}: not JSON ({error}). Nothing was learnt.") from error


def parse_grid(text: str) -> Any:  # Any: checked by `run`
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidTaskError(f"The input is no JSON ({error}); a grid is written as [[0, 1], [1, 0]].") from error
