"""Chroma as it is: what a folder takes in and gives back, and how its failures are named."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromadb.api.models.Collection import Collection

from seal_agent.errors import VectorIndexError
from seal_agent.protocols import Vectors
from seal_agent.retrieval import projection as module
from seal_agent.retrieval.projection import ChromaProjection, chroma, collection_name
from seal_agent.testing import HashEmbedder

ANA, BEN = "default/default/ana", "default/default/ben"


@pytest.fixture
def projection(tmp_path: Path) -> Iterator[ChromaProjection]:
    opened = ChromaProjection(tmp_path / "gen-1")
    yield opened
    opened.close()


def embed(*texts: str) -> Vectors:
    return HashEmbedder().embed(texts)


def test_it_answers_as_the_exact_scan_does(projection: ChromaProjection) -> None:
    texts = [f"subject{number} is kept in room{number % 7}" for number in range(60)]
    projection.fill(ANA, [f"e{number}" for number in range(60)], embed(*texts))
    vector = embed("subject42 room0")[0]
    exact = embed(*texts) @ vector
    found = projection.query(ANA, vector, 5)
    assert found[0][0] == f"e{int(exact.argmax())}"
    assert [cosine for _, cosine in found] == pytest.approx(sorted(exact.tolist(), reverse=True)[:5], abs=1e-5)


def test_each_scope_has_its_own_collection(projection: ChromaProjection) -> None:
    for key in ("t/a/a", "t/a/A"):
        projection.fill(key, [f"of {key}"], embed("the same words"))
    assert [found for found, _ in projection.query("t/a/a", embed("the same words")[0], 10)] == ["of t/a/a"]


def test_names_are_what_chroma_accepts_and_tell_scopes_apart() -> None:
    keys = ["default/default/a", "default/default/A", "default/default", "t/ü/…", "t/a b/" + "x" * 128]
    assert len({collection_name(key) for key in keys}) == len(keys)
    assert all(len(collection_name(key)) <= 63 for key in keys)


def test_many_pages_are_taken_in_and_a_repetition_does_no_harm(projection: ChromaProjection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 4)
    ids = [f"e{number}" for number in range(10)]
    for _ in range(2):
        projection.fill(ANA, ids, embed(*ids))
    assert (projection.count(ANA), projection.ids(ANA)) == (10, set(ids))


def test_what_was_taken_in_is_there_after_closing_and_opening(tmp_path: Path) -> None:
    first = ChromaProjection(tmp_path / "gen-1")
    first.fill(ANA, ["one", "two"], embed("one", "two"))
    first.close()
    again = ChromaProjection(tmp_path / "gen-1")
    assert again.query(ANA, embed("two")[0], 1)[0][0] == "two"
    assert again.best_cosines(ANA, embed("one", "another")) == pytest.approx([1.0, float((embed("another") @ embed("one", "two").T).max())])
    again.close()


def test_a_scope_without_a_collection_and_a_wrong_length_are_index_errors(projection: ChromaProjection) -> None:
    projection.fill(ANA, ["one"], embed("one"))
    with pytest.raises(VectorIndexError, match="gen-1"):
        projection.query(BEN, embed("one")[0], 1)
    with pytest.raises(VectorIndexError, match="dimension"):
        projection.query(ANA, np.ones(3, dtype=np.float32), 1)


def test_what_chroma_raises_is_an_index_error(projection: ChromaProjection, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("disk gone")

    monkeypatch.setattr(Collection, "upsert", fail)
    with pytest.raises(VectorIndexError, match="disk gone"):
        projection.fill(ANA, ["one"], embed("one"))


def test_a_native_panic_is_an_index_error_and_an_interrupt_is_not() -> None:
    class PanicException(BaseException):
        """As pyo3 raises it."""

    with pytest.raises(VectorIndexError, match="PanicException"), chroma("open", Path("gen-1")):
        raise PanicException("index out of bounds")
    with pytest.raises(KeyboardInterrupt), chroma("open", Path("gen-1")):
        raise KeyboardInterrupt


def test_telemetry_is_off_and_the_space_is_cosine(projection: ChromaProjection) -> None:
    projection.fill(ANA, ["one"], embed("one"))
    assert not projection._client.get_settings().anonymized_telemetry
    assert projection._collections[ANA].configuration_json["hnsw"]["space"] == "cosine"
