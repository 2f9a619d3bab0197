"""Which tasks still say what is forgotten: their demonstrations are the developer's, so `forget` names them and leaves them alone."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from seal_agent.ledger.skills import demonstrations_in, list_skills
from seal_agent.ledger.tombstones import value_of
from seal_agent.retrieval.lexical import STOP_WORDS, terms
from seal_agent.types import ScopeId

TELLING = 3
"""Words from which a demonstration that stands within a longer text says something of it: "yes" says nothing."""


def tasks_that_say(conn: Connection, scope: ScopeId, texts: Sequence[str], query: str | None = None) -> tuple[str, ...]:
    """Names of the tasks that can be run in this scope with a demonstration that says one of the texts, or all telling words of the query.

    Only those in force: what an earlier attempt was shown goes with `drop_task`, like the rest of it.
    """
    gone = [normal for text in texts if (normal := f" {value_of(text)} ").strip()]
    found = terms(query or "")
    asked = {term for term in found if term not in STOP_WORDS} or set(found)
    names = [name for name, shown in demonstrations(conn, scope) if says_it(shown, gone) or (asked and asked <= set(terms(shown)))]
    return tuple(dict.fromkeys(names))


def demonstrations(conn: Connection, scope: ScopeId) -> Iterator[tuple[str, str]]:
    """(task, input) and (task, output) of every demonstration."""
    for seen in (scope, *scope.ancestors):
        for skill in list_skills(conn, seen, "task"):
            yield from ((skill.name, text) for pair in demonstrations_in(skill) for text in pair)


def says_it(shown: str, gone: Sequence[str]) -> bool:
    """Whether one of the normalised texts stands in what was shown, or the other way round."""
    normal = f" {value_of(shown)} "
    telling = len(normal.split()) >= TELLING
    return any(text in normal or (telling and normal in text) for text in gone)
