"""What every `Embedder` promises, held over each implementation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seal_agent.protocols import Embedder
from seal_agent.testing import HashEmbedder

AWKWARD = ["", "   ", "\n\n", "...", "a" * 5000, "word " * 2000, "ß 你好 🎉", "\ud83c broken emoji", "\x00", "<|im_end|>[PAD]"]


@pytest.fixture(params=["hash", "transformer"])
def make(request: pytest.FixtureRequest) -> Callable[[], Embedder]:
    if request.param == "hash":
        return HashEmbedder
    from seal_agent.retrieval.embedding import TransformerEmbedder  # here, because it loads torch

    folder: Path = request.getfixturevalue("tiny_bert")
    return lambda: TransformerEmbedder(folder, "tiny")


def test_no_texts_give_no_vectors_of_the_right_length(make: Callable[[], Embedder]) -> None:
    embedder = make()
    vectors = embedder.embed([])
    assert vectors.shape == (0, embedder.dim)
    assert vectors.dtype == np.float32


def test_every_text_gets_a_finite_vector_of_length_one(make: Callable[[], Embedder]) -> None:
    embedder = make()
    vectors = embedder.embed([*AWKWARD, "a b c"])
    assert vectors.shape == (len(AWKWARD) + 1, embedder.dim)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_vectors_come_in_the_order_of_the_texts(make: Callable[[], Embedder]) -> None:
    embedder = make()
    texts = ["a b c d e f", "g", "h i j", "k l"]
    np.testing.assert_allclose(embedder.embed(texts)[::-1], embedder.embed(texts[::-1]), atol=1e-5)


def test_a_vector_does_not_depend_on_its_neighbours(make: Callable[[], Embedder]) -> None:
    embedder = make()
    np.testing.assert_allclose(embedder.embed(["a b", "c d e f g h i j k"])[0], embedder.embed(["a b"])[0], atol=1e-5)


def test_the_same_id_means_the_same_vectors(make: Callable[[], Embedder]) -> None:
    first, second = make(), make()
    assert first.id == second.id
    np.testing.assert_array_equal(first.embed(["a b c"]), second.embed(["a b c"]))


def test_different_texts_differ(make: Callable[[], Embedder]) -> None:
    one, other = make().embed(["a b c", "x y z"])
    assert not np.allclose(one, other, atol=1e-2)
