"""Another embedder takes over when it has embedded everything, and not before; the stored vectors need none."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from seal_agent.errors import EmbeddingError
from seal_agent.ledger.staging import count_unstaged
from seal_agent.memory import Memory
from seal_agent.protocols import Vectors
from seal_agent.reindexing import PORTION, abandon
from seal_agent.testing import HashEmbedder
from seal_agent.types import Progress
from tests.brains import BrokenEmbedder, open_brain

TEXTS = [f"Order {number} ships to Rotterdam." for number in range(7)]


class Failing(HashEmbedder):
    """Gives up after some portions."""

    def __init__(self, portions: int) -> None:
        super().__init__(dim=32)
        self.left = portions

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.left -= 1
        if self.left < 0:
            raise EmbeddingError("The embedder is on fire; put it out.")
        return super().embed(texts)


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PORTION > 2
    monkeypatch.setattr("seal_agent.reindexing.PORTION", 2)


def embedders(memory: Memory) -> set[tuple[str, int]]:
    with memory._parts.ledger.read() as connection:
        return {(row[0], row[1]) for row in connection.exec_driver_sql("SELECT embedder, length(vector) / 4 FROM entries")}


def vectors(memory: Memory) -> list[bytes]:
    with memory._parts.ledger.read() as connection:
        return [row[0] for row in connection.exec_driver_sql("SELECT vector FROM entries ORDER BY seq")]


def test_everything_is_embedded_anew_and_found_again(tmp_path: Path, small_portions: None) -> None:
    with open_brain(tmp_path) as memory:
        ana = memory.scope(user="ana")
        ana.add_many(TEXTS)
        ana.remember("Ana is vegetarian.")
        seen: list[Progress] = []
        report = memory.reindex(HashEmbedder(dim=32), progress=seen.append)
        assert (report.embedder, report.embedded, embedders(memory)) == ("hash-32", 8, {("hash-32", 32)})
        assert (seen[-1].stage, seen[-1].done, seen[-1].total) == ("reindex", 8, 8)
        assert ana.search("order 3")[0].text == TEXTS[3]
        ana.add("And one more.")
        assert embedders(memory) == {("hash-32", 32)}


def test_a_text_is_embedded_anew_as_it_was_at_first(tmp_path: Path) -> None:
    with open_brain(tmp_path / "one") as memory:
        memory.scope(user="ana").add("I'm vegetarian.")
        memory.reindex(HashEmbedder(dim=32))
        anew = vectors(memory)
    with open_brain(tmp_path / "two", embedder=HashEmbedder(dim=32)) as memory:
        memory.scope(user="ana").add("I'm vegetarian.")
        assert vectors(memory) == anew


def test_while_it_is_embedded_and_after_it_failed_the_old_vectors_serve(tmp_path: Path, small_portions: None) -> None:
    with open_brain(tmp_path) as memory:
        ana = memory.scope(user="ana")
        ana.add_many(TEXTS)
        with pytest.raises(EmbeddingError):
            memory.reindex(Failing(portions=2))
        assert embedders(memory) == {("hash-64", 64)}
        assert ana.search("order 3")[0].text == TEXTS[3]
    with open_brain(tmp_path) as memory:
        assert memory.reindex(HashEmbedder(dim=32)).embedded == len(TEXTS) - 4


def test_what_was_staged_can_be_abandoned(tmp_path: Path, small_portions: None) -> None:
    with open_brain(tmp_path) as memory:
        memory.scope(user="ana").add_many(TEXTS)
        with pytest.raises(EmbeddingError):
            memory.reindex(Failing(portions=2))
        abandon(memory._parts)
        with memory._parts.ledger.read() as connection:
            assert count_unstaged(connection, "hash-32") == len(TEXTS)


def test_what_is_added_meanwhile_is_embedded_before_the_switch(tmp_path: Path, small_portions: None) -> None:
    with open_brain(tmp_path) as memory:
        ana = memory.scope(user="ana")
        ana.add_many(TEXTS)

        def add(progress: Progress) -> None:
            if progress.done < 6:
                ana.add(f"Meanwhile {progress.done}.")

        memory.reindex(HashEmbedder(dim=32), progress=add)
        assert embedders(memory) == {("hash-32", 32)}
        assert ana.search("meanwhile 2")[0].text == "Meanwhile 2."


def test_the_ledger_knows_which_embedder_serves_whatever_the_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_brain(tmp_path) as memory:
        memory.scope(user="ana").add_many(TEXTS)
        memory.reindex(HashEmbedder(dim=32))
    built: list[str] = []

    def build(model_id: str, _: object) -> HashEmbedder:
        built.append(model_id)
        return HashEmbedder(dim=32)

    monkeypatch.setattr("seal_agent.builders.build_embedder", build)
    with open_brain(tmp_path, embedder=None) as memory:
        assert memory.scope(user="ana").search("order 3")[0].text == TEXTS[3]
        assert memory.stats().not_embedded == 0
    assert built == ["hash-32"]


def test_an_index_made_anew_needs_no_embedder(tmp_path: Path) -> None:
    with open_brain(tmp_path) as memory:
        memory.scope(user="ana").add_many(TEXTS)
    with open_brain(tmp_path, embedder=BrokenEmbedder()) as memory:
        report = memory.reindex()
        assert (report.embedded, report.scopes, report.generation) == (0, 0, None)
