"""The transformer embedder: pooling as its folder says, results in the caller's order, nonsense refused."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from seal_agent.errors import EmbeddingError
from seal_agent.protocols import Vectors
from seal_agent.retrieval.embedding import BATCH_SIZE, TransformerEmbedder


def with_pooling(folder: Path, tmp_path: Path, settings: dict[str, object]) -> Path:
    copy = shutil.copytree(folder, tmp_path / "model")
    (copy / "1_Pooling").mkdir()
    (copy / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    return copy


def hidden_states(folder: Path, text: str) -> Vectors:
    """The last layer of one text alone: no padding, so no mask to get wrong."""
    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.inference_mode():
        states: torch.Tensor = AutoModel.from_pretrained(folder).eval()(**tokens).last_hidden_state[0]
    return states.numpy()


def unit(vector: Vectors) -> Vectors:
    return np.asarray(vector / np.linalg.norm(vector))


def test_mean_pooling_leaves_out_the_padding(tiny_bert: Path) -> None:
    vectors = TransformerEmbedder(tiny_bert, "tiny").embed(["a b", "a b c d e f g h"])
    np.testing.assert_allclose(vectors[0], unit(hidden_states(tiny_bert, "a b").mean(axis=0)), atol=1e-5)


@pytest.mark.parametrize("settings", [{"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, {"pooling_mode": "cls"}])
def test_first_token_pooling_is_read_from_the_folder(tiny_bert: Path, tmp_path: Path, settings: dict[str, object]) -> None:
    folder = with_pooling(tiny_bert, tmp_path, settings)
    vector = TransformerEmbedder(folder, "tiny").embed(["a b c"])[0]
    np.testing.assert_allclose(vector, unit(hidden_states(tiny_bert, "a b c")[0]), atol=1e-5)
    assert not np.allclose(vector, unit(hidden_states(tiny_bert, "a b c").mean(axis=0)), atol=1e-3)


def test_any_other_pooling_is_refused_instead_of_guessed(tiny_bert: Path, tmp_path: Path) -> None:
    folder = with_pooling(tiny_bert, tmp_path, {"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True})
    with pytest.raises(EmbeddingError, match="only mean and cls"):
        TransformerEmbedder(folder, "tiny")


def test_results_keep_the_order_of_the_texts_across_batches(tiny_bert: Path) -> None:
    embedder = TransformerEmbedder(tiny_bert, "tiny")
    texts = [" ".join("abcdefghijklmnopqrstuvwxyz"[start : start + 1 + start % 7]) for start in range(26)] * 3
    assert len(texts) > 2 * BATCH_SIZE
    one_by_one = np.concatenate([embedder.embed([text]) for text in texts[:26]] * 3)
    np.testing.assert_allclose(embedder.embed(texts), one_by_one, atol=1e-5)


def test_a_text_longer_than_the_model_is_cut_off(tiny_bert: Path) -> None:
    embedder = TransformerEmbedder(tiny_bert, "tiny")
    short, long = embedder.embed(["a " * 32, "a " * 32 + "b " * 100])
    np.testing.assert_allclose(short, long, atol=1e-5)


def test_threads_take_turns(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = TransformerEmbedder(tiny_bert, "tiny")
    forward, inside, most = embedder._embed_batch, [0], [0]
    pause = threading.Event()

    def watched(texts: list[str]) -> Vectors:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        pause.wait(0.02)  # long enough for the others to come in, were there no lock
        result = forward(texts)
        inside[0] -= 1
        return result

    monkeypatch.setattr(embedder, "_embed_batch", watched)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(embedder.embed, [["a b"]] * 4))
    assert most == [1]
    assert all(np.array_equal(result, results[0]) for result in results)


def test_damaged_weights_are_refused_instead_of_stored(tiny_bert: Path) -> None:
    embedder = TransformerEmbedder(tiny_bert, "tiny")
    with torch.no_grad():
        embedder._model.embeddings.word_embeddings.weight.fill_(float("nan"))
    with pytest.raises(EmbeddingError, match="not finite"):
        embedder.embed(["a"])


def test_a_failing_forward_pass_is_named(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = TransformerEmbedder(tiny_bert, "tiny")

    def fail(**_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(embedder._model, "forward", fail)
    with pytest.raises(EmbeddingError, match="'tiny' failed on 1 texts: out of memory"):
        embedder.embed(["a"])


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingError, match="can't be loaded"):
        TransformerEmbedder(tmp_path, "tiny")
