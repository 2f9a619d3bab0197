"""`forget` and `erase`: first what would go, then, with `--yes`, its removal and the receipt."""

from textwrap import shorten
from typing import TYPE_CHECKING, Annotated

import typer

from seal_agent.cli.output import on_one_line
from seal_agent.cli.session import Session, with_brain
from seal_agent.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from seal_agent.forgetting.records import ForgetPlan, Receipt

SHOWN = 100
"""Characters of an episode's first turn in a preview."""
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would go.")]


def register(app: typer.Typer) -> None:
    app.command()(forget)
    app.command()(erase)


@with_brain
def forget(
    session: Session,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of facts, episodes or turns (episode:position).")] = None,
    query: Annotated[str | None, typer.Option("--query", help="Whatever holds all of these words or means the same.")] = None,
    author: Annotated[str | None, typer.Option("--author", help="Whatever was said under this name or came from this source.")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="All facts and episodes of this scope.")] = False,
    yes: Yes = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Train the weights anew without it now, not in the next night.")] = False,
    allow_again: Annotated[str | None, typer.Option("--allow-again", help="Let a forgotten text be recorded again.")] = None,
) -> int:
    """Remove for good, from text, index, files and weights. Shows what would go, unless --yes is given."""
    if allow_again is not None:
        if ids or query or author or everything or yes:
            raise UsageError("--allow-again forgets nothing: give it alone.")
        with session.scope() as scope:
            lifted = scope.allow_again(allow_again)
        said = "It may be recorded again." if lifted else "It was not forgotten here."
        session.emit({"lifted": lifted}, lambda: print(said))
        return 0
    with session.scope() as scope:
        plan = scope.forget(*(ids or ()), query=query, author=author, everything=everything, dry_run=True)
        receipt = scope.forget(plan, rebuild=rebuild) if yes and not plan.is_empty else None
    if receipt is None:
        session.emit(plan, lambda: show_plan(plan))
        return 0
    return tell(session, receipt)


@with_brain
def erase(
    session: Session,
    whole_agent: Annotated[bool, typer.Option("--whole-agent", help="Every user of --agent, and what it shares.")] = False,
    whole_tenant: Annotated[bool, typer.Option("--whole-tenant", help="Everybody of --tenant.")] = False,
    yes: Yes = False,
) -> int:
    """Remove everything of --user (with --agent), of an agent or of a tenant. Shows what would go, unless --yes is given."""
    if sum((session.user is not None, whole_agent, whole_tenant)) != 1:
        raise UsageError("Say whom to erase in exactly one way: --user, --whole-agent or --whole-tenant.")
    agent = None if whole_tenant else session.agent
    with session.memory() as memory:
        if not yes:
            scopes = memory.scopes_of(user=session.user, agent=agent, tenant=session.tenant)
            lines = [f"{scope.key}: everything would go" for scope in scopes]
            said = [*lines, "Nothing was removed; --yes does it."] if scopes else ["The brain holds nothing of them."]
            session.emit({"scopes": [scope.key for scope in scopes]}, lambda: print("\n".join(said)))
            return 0
        receipt = memory.erase(user=session.user, agent=agent, tenant=session.tenant, confirm=True)
    return tell(session, receipt)


def show_plan(plan: "ForgetPlan") -> None:
    if plan.is_empty:
        print("Nothing here means that." if not plan.tasks else "No fact and no episode here means that.")
        show_tasks(plan)
        return
    for fact in plan.facts:
        print(f"fact       {on_one_line(fact.text)}  ({fact.id})")
    for episode_id, beginning in zip(plan.episodes, plan.beginnings, strict=True):
        print(f"episode    {shorten(on_one_line(beginning), SHOWN, placeholder=' ...')}  ({episode_id}, whole)")
    for cut in plan.cuts:
        print(f"turn       {on_one_line(cut.text)}  ->  {on_one_line(cut.remaining)}  ({cut.episode_id}:{cut.turn})")
    for note in plan.note_cuts:
        label = "outcome" if note.key is None else f"metadata {note.key!r}"
        print(f"note       {on_one_line(note.text)}  ->  {on_one_line(note.remaining or '[forgotten]')}  ({note.episode_id}, {label})")
    for fact in plan.told_again:
        print(f"told again {on_one_line(fact.text)}  ({fact.id})")
    for hit in plan.similar:
        print(f"stays      {on_one_line(hit.text)}  ({hit.fact_id or hit.episode_id})")
    show_tasks(plan)
    for name in plan.adapters:
        print(f"adapter    {name} is deleted")
    for move in plan.live:
        print(f"live       {move.scope.key}: {move.before} -> {move.after or 'the base model'}")
    for name in plan.backups:
        print(f"backup     {name} is deleted")
    print("Nothing was removed; --yes does it.")


def show_tasks(plan: "ForgetPlan") -> None:
    for name in plan.tasks:
        print(f"stays      a demonstration of the task {name!r} says it; seal-agent tasks --drop removes the task")


def tell(session: Session, receipt: "Receipt") -> int:
    def show() -> None:
        print(f"{len(receipt.facts)} facts, {len(receipt.episodes)} episodes and {receipt.turns} turns are forgotten ({receipt.id})")
        print(f"weights: {receipt.weights}; index: {receipt.index}; {len(receipt.files)} files deleted")
        for check in receipt.checks:
            print(f"  {'pass' if check.passed else 'FAIL'}  {check.name:10}  {on_one_line(check.text)}")
        for one in receipt.rebuilt:
            print(f"  rebuilt {one.scope.key}: {one.state}, {one.adapter or 'no adapter'}; {on_one_line(one.reason)}")
        if receipt.live and not receipt.rebuilt:
            withdrawn = ", ".join(move.before for move in receipt.live)
            print(f"  the next night trains without it; seal-agent adapters rebuild does it now ({withdrawn})")
        for note in receipt.notes:
            print(f"  note: {note}")

    session.emit(receipt, show)
    return 0 if receipt.proven else IntegrityError.exit_code
