"""`consolidate`: one cycle now, or its plan; with the gate's table and what became of each fact."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from seal_agent.cli.output import on_one_line
from seal_agent.cli.progress import duration
from seal_agent.cli.session import Session, with_brain
from seal_agent.errors import BackendError, CycleInterruptedError

if TYPE_CHECKING:
    from seal_agent.types import CyclePlan, CycleReport, ReadingReport

INTERRUPTED = 130
REFUSED = 1
EXIT_CODES = {"promoted": 0, "skipped": 0, "rejected": REFUSED, "failed": BackendError.exit_code, "running": BackendError.exit_code}


def register(app: typer.Typer) -> None:
    app.command()(consolidate)


@with_brain
def consolidate(
    session: Session,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be trained and how long it would take.")] = False,
) -> int:
    """Learn now: write self-edits, train, evaluate, and promote if the gate says so."""
    if dry_run:
        with session.scope() as scope:
            plan = scope.consolidate(dry_run=True)
        session.emit(plan, lambda: show_plan(plan))
        return 0
    with stop_on_interrupt() as stop:
        try:
            with session.scope() as scope:
                report = scope.consolidate(should_stop=stop.is_set)
        except CycleInterruptedError:
            if stop.is_set():
                return INTERRUPTED
            raise
    session.emit(report, lambda: show_report(report))
    return EXIT_CODES[report.state]


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C or SIGTERM sets, so that the cycle ends in order; a second one ends it at once."""
    stop = threading.Event()

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        print("stopping after this step, the next run goes on from there; Ctrl-C again stops at once", file=sys.stderr)

    before = {number: signal.signal(number, on_interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show_plan(plan: "CyclePlan") -> None:
    print(plan.reason)
    for title, facts in (("new", plan.new_facts), ("again", plan.replayed_facts)):
        for fact in facts:
            print(f"  {title:6} {fact.kind:10}  {on_one_line(fact.text)}  ({fact.id})")
    print(
        f"{len(plan.new_facts)} new facts of {plan.episodes} episodes, {len(plan.replayed_facts)} learnt again,"
        f" {len(plan.superseded)} superseded; at most {plan.estimated_tokens:,} tokens, {duration(plan.estimated_seconds)}."
    )


def show_report(report: "CycleReport") -> None:
    print(f"{report.state}: {on_one_line(report.reason)}" + (f" ({report.adapter})" if report.adapter else ""))
    for check in report.decision.checks if report.decision else ():
        interval = f"  95 %: {check.interval[0]:+.0%} to {check.interval[1]:+.0%}" if check.interval else ""
        print(f"  {'pass' if check.passed else 'FAIL'}  {check.name:20}  {on_one_line(check.text)}{interval}")
    if report.facts:
        print("facts:")
    for fact in report.facts:
        recalled = f"{fact.recalled} of {fact.asked}" if fact.asked else "-"
        state = "regressed" if fact.regressed else fact.state.replace("_", " ")
        print(f"  {state:12}  {recalled:8}  {on_one_line(fact.text)}  ({fact.fact_id})")
    if report.reading is not None:
        show_reading(report.reading)
    if report.unwritten:
        print(f"  the writer failed: {report.unwritten} facts are taught by questions and gaps made by rules alone")
    if report.training is not None:
        trained = report.training
        print(f"trained {trained.trained_tokens:,} tokens in {trained.passes} passes, {duration(trained.seconds)}")


def show_reading(reading: "ReadingReport") -> None:
    refused = ", ".join(f"{count} {reason}" for reason, count in sorted(reading.refused.items()))
    print(
        f"{reading.reader} read {reading.answered} of {reading.turns} turns, {reading.tokens:,} tokens: {reading.stated} in its words,"
        f" {reading.floor} in the user's own" + (f"; refused: {on_one_line(refused)}" if refused else "")
    )
    if reading.failure:
        print(f"  not read on: {on_one_line(reading.failure)}")
