"""`learn`, `run` and `tasks`: teaching a scope by demonstrations, doing what it was taught, listing and dropping it."""

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
    from seal_agent.few_shot.records import KnownTask, TaskAnswer, TaskReport

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
        Path,
        typer.Option("--file", help='Demonstrations, one {"input": ..., "output": ...} a line; texts, or grids as lists. - reads them.'),
    ],
) -> int:
    """Learn a task from demonstrations; kept if it beats the same model with the demonstrations in its prompt."""
    demonstrations = read_lines(file, "demonstration")
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
    file: Annotated[
        Path | None, typer.Option("--file", help='Many inputs, one JSON value a line: a text, a grid, or {"input": ...}; in one batch.')
    ] = None,
    grid: Annotated[bool, typer.Option("--grid", help="The input is a grid as JSON: [[0, 1], [1, 0]].")] = False,
) -> None:
    """Run a learnt task on one input, or on a file of them."""
    if (value is None) == (file is None) or (grid and file is not None):
        raise UsageError("Give either an input (- for standard input; with --grid as JSON) or --file inputs.jsonl.")
    if file is not None:
        values = [input_of(one) for one in read_lines(file, "input")]
    else:
        said = read_stdin() if value == FROM_STDIN else str(value)
        values = [parse_grid(said) if grid else said]
    with session.scope() as scope:
        answers = scope.run_many(task, values)

    def show() -> None:
        for answer in answers:
            print(printable(answer.text))
        print(f"[{', '.join(remarks(answers))}]", file=sys.stderr)

    session.emit(answers if file is not None else answers[0], show)


def remarks(answers: "list[TaskAnswer]") -> list[str]:
    """Who answered, and what to be wary of."""
    new, cut = sum(not answer.shown_before for answer in answers), sum(not answer.finished for answer in answers)
    share = f" ({{}} of {len(answers)})" if len(answers) > 1 else ""
    found = [answers[0].adapter]
    if new:
        found.append("an output that no demonstration has" + share.format(new))
    if cut:
        found.append("cut off by the token limit" + share.format(cut))
    return found


@with_brain
def tasks(
    session: Session,
    drop: Annotated[
        str | None, typer.Option("--drop", metavar="TASK", help="Remove a task of this scope for good: demonstrations and adapters.")
    ] = None,
) -> None:
    """List the tasks that can be run in this scope, shared ones too; or drop one."""
    if drop is not None:
        with session.scope() as scope:
            scope.drop_task(drop)
        session.emit({"dropped": drop}, lambda: print(f"Dropped {drop}"))
        return
    with session.scope() as scope:
        known = scope.tasks()

    def show() -> None:
        for one in known:
            print(line_of(one, shared=one.scope != session.scope_id))
        if not known:
            print("No tasks yet; seal-agent learn NAME --file demonstrations.jsonl teaches one.")

    session.emit(known, show)


def line_of(task: "KnownTask", *, shared: bool) -> str:
    held_out = f"{task.held_out.accuracy:.0%} of held-out demonstrations"
    of = f" of {task.scope.key}" if shared else ""
    return f"{task.name}  {task.kind}, {len(task.demonstrations)} demonstrations, {held_out}  ({task.adapter}{of})"


def show_report(report: "TaskReport") -> None:
    print(f"{report.state}: {report.task}" + (f" ({report.adapter})" if report.adapter else ""))
    for check in report.decision.checks:
        print(f"  {'pass' if check.passed else 'FAIL'}  {check.name:6}  {on_one_line(check.text)}")
    print("recipes, best first:")
    for trial in report.trials:
        found = trial.figures
        print(f"  {found.probability:.3f}  {found.right:3} of {found.asked:<3}  {trial.writer:6}  {on_one_line(trial.recipe.text)}")
    for reason, count in sorted(report.refused.items()):
        print(f"  {count} refused: {on_one_line(reason)}")


def read_lines(file: Path, what: str) -> list[Any]:  # Any: checked by the library, which names what is wrong
    """Read one JSON value a line, however its texts break lines.

    Raise `UsageError` for a file that can't be read, `InvalidTaskError` naming the line that is wrong.
    """
    try:
        text = read_stdin() if str(file) == FROM_STDIN else file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} can't be read: {error}.") from error
    found = [parse_line(file, number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not found:
        raise InvalidTaskError(f"{file} holds no {what}; write one JSON value a line.")
    return found


def parse_line(file: Path, number: int, line: str) -> object:
    try:
        return json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidTaskError(f"{file}, line {number}: not JSON ({error}). Nothing was done.") from error


def input_of(line: Any) -> Any:  # Any: checked by `run_many`
    """What a line asks for: itself, or the input of a demonstration."""
    return line["input"] if isinstance(line, dict) and "input" in line else line


def parse_grid(text: str) -> Any:  # Any: checked by `run`
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidTaskError(f"The input is no JSON ({error}); a grid is written as [[0, 1], [1, 0]].") from error
