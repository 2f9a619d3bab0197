"""What was recorded without an embedder is embedded later, and the index is told when it has passed it by."""

from typing import TYPE_CHECKING

import pytest

from seal_agent.errors import EmbeddingError
from seal_agent.ledger.entries import count_missing_vectors, count_vectors
from seal_agent.ledger.episodes import add_episode
from seal_agent.retrieval.backlog import embed_backlog
from seal_agent.types import Episode, ScopeId, Turn
from tests.brains import START, BrokenEmbedder

if TYPE_CHECKING:
    from tests.retrieval.conftest import Brain

ANA = ScopeId(user="ana")


def record_unembedded(brain: "Brain", *texts: str) -> None:
    turns = tuple(Turn(role="user", content=text) for text in texts)
    with brain.ledger.write() as conn:
        add_episode(conn, Episode(id=texts[0], scope=ANA, session=None, at=START, turns=turns), None, None)


def waiting(brain: "Brain") -> int:
    with brain.ledger.read() as conn:
        return count_missing_vectors(conn, brain.embedder.id)


def test_a_portion_at_a_time_is_embedded_until_none_waits(brain: "Brain") -> None:
    record_unembedded(brain, "one", "two", "three")
    left = []
    for _ in range(3):
        embed_backlog(brain.ledger, brain.embedder, limit=2)
        left.append(waiting(brain))
    assert left == [1, 0, 0]
    with brain.ledger.read() as conn:
        assert count_vectors(conn, [ANA.key], brain.embedder.id) == 3


def test_what_was_embedded_late_is_told_by_scope(brain: "Brain") -> None:
    brain.record(ANA, "first")
    record_unembedded(brain, "late")
    assert embed_backlog(brain.ledger, brain.embedder) == {ANA.key: ["late:0"]}
    assert embed_backlog(brain.ledger, brain.embedder) == {}


def test_an_embedder_that_fails_leaves_the_backlog_as_it_is(brain: "Brain") -> None:
    record_unembedded(brain, "one")
    with pytest.raises(EmbeddingError):
        embed_backlog(brain.ledger, BrokenEmbedder())
    assert waiting(brain) == 1
