"""`facts`: what is held to be true of a scope, and how far the weights know it."""

from typing import TYPE_CHECKING, Annotated

import typer

from seal_agent.cli.output import on_one_line
from seal_agent.cli.session import Session, with_brain

if TYPE_CHECKING:
    from seal_agent.types import Fact


def register(app: typer.Typer) -> None:
    app.command()(facts)


@with_brain
def facts(
    session: Session,
    state: Annotated[list[str] | None, typer.Option("--state", help="Only facts in this state; may be repeated.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what was superseded or forgotten.")] = False,
) -> None:
    """List the facts of this scope."""
    from seal_agent.ledger.facts import TOLD

    states = list(state) if state else (None if everything else sorted(TOLD))
    with session.scope() as scope:
        found = scope.facts(states)  # type: ignore[arg-type]  # it refuses what is no state

    def show() -> None:
        for fact in found:
            print(f"{known(fact):18}  {fact.kind:10}  {on_one_line(fact.text)}  ({fact.id})")
        if not found:
            print("No facts yet; they are drawn when the brain consolidates.")

    session.emit(found, show)


def known(fact: "Fact") -> str:
    """The state of both tiers in a word or two."""
    return fact.state.replace("_", " ") + ("" if fact.probability is None else f" ({fact.probability:.0%})")
