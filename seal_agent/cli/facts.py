"""`facts` and `explain`: what is held to be true of a scope, how far the weights know it, why, and the ways to change it."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from seal_agent.cli.output import on_one_line
from seal_agent.cli.session import Session, with_brain
from seal_agent.errors import UsageError

if TYPE_CHECKING:
    from seal_agent.explanations import Belief
    from seal_agent.types import Fact, FactEvent

group = typer.Typer(help="The facts of a scope, and the ways to change them.", rich_markup_mode=None, no_args_is_help=True)
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
FactId = Annotated[str, typer.Argument(help="The fact's id, as `facts list` shows it.")]


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="facts")
    app.command()(explain)


@group.command("list")
@with_brain
def list_facts(
    session: Session,
    state: Annotated[list[str] | None, typer.Option("--state", help="Only facts in this state; may be repeated.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what was superseded, rejected or has expired.")] = False,
) -> None:
    """List the facts of this scope."""
    from seal_agent.ledger.facts import TOLD

    states = list(state) if state else (None if everything else sorted(TOLD))
    with session.scope() as scope:
        found = scope.facts(states)  # type: ignore[arg-type]  # it refuses what is no state

    def show() -> None:
        for fact in found:
            until = f", until {fact.valid_to:%Y-%m-%d %H:%M}" if fact.valid_to and fact.state in TOLD else ""
            print(f"{known(fact):18}  {fact.kind:10}  {'pinned ' if fact.pinned else ''}{on_one_line(fact.text)}  ({fact.id}{until})")
        if not found:
            print("No facts yet; they are drawn when the brain consolidates, or stated with seal-agent facts remember.")

    session.emit(found, show)


@group.command()
@with_brain
def show(session: Session, fact_id: FactId) -> None:
    """Show one fact with what was said, its history and the adapter that knows it."""
    with session.scope() as scope:
        scope.history(fact_id)  # refuses what is no fact here; `explain` would take it for a question
        (belief,) = scope.explain(fact_id).beliefs
    session.emit(belief, lambda: show_belief(belief))


@group.command()
@with_brain
def remember(
    session: Session,
    text: Annotated[str, typer.Argument(help="What holds, as one statement.")],
    kind: Annotated[str, typer.Option("--kind", help="preference, procedure, correction, profile, knowledge or event.")] = "knowledge",
    ttl: Annotated[
        str | None, typer.Option("--ttl", help="How long it holds from now, as 90m, 12h, 30d or 2w; left out, it stays.")
    ] = None,
    pin: Annotated[bool, typer.Option("--pin", help="Keep it in the profile, and from being superseded by talk.")] = False,
) -> None:
    """State a fact outright. What it corrects by its wording becomes history."""
    lasts = None if ttl is None else duration(ttl)
    with session.scope(create=True) as scope:
        fact = scope.remember(text, kind, ttl=lasts, pin=pin)  # type: ignore[arg-type]  # it refuses what is no kind
    session.emit(fact, lambda: print(f"{on_one_line(fact.text)}  ({fact.id})"))


def duration(text: str) -> timedelta:
    """Raise `UsageError` for what is no whole number of minutes, hours, days or weeks."""
    unit = UNITS.get(text[-1:])
    try:
        if unit is None or not (text[:-1].isascii() and text[:-1].isdigit()):
            raise ValueError
        return timedelta(**{unit: int(text[:-1])})
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--ttl {text!r} is no time to live: write a whole number and m, h, d or w, such as 12h.") from error


@group.command()
@with_brain
def correct(session: Session, fact_id: FactId, text: Annotated[str, typer.Argument(help="What holds instead.")]) -> None:
    """Put a statement in a fact's place; the old one stays as history."""
    with session.scope() as scope:
        fact = scope.correct(fact_id, text)
    session.emit(fact, lambda: print(f"{on_one_line(fact.text)}  ({fact.id})"))


@group.command()
@with_brain
def reject(session: Session, fact_id: FactId, reason: Annotated[str, typer.Option("--reason", help="Why it is wrong.")] = "") -> None:
    """Stop telling a fact because it is wrong; it stays as history."""
    with session.scope() as scope:
        fact = scope.reject(fact_id, reason)
    session.emit(fact, lambda: print(f"No longer told: {on_one_line(fact.text)}"))


@group.command()
@with_brain
def pin(session: Session, fact_id: FactId) -> None:
    """Keep a fact in the profile, and from expiring."""
    with session.scope() as scope:
        fact = scope.pin(fact_id)
    session.emit(fact, lambda: print(f"Pinned: {on_one_line(fact.text)}"))


@group.command()
@with_brain
def unpin(session: Session, fact_id: FactId) -> None:
    """Undo `pin`."""
    with session.scope() as scope:
        fact = scope.unpin(fact_id)
    session.emit(fact, lambda: print(f"No longer pinned: {on_one_line(fact.text)}"))


@group.command()
@with_brain
def history(session: Session, fact_id: FactId) -> None:
    """Say what happened to a fact and to those that it replaced or that replaced it."""
    with session.scope() as scope:
        events = scope.history(fact_id)
    session.emit(events, lambda: show_events(events))


@with_brain
def explain(session: Session, question: Annotated[str, typer.Argument(help="A question, a statement or a fact's id.")]) -> None:
    """Say which facts, episodes and adapter stand behind what is believed."""
    with session.scope() as scope:
        explanation = scope.explain(question)

    def lines() -> None:
        for belief in explanation.beliefs:
            show_belief(belief)
        for hit in explanation.episodes:
            print(f"said {hit.at:%Y-%m-%d}  {hit.role}: {on_one_line(hit.text)}  ({hit.episode_id})")
        if not (explanation.beliefs or explanation.episodes):
            print("Nothing is remembered about that.")
        print(f"live: {explanation.adapter or 'the base model'}")

    session.emit(explanation, lines)


def show_belief(belief: "Belief") -> None:
    fact = belief.fact
    print(f"{known(fact)}  {fact.kind}  {on_one_line(fact.text)}  ({fact.id})")
    for said in belief.said:
        print(f"    said {said.at:%Y-%m-%d}: {on_one_line(said.text)}  ({said.episode_id}:{said.turn})")
    if belief.adapter is not None:
        print(f"    in the weights of {belief.adapter.name}")
    show_events(belief.events, indent="    ")


def show_events(events: "tuple[FactEvent, ...]", indent: str = "") -> None:
    for event in events:
        note = f": {on_one_line(event.note)}" if event.note else ""
        print(f"{indent}{event.at:%Y-%m-%d %H:%M}  {event.change.replace('_', ' ')}{note}  {on_one_line(event.text)}")


def known(fact: "Fact") -> str:
    """The state of both tiers in a word or two."""
    return fact.state.replace("_", " ") + ("" if fact.probability is None else f" ({fact.probability:.0%})")
