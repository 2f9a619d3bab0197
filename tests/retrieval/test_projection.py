"""Chroma holds a copy that is caught up, checked, thrown away and made anew; what it breaks, search survives."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from chromadb.api.models.Collection import Collection

from seal_agent.errors import StoreFullError, VectorIndexError
from seal_agent.ledger.generations import current_generation
from seal_agent.retrieval import projection as module
from seal_agent.retrieval.projection import Projection, chroma, collection_name
from seal_agent.types import ScopeId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seal_agent.ledger.generations import Generation
    from tests.retrieval.conftest import Brain

ANA = ScopeId(user="ana")
BEN = ScopeId(user="ben")


@pytest.fixture
def projection(brain: "Brain") -> "Iterator[Projection]":
    opened = Projection(brain.ledger, brain.embedder.id)
    yield opened
    opened.close()


def current(brain: "Brain") -> "Generation":
    with brain.ledger.read() as connection:
        found = current_generation(connection, brain.embedder.id)
    assert found is not None
    return found


def nearest(brain: "Brain", projection: Projection, scope: ScopeId, text: str, k: int = 1) -> list[str]:
    return [entry_id for entry_id, _ in projection.query(scope.key, brain.embedder.embed([text])[0], k)]


def folders(brain: "Brain") -> list[str]:
    return sorted(path.name for path in (brain.ledger.folder / "index").iterdir())


def test_it_answers_as_the_exact_scan_does(brain: "Brain", projection: Projection) -> None:
    texts = [f"subject{number} is kept in room{number % 7}" for number in range(60)]
    brain.record(ANA, *texts)
    assert projection.catch_up()
    vector = brain.embedder.embed(["subject42 room0"])[0]
    exact = brain.embedder.embed(texts) @ vector
    found = projection.query(ANA.key, vector, 5)
    assert found[0][0] == f"episode-0:{int(exact.argmax())}"
    assert [cosine for _, cosine in found] == pytest.approx(sorted(exact.tolist(), reverse=True)[:5], abs=1e-5)


def test_each_scope_has_its_own_collection(brain: "Brain", projection: Projection) -> None:
    lower, upper = ScopeId(user="a"), ScopeId(user="A")
    brain.record(lower, "the same words")
    brain.record(upper, "the same words")
    projection.catch_up()
    assert nearest(brain, projection, lower, "the same words", k=10) == ["episode-0:0"]
    assert nearest(brain, projection, upper, "the same words", k=10) == ["episode-1:0"]


def test_names_are_what_chroma_accepts_and_tell_scopes_apart() -> None:
    keys = ["default/default/a", "default/default/A", "default/default", "t/ü/…", "t/a b/" + "x" * 128]
    assert len({collection_name(key) for key in keys}) == len(keys)
    assert all(len(collection_name(key)) <= 63 for key in keys)


def test_the_watermark_follows_what_was_copied(brain: "Brain", projection: Projection) -> None:
    brain.record(ANA, "one", "two", "three")
    assert not projection.catch_up(limit=2)
    assert (current(brain).watermark, projection.count(ANA.key)) == (2, 2)
    assert projection.catch_up(limit=2)
    assert (current(brain).watermark, projection.count(ANA.key)) == (3, 3)
    assert projection.catch_up()


def test_many_pages_are_copied_in_one_go(brain: "Brain", projection: Projection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 4)
    brain.record(ANA, *[f"note {number}" for number in range(10)])
    brain.record(BEN, "another")
    assert projection.catch_up()
    assert (projection.count(ANA.key), projection.count(BEN.key)) == (10, 1)


def test_the_watermark_stays_when_the_upsert_fails(brain: "Brain", projection: Projection, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("disk gone")

    brain.record(ANA, "one")
    with monkeypatch.context() as patched:
        patched.setattr(Collection, "upsert", fail)
        with pytest.raises(VectorIndexError, match="disk gone"):
            projection.catch_up()
    assert current(brain).watermark == 0
    assert projection.catch_up()
    assert nearest(brain, projection, ANA, "one") == ["episode-0:0"]


def test_a_copy_repeated_after_a_crash_does_no_harm(brain: "Brain", projection: Projection, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise StoreFullError("no space for the watermark")

    brain.record(ANA, "one", "two")
    with monkeypatch.context() as patched:
        patched.setattr(module, "advance", crash)
        with pytest.raises(StoreFullError):
            projection.catch_up()
    projection.close()
    again = Projection(brain.ledger, brain.embedder.id)
    assert again.catch_up()
    assert again.count(ANA.key) == 2
    again.close()


def test_it_goes_on_where_it_was_after_a_restart(brain: "Brain", projection: Projection) -> None:
    brain.record(ANA, "one")
    projection.catch_up()
    projection.close()
    brain.record(ANA, "two")
    again = Projection(brain.ledger, brain.embedder.id)
    assert again.catch_up()
    assert (again.count(ANA.key), folders(brain)) == (2, ["gen-1"])
    again.close()


def test_a_rebuild_leaves_out_what_the_ledger_no_longer_tells(brain: "Brain", projection: Projection) -> None:
    old = brain.tell(ANA, "Ana lives in Utrecht.")
    projection.catch_up()
    new = brain.correct(old, "Ana lives in Ghent.")
    projection.catch_up()
    assert set(nearest(brain, projection, ANA, "lives", k=2)) == {old.id, new.id}
    projection.rebuild()
    assert nearest(brain, projection, ANA, "lives", k=2) == [new.id]
    assert folders(brain) == ["gen-2"]
    assert (current(brain).path, current(brain).watermark) == (Path("index/gen-2"), 2)


def test_a_rebuild_that_fails_leaves_the_old_generation_in_use(
    brain: "Brain", projection: Projection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk gone")

    brain.record(ANA, "one")
    projection.catch_up()
    with monkeypatch.context() as patched:
        patched.setattr(Collection, "upsert", fail)
        with pytest.raises(VectorIndexError, match="disk gone"):
            projection.rebuild()
    assert (nearest(brain, projection, ANA, "one"), folders(brain)) == (["episode-0:0"], ["gen-1"])


def test_folders_left_by_a_killed_rebuild_are_removed_by_the_next(brain: "Brain", projection: Projection) -> None:
    brain.record(ANA, "one")
    projection.catch_up()
    (brain.ledger.folder / "index" / "gen-7").mkdir()
    projection.rebuild()
    assert folders(brain) == ["gen-8"]
    assert nearest(brain, projection, ANA, "one") == ["episode-0:0"]


def test_a_folder_that_was_deleted_is_made_anew(brain: "Brain", projection: Projection) -> None:
    brain.record(ANA, "one")
    projection.catch_up()
    projection.close()
    (brain.ledger.folder / current(brain).path).rename(brain.ledger.folder / "elsewhere")
    again = Projection(brain.ledger, brain.embedder.id)
    assert again.catch_up()
    assert nearest(brain, again, ANA, "one") == ["episode-0:0"]
    again.close()


def test_another_embedder_has_its_own_generation(brain: "Brain", projection: Projection) -> None:
    brain.record(ANA, "one")
    projection.catch_up()
    other = Projection(brain.ledger, "another-embedder")
    assert other.catch_up()
    with pytest.raises(VectorIndexError):
        other.count(ANA.key)
    other.close()


def test_a_scope_without_a_collection_and_a_wrong_length_are_index_errors(brain: "Brain", projection: Projection) -> None:
    brain.record(ANA, "one")
    projection.catch_up()
    with pytest.raises(VectorIndexError, match="gen-1"):
        projection.query(BEN.key, brain.embedder.embed(["one"])[0], 1)
    with pytest.raises(VectorIndexError, match="dimension"):
        projection.query(ANA.key, np.ones(3, dtype=np.float32), 1)


def test_a_native_panic_is_an_index_error_and_an_interrupt_is_not() -> None:
    class PanicException(BaseException):
        """As pyo3 raises it."""

    with pytest.raises(VectorIndexError, match="PanicException"), chroma("open", Path("gen-1")):
        raise PanicException("index out of bounds")
    with pytest.raises(KeyboardInterrupt), chroma("open", Path("gen-1")):
        raise KeyboardInterrupt


def test_search_uses_chroma_above_the_threshold_and_finds_at_once(brain: "Brain", projection: Projection) -> None:
    searcher = brain.searcher(lambda: projection, exact_scan_below=4, lexical_weight=0.0)
    brain.record(ANA, *[f"note {number} about subject{number}" for number in range(6)])
    for number in (6, 7, 8):
        brain.record(ANA, f"note {number} about subject{number}")
        assert searcher.search(ANA, f"subject{number}")[0].text == f"note {number} about subject{number}"
    assert searcher.index_error is None
    assert projection.count(ANA.key) == 9


def test_chroma_shows_no_superseded_fact(brain: "Brain", projection: Projection) -> None:
    searcher = brain.searcher(lambda: projection, exact_scan_below=1, lexical_weight=0.0)
    old = brain.tell(ANA, "Ana lives in Utrecht.")
    searcher.search(ANA, "lives")
    brain.correct(old, "Ana lives in Ghent.")
    assert [hit.text for hit in searcher.search(ANA, "Ana lives in Utrecht")] == ["Ana lives in Ghent."]
    assert searcher.index_error is None


@pytest.mark.parametrize("damage", [b"", b"not a database, " * 1000])
def test_search_answers_over_a_corrupt_chroma_folder_and_recovers(brain: "Brain", damage: bytes) -> None:
    first = Projection(brain.ledger, brain.embedder.id)
    brain.record(ANA, "I love cheese", "I love wine")
    first.catch_up()
    first.close()
    (brain.ledger.folder / current(brain).path / "chroma.sqlite3").write_bytes(damage)

    searcher = brain.searcher(lambda: Projection(brain.ledger, brain.embedder.id), exact_scan_below=1, lexical_weight=0.0)
    assert searcher.search(ANA, "cheese")[0].text == "I love cheese"
    assert searcher.index_error is not None
    searcher.rebuild_index()
    assert searcher.search(ANA, "cheese")[0].text == "I love cheese"
    assert searcher.index_error is None
    searcher.close()


def test_telemetry_is_off_and_the_space_is_cosine(brain: "Brain", projection: Projection) -> None:
    brain.record(ANA, "one")
    projection.catch_up()
    opened = projection._opened
    assert opened is not None
    assert not opened.client.get_settings().anonymized_telemetry
    assert opened.collections[ANA.key].configuration_json["hnsw"]["space"] == "cosine"
