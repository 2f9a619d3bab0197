"""A brain to search: the real ledger, the fake embedder, and short ways to record and to tell."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from seal_agent.config import RetrievalSettings
from seal_agent.ledger.episodes import add_episode
from seal_agent.ledger.facts import add_fact, supersede
from seal_agent.ledger.ledger import Ledger
from seal_agent.retrieval.search import Index, Searcher
from seal_agent.testing import HashEmbedder
from seal_agent.types import Episode, Fact, FactKind, ScopeId, Turn

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Brain:
    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger.open(folder)
        self.embedder = HashEmbedder()
        self._numbers = itertools.count()

    def record(self, scope: ScopeId, *texts: str, names: Sequence[str] = ()) -> str:
        """Record one episode of the user's turns, each with the name of who said it if there is one; return its id."""
        number = next(self._numbers)
        turns = tuple(Turn(role="user", content=text, name=name) for text, name in itertools.zip_longest(texts, names))
        episode = Episode(id=f"episode-{number}", scope=scope, session=None, at=START + timedelta(minutes=number), turns=turns)
        with self.ledger.write() as connection:
            add_episode(connection, episode, self.embedder.embed(texts), self.embedder.id)
        return episode.id

    def tell(self, scope: ScopeId, text: str, kind: FactKind = "knowledge") -> Fact:
        number = next(self._numbers)
        at = START + timedelta(minutes=number)
        fact = Fact(id=f"fact-{number}", scope=scope, kind=kind, text=text, quote=text, valid_from=at)
        with self.ledger.write() as connection:
            add_fact(connection, fact, self.embedder.embed([text])[0], self.embedder.id)
        return fact

    def correct(self, old: Fact, text: str) -> Fact:
        new = self.tell(old.scope, text, "correction")
        with self.ledger.write() as connection:
            supersede(connection, old.id, new.id, new.valid_from)
        return new

    def searcher(self, index: Callable[[], Index] | None = None, **settings: object) -> Searcher:
        return Searcher(self.ledger, self.embedder, index, RetrievalSettings.model_validate(settings))


@pytest.fixture
def brain(tmp_path: Path) -> Iterator[Brain]:
    opened = Brain(tmp_path / "brain")
    yield opened
    opened.ledger.close()
