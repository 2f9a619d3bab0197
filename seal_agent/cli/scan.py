"""`scan`: which secrets and personal data a file, a text or the brain holds, and what the settings make of them. Changes nothing.

What was found is never printed: only where it stands, its kind and who found it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seal_agent.cli.conversation import FROM_STDIN, read_stdin
from seal_agent.cli.output import printable
from seal_agent.cli.session import Session, with_brain
from seal_agent.errors import UsageError

if TYPE_CHECKING:
    from seal_agent.config import PrivacySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One detection and where it is."""

    where: str
    """The id of the conversation, episode or fact, or a task and the number of its demonstration; - for standard input."""
    turn: int | None
    role: str | None
    kind: str
    policy: str
    start: int
    end: int
    detector: str


Place = tuple[str, int | None, str | None, str]
"""(where, turn, role, text)"""


def register(app: typer.Typer) -> None:
    app.command()(scan)


@with_brain
def scan(
    session: Session,
    path: Annotated[
        Path | None,
        typer.Argument(help="Conversations, one JSON object a line; - for a text on standard input; left out, what the brain holds."),
    ] = None,
) -> None:
    """Show secrets and personal data, and whether they would be kept, redacted or blocked. Changes nothing."""
    from seal_agent.brain_folder import read_settings

    settings = read_settings(session.brain).privacy
    places = in_brain(session) if path is None else in_stdin() if str(path) == FROM_STDIN else in_file(session, path)
    found = list(detections(places, settings))

    def show() -> None:
        for one in found:
            place = one.where if one.turn is None else f"{one.where} turn {one.turn} ({one.role})"
            print(f"{one.policy:6}  {one.kind:13}  {printable(place)}, characters {one.start} to {one.end}  [{printable(one.detector)}]")
        counts = Counter(one.kind for one in found)
        print(", ".join(f"{count} {kind}" for kind, count in counts.most_common()) if found else "Nothing found.")

    session.emit(found, show)


def in_stdin() -> Iterator[Place]:
    yield "-", 0, "user", read_stdin()


def in_file(session: Session, path: Path) -> Iterator[Place]:
    from seal_agent.cli.conversations import read_conversations

    for one in read_conversations(path, session.scope_id):
        for position, turn in enumerate(one.turns):
            yield one.id, position, turn.role, turn.content


def in_brain(session: Session) -> Iterator[Place]:
    """Everything that the ledger holds, whoever's it is; needs no embedder and no model."""
    from seal_agent.brain_folder import is_brain
    from seal_agent.ledger import episodes, facts
    from seal_agent.ledger.ledger import Ledger
    from seal_agent.ledger.skills import attempted_tasks, demonstrations_in, scopes_with_skills

    if not is_brain(session.brain):
        raise UsageError(f"There is no brain in {str(session.brain)!r}: name a file to scan, or another folder with --brain or SEAL_BRAIN.")
    with Ledger.open(session.brain) as ledger, ledger.read() as connection:
        for scope in episodes.scopes(connection):
            for episode in episodes.list_episodes(connection, scope):
                yield from ((episode.id, position, turn.role, turn.content) for position, turn in enumerate(episode.turns))
            yield from ((fact.id, None, None, fact.text) for fact in facts.list_facts(connection, scope))
        for scope in scopes_with_skills(connection):
            for task in attempted_tasks(connection, scope):
                for number, pair in enumerate(demonstrations_in(task), start=1):
                    yield from ((f"task {task.name}, demonstration {number}", None, None, text) for text in pair)


def detections(places: Iterator[Place], settings: "PrivacySettings") -> Iterator[Found]:
    from seal_agent.privacy.scan import scan as scan_text

    for where, turn, role, text in places:
        for one in scan_text(text, settings):
            yield Found(
                where=where,
                turn=turn,
                role=role,
                kind=one.kind,
                policy=settings.policies[one.kind],
                start=one.start,
                end=one.end,
                detector=one.detector,
            )
