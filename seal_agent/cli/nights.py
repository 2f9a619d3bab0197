"""`nights`: what was held and what comes next, hold one now or all that are due, pause and resume.

Nights are held by the process that has the brain open: a server, `nights run --forever`, or cron with `nights run --due`. Looking back and
ahead, pausing and resuming work beside it; when somebody last asked, for which a night waits too, that process alone knows.
"""

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from seal_agent.cli.night import EXIT_CODES, INTERRUPTED, show_plan, show_report, stop_on_interrupt
from seal_agent.cli.output import on_one_line
from seal_agent.cli.session import Session, with_brain
from seal_agent.errors import BackendError, CycleInterruptedError, UsageError

if TYPE_CHECKING:
    from seal_agent.ledger.nights import NightEvent, NightRow
    from seal_agent.memory import Memory
    from seal_agent.nights.ahead import NextNight

group = typer.Typer(help="When scopes learn by themselves: look back and ahead, run, pause.", rich_markup_mode=None)
Everybody = Annotated[bool, typer.Option("--all", help="All scopes, not only this one.")]
Note = Annotated[str, typer.Option("--note", help="Why, for whoever asks later.")]


@group.command("list")
@with_brain
def list_nights(
    session: Session,
    everybody: Everybody = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most nights shown.")] = 30,
) -> None:
    """List the nights that were held, the newest first."""
    with session.nights() as nights:
        found = nights.history(None if everybody else session.scope_id, limit)

    def show() -> None:
        for row in found:
            print(line_of(row))
        if not found:
            whose = "" if everybody else f" of {session.scope_id.key} (--all lists everybody's)"
            print(f"No scheduled nights yet{whose}; seal-agent nights next tells when the next one is.")

    session.emit(found, show)


def line_of(row: "NightRow") -> str:
    tries = f"  (try {row.attempts})" if row.attempts > 1 else ""
    return f"{row.date}  {row.state:9}  {row.scope.key}  {on_one_line(row.reason or '')}{tries}"


@group.command()
@with_brain
def show(
    session: Session, day: Annotated[str | None, typer.Argument(metavar="DATE", help="As 2026-11-22; left out, the newest night.")] = None
) -> None:
    """Show one night of a scope: how it ended, the gate's table, each fact, and roll backs by the watch."""
    with session.nights() as nights:
        found = nights.show(session.scope_id, None if day is None else parse_date(day))

    def tell() -> None:
        if found.night is None:
            print("No scheduled night yet" + ("; the newest cycle:" if found.report else f" and no cycle of {session.scope_id.key}."))
        else:
            print(line_of(found.night))
        if found.report is not None:
            show_report(found.report)
        for event in found.events:
            print(event_line(event))

    session.emit(found, tell)


def event_line(event: "NightEvent") -> str:
    return f"{event.at:%Y-%m-%d %H:%M}  {event.kind.replace('_', ' ')}: {on_one_line(event.text)}"


def parse_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no date; write it as 2026-11-22.") from error


@group.command("next")
@with_brain
def next_night(session: Session) -> None:
    """Say when the next night is, whose, and what holds it up."""
    from seal_agent.brain_folder import read_settings
    from seal_agent.nights.ahead import look_ahead

    settings = read_settings(session.brain).nights
    with session.rows() as rows:
        found = look_ahead(rows, settings, datetime.now(UTC))
    session.emit(found, lambda: show_next(found))


def show_next(found: "NextNight") -> None:
    window = f"{found.night.opens:%Y-%m-%d %H:%M} to {found.night.closes:%H:%M} UTC"
    print(f"the window of {found.night.date} {'is open' if found.is_open else 'opens next'}: {window}")
    print(f"due now: {', '.join(scope.key for scope in found.due) or 'nobody'}")
    for key, note in found.paused.items():
        print(f"paused: {key or 'everybody'}{'  ' if note else ''}{on_one_line(note)}")
    if found.waits_for is not None:
        print(f"waits: {found.waits_for}")


@group.command()
@with_brain
def run(
    session: Session,
    due: Annotated[bool, typer.Option("--due", help="Every night that is due, of all scopes, as the schedule says; for cron.")] = False,
    forever: Annotated[bool, typer.Option("--forever", help="Stay, and hold nights when they are due, until Ctrl-C or SIGTERM.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be trained: facts, tokens, minutes.")] = False,
) -> int:
    """Hold a night now, whatever the time; with --due or --forever, as the schedule says."""
    if due and forever:
        raise UsageError("--due holds what is due and ends, --forever stays: choose one.")
    with session.memory() as memory:
        if dry_run:
            return plan(session, memory, due=due or forever)
        if forever:
            return stay(memory)
        return hold_due(session, memory) if due else hold_now(session, memory)


def plan(session: Session, memory: "Memory", *, due: bool) -> int:
    scopes = memory.nights.next().due if due else (session.scope_id,)
    plans = [memory.nights.plan(scope) for scope in scopes]

    def tell() -> None:
        for found in plans:
            print(f"{found.scope.key}: ", end="")
            show_plan(found)
        if not plans:
            print("nobody's night is due")

    session.emit(plans if due else plans[0], tell)
    return 0


def hold_now(session: Session, memory: "Memory") -> int:
    with stop_on_interrupt() as stop:
        try:
            report = memory.nights.run(session.scope_id, should_stop=stop.is_set)
        except CycleInterruptedError:
            if stop.is_set():
                return INTERRUPTED
            raise
    session.emit(report, lambda: show_report(report))
    return EXIT_CODES[report.state]


def hold_due(session: Session, memory: "Memory") -> int:
    with stop_on_interrupt() as stop:
        held = memory.nights.run_due(stop=stop)

    def tell() -> None:
        for row in held:
            print(line_of(row))
        if not held:
            print(f"nothing is due{waiting(memory)}")

    session.emit(held, tell)
    if stop.is_set():
        return INTERRUPTED
    return BackendError.exit_code if any(row.state == "failed" for row in held) else 0


def waiting(memory: "Memory") -> str:
    reason = memory.nights.next().waits_for
    return f"; {reason}" if reason is not None else ""


def stay(memory: "Memory") -> int:
    with stop_on_interrupt() as stop:
        memory.nights.start()
        while not stop.wait(1.0):  # a signal is heard between two waits
            pass
        return 0 if memory.nights.stop() else BackendError.exit_code


@group.command()
@with_brain
def pause(session: Session, everybody: Everybody = False, note: Note = "") -> None:
    """Hold no nights until they are resumed; one that runs ends as usual."""
    with session.nights() as nights:
        changed = nights.pause(None if everybody else session.scope_id, note)
    whose = "all nights" if everybody else f"nights of {session.scope_id.key}"
    session.emit({"paused": True, "changed": changed}, lambda: print(f"{whose} are paused{'' if changed else ' already'}"))


@group.command()
@with_brain
def resume(session: Session, everybody: Everybody = False) -> None:
    """End a pause. What is paused with all others (--all) is held again when that ends."""
    with session.nights() as nights:
        changed = nights.resume(None if everybody else session.scope_id)
        paused = not everybody and nights.is_paused(session.scope_id)
        alone = sorted(nights.paused()) if everybody else []
    whose = "all nights" if everybody else f"nights of {session.scope_id.key}"

    def tell() -> None:
        if paused:
            print(f"{whose} are paused with everybody's; seal-agent nights resume --all ends that")
        else:
            print(f"{whose} are held{' again' if changed else ', and were not paused'}")
        for key in alone:
            print(f"still paused by itself: {key}")

    session.emit({"paused": paused, "changed": changed}, tell)
