"""`add`, `ask` and `search`: the day."""

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seal_agent.cli.output import on_one_line, printable
from seal_agent.cli.session import Session, with_brain
from seal_agent.errors import ForgottenError, InvalidTurnError, UsageError

if TYPE_CHECKING:
    from seal_agent.scope import Scope
    from seal_agent.types import Episode, Interaction, Route

logger = logging.getLogger(__name__)

AT_ONCE = 500
"""Conversations of a file in one transaction, a hundred times faster than one by one; Ctrl-C keeps what was recorded before."""
FROM_STDIN = "-"


def register(app: typer.Typer) -> None:
    app.command()(add)
    app.command()(ask)
    app.command()(search)


@with_brain
def add(
    session: Session,
    text: Annotated[str | None, typer.Argument(help="What the user said; - reads it from standard input.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Conversations, one JSON object a line.")] = None,
    conversation: Annotated[str | None, typer.Option("--session", help="Id of the conversation.")] = None,
    id: Annotated[str | None, typer.Option("--id", help="Idempotency key: the same id again changes nothing.")] = None,
) -> None:
    """Record an interaction, or a file of them."""
    if (text is None) == (file is None):
        raise UsageError("Give either a text (- for standard input) or --file conversations.jsonl.")
    if file is not None:
        if conversation is not None or id is not None:
            raise UsageError("--session and --id are for one text; in a file each line has its own.")
        recorded = add_file(session, file)
        session.emit(recorded, lambda: print(f"Recorded {len(recorded)} conversations of {len({e.scope for e in recorded})} scopes."))
        return
    said = read_stdin() if text == FROM_STDIN else str(text)
    from seal_agent.turns import to_turns

    turns = to_turns(said)
    with session.scope(create=True) as scope:
        episode = scope.add(turns, session=conversation, source="cli", id=id)
    session.emit(episode, lambda: print(f"Recorded {episode.id}"))


def add_file(session: Session, file: Path) -> "list[Episode]":
    """Record a file of conversations, scope by scope. Every line is checked first: one bad line and nothing is written."""
    from seal_agent.cli.conversations import read_conversations
    from seal_agent.types import Interaction, ScopeId

    by_scope: dict[ScopeId, list[Interaction]] = {}
    for one in read_conversations(file, session.scope_id):
        said = Interaction(messages=one.turns, session=one.session, at=one.at, source=one.source, outcome=one.outcome, id=one.id)
        by_scope.setdefault(one.scope, []).append(said)
    recorded: list[Episode] = []
    with session.memory(create=True) as memory:
        for id, theirs in by_scope.items():
            scope = memory.scope(user=id.user, agent=id.agent, tenant=id.tenant)
            for start in range(0, len(theirs), AT_ONCE):
                recorded += record(scope, theirs[start : start + AT_ONCE])
    return recorded


def record(scope: "Scope", interactions: "list[Interaction]") -> "list[Episode]":
    """Record in one transaction; where one of them was forgotten here, one by one without those."""
    try:
        return scope.add_many(interactions)
    except ForgottenError as error:
        if len(interactions) == 1:
            logger.warning("left out: %s", error)
            return []
        return [episode for one in interactions for episode in record(scope, [one])]


def read_stdin() -> str:
    if sys.stdin is None or sys.stdin.closed:
        raise UsageError("Standard input is closed; give the text as an argument.")
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidTurnError(f"Standard input is not UTF-8 ({error}); convert it first.") from error


@with_brain
def ask(
    session: Session,
    question: Annotated[str, typer.Argument(help="What to ask.")],
    use: Annotated[str, typer.Option("--use", help="auto, text, weights, both, or base: neither.")] = "auto",
) -> None:
    """Answer a question from what is remembered and what was learnt."""
    from seal_agent.answering import check_route

    route: Route = check_route(use)  # type: ignore[arg-type]  # it refuses what is no route
    with session.scope() as scope:
        answer = scope.ask(question, use=route)

    def show() -> None:
        print(printable(answer.text))
        trace = answer.trace
        cited = f", cites {', '.join(trace.cited)}" if trace.cited else ""
        print(f"[{trace.route}, {trace.adapter or 'base model'}{cited}, {sum(trace.seconds.values()):.1f} s]", file=sys.stderr)

    session.emit(answer, show)


@with_brain
def search(
    session: Session,
    query: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int | None, typer.Option("-k", "--k", help="Most results.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Only from this time on, as 2026-11-22 or 2026-11-22T14:00+01:00.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Only before this time; without a zone it is UTC.")] = None,
    where: Annotated[list[str] | None, typer.Option("--where", help="As session=s1: session, source, outcome, author, role, kind.")] = None,
) -> None:
    """Find what is relevant among what this scope may see."""
    begins, ends, conditions = moment("--since", since), moment("--until", until), conditions_of(where or [])
    with session.scope() as scope:
        hits = scope.search(query, k, since=begins, until=ends, where=conditions)

    def show() -> None:
        for hit in hits:
            print(
                f"{hit.score:5.2f}  {hit.at.date()}  {hit.role or hit.source}: {on_one_line(hit.text)}  ({hit.fact_id or hit.episode_id})"
            )
        if not hits:
            print("Nothing found.")

    session.emit(hits, show)


def moment(option: str, text: str | None) -> datetime | None:
    """Return the time, in UTC where it names no zone; raise `UsageError`."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is no time: write it as 2026-11-22 or 2026-11-22T14:00+01:00.") from error
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def conditions_of(given: list[str]) -> dict[str, list[str]]:
    """Return what each key may be: given twice, either; raise `UsageError` for what is no condition."""
    found: dict[str, list[str]] = {}
    for condition in given:
        key, equals, value = condition.partition("=")
        if not (key and equals):
            raise UsageError(f"--where {condition!r} is no condition: write key=value, such as session=s1.")
        found.setdefault(key, []).append(value)
    return found
