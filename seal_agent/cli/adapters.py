"""`adapters`: which there are, which is live, and the ways back and forward."""

from typing import TYPE_CHECKING, Annotated

import typer

from seal_agent.cli.session import Session, with_brain

if TYPE_CHECKING:
    from seal_agent.types import Adapter

group = typer.Typer(help="The adapters of a scope, and which of them is live.", rich_markup_mode=None)
Name = Annotated[str, typer.Argument(help="The adapter's name, as `adapters list` shows it.")]


@group.command("list")
@with_brain
def list_adapters(session: Session) -> None:
    """List this scope's adapters, the rejected ones too."""
    with session.scope() as scope:
        found = scope.adapters.list()

    def show() -> None:
        for adapter in found:
            mark = "live" if adapter.live else ""
            print(f"{mark:4}  {adapter.name}  {adapter.state}  {adapter.created_at:%Y-%m-%d %H:%M}  {len(adapter.fact_ids)} facts")
        if not found:
            print("No adapters yet; seal-agent consolidate trains one.")

    session.emit(found, show)


@group.command()
@with_brain
def show(session: Session, name: Name) -> None:
    """Show one adapter."""
    from seal_agent.serialise import plain

    with session.scope() as scope:
        adapter = scope.adapters.get(name)

    def lines() -> None:
        described = plain(adapter)
        assert isinstance(described, dict)
        for key, value in described.items():
            print(f"{key:12}  {', '.join(map(str, value)) if isinstance(value, list) else value}")

    session.emit(adapter, lines)


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


def tell(session: Session, live: "Adapter | None") -> None:
    session.emit({"live": live}, lambda: print(f"Live in {session.scope_id.key}: {live.name if live else 'the base model'}"))
