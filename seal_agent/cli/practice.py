"""`practice`: rounds of the outer loop, in which the writer of self-edits learns from those that worked."""

from typing import TYPE_CHECKING, Annotated

import typer

from seal_agent.cli.night import INTERRUPTED, REFUSED, stop_on_interrupt
from seal_agent.cli.output import on_one_line
from seal_agent.cli.progress import duration
from seal_agent.cli.session import Session, with_brain
from seal_agent.errors import CycleInterruptedError

if TYPE_CHECKING:
    from seal_agent.consolidation.round_report import RoundReport


def register(app: typer.Typer) -> None:
    app.command()(practice)


@with_brain
def practice(
    session: Session,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, help="Rounds to hold; those after the first only while the editor improves.")
    ] = 1,
) -> int:
    """Practise writing self-edits on this scope's facts; stopped or killed, the same command goes on from there."""
    reports: list[RoundReport] = []
    with stop_on_interrupt() as stop:
        try:
            with session.scope() as scope:
                while len(reports) < rounds and all(report.state == "promoted" for report in reports):
                    reports.append(scope.practice(should_stop=stop.is_set))
        except CycleInterruptedError:
            if stop.is_set():
                return INTERRUPTED
            raise
    session.emit(reports, lambda: show_reports(reports))
    return REFUSED if reports[-1].state == "rejected" else 0


def show_reports(reports: "list[RoundReport]") -> None:
    for report in reports:
        print(f"round {report.round} {report.state}: {on_one_line(report.reason)}" + (f" ({report.editor})" if report.editor else ""))
        for check in report.decision.checks if report.decision else ():
            print(f"  {'pass' if check.passed else 'FAIL'}  {check.name:9}  {on_one_line(check.text)}")
        print("policies, mean reward:")
        for text, mean in sorted(report.policies.items(), key=lambda item: -item[1]):
            print(f"  {mean:+.3f}  {text}")
        written, refused = sum(one.written for one in report.tried), sum(one.refused for one in report.tried)
        print(f"{len(report.tried)} self-edits, {written} written lines kept, {refused} refused, {duration(report.seconds)}")
        if report.winner_curse is not None:
            print(f"winner's curse: {report.winner_curse:.0%} of what choosing the best seemed to gain")
