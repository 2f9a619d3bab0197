"""`practice`: rounds of the outer loop, in which the writer of self-edits learns from those that worked."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from seal_agent.cli.night import INTERRUPTED, REFUSED, stop_on_interrupt
from seal_agent.cli.output import on_one_line
from seal_agent.cli.progress import duration
from seal_agent.cli.session import Session, with_brain
from seal_agent.errors import CycleInterruptedError, UsageError

if TYPE_CHECKING:
    from seal_agent.consolidation.practised import Practised
    from seal_agent.consolidation.round_report import RoundReport
    from seal_agent.few_shot.records import RecipeRound
    from seal_agent.types import ScopeId


def register(app: typer.Typer) -> None:
    app.command()(practice)


@with_brain
def practice(
    session: Session,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, help="Rounds to hold; those after the first only while the editor improves.")
    ] = 1,
    recipes: Annotated[bool, typer.Option("--recipes", help="Practise recipes instead, on the tasks that this scope has learnt.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Only say what nights write with.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Take back for good what was practised in this scope.")] = False,
) -> int:
    """Practise writing self-edits on this scope's facts; stopped or killed, the same command goes on from there."""
    if show or drop:
        show_or_drop(session, show=show, drop=drop)
        return 0
    reports: list[RoundReport | RecipeRound] = []
    with stop_on_interrupt() as stop:
        try:
            with session.scope() as scope:
                while len(reports) < rounds and all(report.state == "promoted" for report in reports):
                    reports.append((scope.practice_recipes if recipes else scope.practice)(should_stop=stop.is_set))
        except CycleInterruptedError:
            if stop.is_set():
                return INTERRUPTED
            raise
    session.emit(reports, lambda: show_reports(reports))
    return REFUSED if reports[-1].state == "rejected" else 0


def show_or_drop(session: Session, *, show: bool, drop: bool) -> None:
    if show and drop:
        raise UsageError("Give either --show or --drop.")
    with session.scope() as scope:
        if drop:
            scope.drop_practice()
        found = scope.practised()
    session.emit(found, lambda: show_practised(found, session.scope_id))


def show_practised(found: "Practised", scope: "ScopeId") -> None:
    def of(where: "ScopeId | None") -> str:
        return "" if where is None or where == scope else f" of {where.key}"

    print("policy  as the settings say" if found.policy is None else f"policy  {found.policy.text}{of(found.policy_scope)}")
    editor = "editor  none, the base writes" if found.editor is None else f"editor  {found.editor}{of(found.editor_scope)}"
    if found.gain is not None and found.gain_before is not None:
        editor += f", self-edits worth {found.gain_before:+.3f} -> {found.gain:+.3f} nats per token"
    print(editor)
    print(f"recipes for tasks  {found.recipe_editor or 'no editor, the base writes'}")


def show_reports(reports: "Sequence[RoundReport | RecipeRound]") -> None:
    from seal_agent.few_shot.records import RecipeRound

    for report in reports:
        print(f"round {report.round} {report.state}: {on_one_line(report.reason)}" + (f" ({report.editor})" if report.editor else ""))
        for check in report.decision.checks if report.decision else ():
            print(f"  {'pass' if check.passed else 'FAIL'}  {check.name:9}  {on_one_line(check.text)}")
        if isinstance(report, RecipeRound):
            show_recipes(report)
        else:
            show_self_edits(report)
        if report.state != "promoted":
            print("the same facts and seed come to the same again: add facts, or change practice.* or training.seed")


def show_self_edits(report: "RoundReport") -> None:
    print("policies, mean reward:")
    for text, mean in sorted(report.policies.items(), key=lambda item: -item[1]):
        print(f"  {mean:+.3f}  {text}")
    written, refused = sum(one.written for one in report.tried), sum(one.refused for one in report.tried)
    print(f"{len(report.tried)} self-edits, {written} written lines kept, {refused} refused, {duration(report.seconds)}")
    if report.winner_curse is not None:
        print(f"winner's curse: {report.winner_curse:.0%} of what choosing the best seemed to gain")


def show_recipes(report: "RecipeRound") -> None:
    print("tasks practised on, the best recipe of each:")
    for name, trial in report.winners.items():
        print(f"  {trial.figures.probability:.3f}  {name}: {trial.recipe.text} ({trial.writer})")
    print(f"tasks judged on, {duration(report.seconds)} in all:")
    for one in report.judged:
        print(f"  {one.untrained:.3f} -> {one.trained:.3f}  {one.task}: sound recipes {one.sound_untrained} -> {one.sound_trained}")
