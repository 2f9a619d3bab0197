"""`adapters`: which there are, which is live, the ways back and forward, banning one and training another in its stead."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seal_agent.cli.night import EXIT_CODES, INTERRUPTED, show_report, stop_on_interrupt
from seal_agent.cli.output import on_one_line
from seal_agent.cli.session import Session, with_brain
from seal_agent.errors import CycleInterruptedError, IntegrityError, ModelNotFoundError, UsageError

if TYPE_CHECKING:
    from seal_agent.scope import Scope
    from seal_agent.types import Adapter

group = typer.Typer(help="The adapters of a scope, and which of them is live.", rich_markup_mode=None)
Name = Annotated[str, typer.Argument(help="The adapter's name, as `adapters list` shows it.")]
Everybody = Annotated[bool, typer.Option("--all", help="Of all scopes, not only of this one.")]


@group.command("list")
@with_brain
def list_adapters(session: Session, everybody: Everybody = False) -> None:
    """List this scope's adapters, the rejected ones too."""
    from seal_agent.serialise import plain

    with scopes_meant(session, everybody) as scopes:
        found = [(adapter, scope.adapters.has_files(adapter)) for scope in scopes for adapter in scope.adapters.list()]
        roles = {task.adapter: f"task {task.name}" for scope in scopes for task in scope.tasks()}
        for practised in [scope.practised() for scope in scopes]:
            editors = ((practised.editor, "editor"), (practised.recipe_editor, "editor of recipes"))
            roles |= {name: what for name, what in editors if name}
        live = None if everybody else scopes[0].adapters.live

    def show() -> None:
        for adapter, has_files in found:
            mark = "live" if adapter.live else ""
            of = roles.get(adapter.name, f"{len(adapter.fact_ids)} facts") + ("" if has_files else "  files deleted")
            print(f"{mark:4}  {adapter.name}  {adapter.state}  {adapter.created_at:%Y-%m-%d %H:%M}  {of}")
        if not found:
            print("No adapters yet; seal-agent consolidate trains one.")
        if live is not None and live.scope != session.scope_id:
            print(f"Answers come from {live.name}, which {live.scope.key} shares.")

    session.emit([{**mapping(plain(adapter)), "has_files": has_files} for adapter, has_files in found], show)


@contextmanager
def scopes_meant(session: Session, everybody: bool) -> "Iterator[list[Scope]]":
    """Yield the session's scope, or with --all every scope that has an adapter."""
    with session.memory() as memory:
        named = memory.scopes_with_adapters() if everybody else [session.scope_id]
        yield [memory.scope(user=one.user, agent=one.agent, tenant=one.tenant) for one in named]


def mapping(value: object) -> "dict[str, object]":
    assert isinstance(value, dict)  # what `plain` makes of a record
    return value


@group.command()
@with_brain
def show(session: Session, name: Name) -> None:
    """Show one adapter: what the ledger knows of it and, where its files are whole, how it was trained and judged."""
    from seal_agent.adapters.compare import figures_of, settings_of
    from seal_agent.serialise import plain

    with session.scope() as scope:
        adapter, manifest, problem = scope.adapters.get(name), None, None
        try:
            manifest = scope.adapters.manifest(name)
        except (IntegrityError, ModelNotFoundError) as error:
            problem = str(error)
    described = mapping(plain(adapter))

    def lines() -> None:
        shown = described | {"scope": adapter.scope.key}
        for part in (shown, *((settings_of(manifest), manifest.self_edits, figures_of(manifest.evaluation)) if manifest else ())):
            for key, value in part.items():
                print(f"{key:18}  {', '.join(map(str, value)) if isinstance(value, list | tuple) else value}")
        if problem is not None:
            print(f"{'problem':18}  {on_one_line(problem)}")

    session.emit({**described, "manifest": manifest, "problem": problem}, lines)


@group.command()
@with_brain
def promote(session: Session, name: Name) -> None:
    """Make an adapter live again that the gate promoted before."""
    with session.scope() as scope:
        live = scope.adapters.promote(name)
    tell(session, live)


@group.command()
@with_brain
def rollback(session: Session) -> None:
    """Go back to what was live before."""
    with session.scope() as scope:
        live = scope.adapters.rollback()
    tell(session, live)


@group.command()
@with_brain
def forward(session: Session) -> None:
    """Undo a roll back."""
    with session.scope() as scope:
        live = scope.adapters.forward()
    tell(session, live)


@group.command()
@with_brain
def base(session: Session) -> None:
    """Answer with the base model again; promote undoes it."""
    with session.scope() as scope:
        scope.adapters.base()
    tell(session, None)


@group.command("verify")
@with_brain
def verify_adapters(
    session: Session,
    name: Annotated[str | None, typer.Argument(help="One adapter; left out, all in use.")] = None,
    everybody: Everybody = False,
) -> int:
    """Check that adapters are what was published. Exit code 4 when one is not; one that gc cleared away is no damage."""
    if everybody and name is not None:
        raise UsageError("--all verifies every adapter: leave the name out.")
    with scopes_meant(session, everybody) as scopes:
        found = [checked for scope in scopes for checked in scope.adapters.verify(name)]

    def show() -> None:
        for checked in found:
            verdict = "sound" if checked.sound else "gone " if checked.gone else "BAD  "
            print(f"{verdict}  {checked.name}{'  live' if checked.live else ''}")
            if checked.problem and not checked.gone:
                print(f"       {on_one_line(checked.problem)}")
        if not found:
            print("No adapters yet; seal-agent consolidate trains one.")

    session.emit(found, show)
    return 0 if all(checked.sound or (checked.gone and name is None) for checked in found) else IntegrityError.exit_code


@group.command()
@with_brain
def diff(session: Session, before: Name, after: Name) -> None:
    """Say what two adapters differ in."""
    with session.scope() as scope:
        found = scope.adapters.diff(before, after)

    def show() -> None:
        for label, ids in (("+ fact", found.facts_added), ("- fact", found.facts_removed), ("~ fact", found.facts_reworded)):
            for fact in ids:
                print(f"{label}  {fact}")
        changes = found.settings | found.self_edits | found.evaluation
        for key, (old, new) in changes.items():
            print(f"{key}: {old} -> {new}")
        if not (found.facts_added or found.facts_removed or found.facts_reworded or changes):
            print("They differ in nothing but their weights." if before != after else "That is one and the same adapter.")

    session.emit(found, show)


@group.command()
@with_brain
def quarantine(session: Session, name: Name, reason: Annotated[str, typer.Option("--reason", help="Why, for later.")] = "by hand") -> None:
    """Ban an adapter for good; where it is live, the newest sound one before it becomes live."""
    with session.scope() as scope:
        live = scope.adapters.quarantine(name, reason)
    tell(session, live)


@group.command()
@with_brain
def rebuild(session: Session, name: Name) -> int:
    """Train another in the stead of an adapter that is quarantined, withdrawn or damaged, now, on what holds today."""
    with stop_on_interrupt() as stop:
        try:
            with session.scope() as scope:
                found = scope.adapters.rebuild(name, should_stop=stop.is_set)
        except CycleInterruptedError:
            if stop.is_set():
                return INTERRUPTED
            raise

    def show() -> None:
        show_report(found.report)
        if found.without:
            print(f"{len(found.without)} facts that {found.instead_of} was taught hold no longer and were left out")
        print(f"Live in {session.scope_id.key}: {found.live or 'the base model'}")

    session.emit(found, show)
    return EXIT_CODES[found.report.state]


@group.command()
@with_brain
def gc(
    session: Session,
    keep: Annotated[int, typer.Option("--keep", help="Newest promoted adapters to keep, of each scope.")] = 10,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    everybody: Everybody = False,
) -> None:
    """Delete the files of adapters that nothing needs."""
    with scopes_meant(session, everybody) as scopes:
        gone = [name for scope in scopes for name in scope.adapters.gc(keep, dry_run=dry_run)]

    def show() -> None:
        for name in gone:
            print(f"{'would delete' if dry_run else 'deleted'}  {name}")
        if not gone:
            print("Nothing to delete.")

    session.emit({"deleted": [] if dry_run else gone, "would_delete": gone if dry_run else []}, show)


@group.command()
@with_brain
def export(session: Session, name: Name, folder: Annotated[Path, typer.Argument(help="Where to; <folder>/<name> is made.")]) -> None:
    """Copy an adapter out, as a plain PEFT folder. It is as private as the facts that it learnt."""
    with session.scope() as scope:
        path = scope.adapters.export(name, folder)
    session.emit({"path": str(path)}, lambda: print(f"Exported to {path}"))


def tell(session: Session, live: "Adapter | None") -> None:
    session.emit({"live": live}, lambda: print(f"Live in {session.scope_id.key}: {live.name if live else 'the base model'}"))
