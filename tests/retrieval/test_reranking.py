"""Reading a query and a text together: the cross-encoder, and what a search does with any reranker."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from seal_agent.config import Settings
from seal_agent.errors import RerankingError
from seal_agent.retrieval.reranking import BATCH_SIZE, CrossEncoder
from tests.brains import open_brain

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="session")
def tiny_cross_encoder(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tiny_bert, tmp_path_factory.mktemp("cross-encoder"), labels=1)


def made(tiny_bert: Path, folder: Path, labels: int) -> Path:
    torch.manual_seed(1)
    config = BertConfig.from_pretrained(tiny_bert, num_labels=labels, initializer_range=0.5)
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(folder)
    return folder


def test_a_pair_has_the_model_s_score_whatever_stands_beside_it(tiny_cross_encoder: Path) -> None:
    reranker = CrossEncoder(tiny_cross_encoder, "tiny")
    texts = [" ".join(LETTERS[start : start + 1 + start % 5]) for start in range(20)]
    assert len(texts) > BATCH_SIZE
    scores = reranker.score("a b", texts)
    assert len(set(scores)) == len(texts)
    for text, score in zip(texts[::7], scores[::7], strict=True):
        assert reranker.score("a b", [text]) == pytest.approx([score], abs=1e-4)
    pair = AutoTokenizer.from_pretrained(tiny_cross_encoder)("a b", texts[0], return_tensors="pt")
    with torch.inference_mode():
        model: torch.nn.Module = BertForSequenceClassification.from_pretrained(tiny_cross_encoder)
        alone = model.eval()(**pair).logits[0, 0]
    assert scores[0] == pytest.approx(float(alone), abs=1e-4)
    assert reranker.score("a b", []) == []


def test_what_is_too_long_is_cut_and_the_text_keeps_half_of_the_room(tiny_cross_encoder: Path) -> None:
    reranker = CrossEncoder(tiny_cross_encoder, "tiny")
    long = " ".join(LETTERS * 3)
    one, other = reranker.score(long, ["x y z", "c b a"])
    assert one != other
    assert reranker.score("a", [long]) == pytest.approx(reranker.score("a", [long + " z z"]))
    assert reranker.score("half \ud83d an emoji", ["\ude00"])


def test_a_model_that_scores_no_relevance_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(RerankingError, match="tells 3 classes apart"):
        CrossEncoder(made(tiny_bert, tmp_path / "three", labels=3), "tiny")
    with pytest.raises(RerankingError, match="can't be loaded"):
        CrossEncoder(tmp_path, "nothing")


def test_scores_that_are_not_finite_are_an_error(tiny_cross_encoder: Path) -> None:
    reranker = CrossEncoder(tiny_cross_encoder, "tiny")
    with torch.no_grad():
        reranker._model.classifier.weight.fill_(float("nan"))
    with pytest.raises(RerankingError, match="not finite"):
        reranker.score("a", ["b"])


class Longest:
    """Likes long texts; keeps what it was given."""

    id = "longest"

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.read: list[str] = []

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        if self.fails:
            raise RerankingError("The reranker is on fire; put it out.")
        self.read = list(texts)
        return [float(len(text)) for text in texts]


SAID = ("tea", "tea and cake", "tea and cake in bed", "a coat")


def test_the_first_hits_are_read_with_speaker_and_date_and_ordered_by_their_new_scores(tmp_path: Path) -> None:
    reranker = Longest()
    with open_brain(tmp_path, reranker=reranker) as memory:
        ana = memory.scope(user="ana")
        ana.add_many(SAID)
        hits = ana.search("tea", 2)
        assert [hit.text for hit in hits] == ["tea and cake in bed", "tea and cake"]
        assert hits[0].score == float(len("[2 November 2026] Ana: tea and cake in bed"))
        assert set(reranker.read) == {f"[2 November 2026] Ana: {text}" for text in SAID}


def test_what_is_not_read_comes_after_and_scores_never_rise_again(tmp_path: Path) -> None:
    with open_brain(tmp_path, reranker=Longest(), settings=Settings.load(None, retrieval={"reranked": 2})) as memory:
        ana = memory.scope(user="ana")
        ana.add_many(SAID)
        hits = ana.search("tea", 4)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert sorted(hit.text for hit in hits) == sorted(SAID)


def test_a_reranker_that_fails_costs_its_order_and_no_hit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_brain(tmp_path / "one", reranker=Longest(fails=True)) as memory, open_brain(tmp_path / "two") as plain:
        found = []
        for brain in (memory, plain):
            brain.scope(user="ana").add_many(SAID)
            with caplog.at_level(logging.WARNING):
                found.append([(hit.text, hit.score) for hit in brain.scope(user="ana").search("tea")])
        assert found[0] == found[1]
        assert "put it out" in caplog.text


def test_one_named_in_the_settings_is_loaded_at_the_first_search(tmp_path: Path, tiny_cross_encoder: Path) -> None:
    settings = Settings.load(None, retrieval={"reranker": str(tiny_cross_encoder)})
    with open_brain(tmp_path, settings=settings) as memory:
        ana = memory.scope(user="ana")
        ana.add_many(["a b", "a c d", "a"])
        hits = ana.search("a")
        expected = CrossEncoder(tiny_cross_encoder, "same").score("a", [f"[2 November 2026] Ana: {hit.text}" for hit in hits])
        assert [hit.score for hit in hits] == pytest.approx(expected, abs=1e-4)
        assert expected == sorted(expected, reverse=True)


def test_one_that_can_not_be_had_is_told_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings.load(None, retrieval={"reranker": str(tmp_path / "nowhere")})
    with open_brain(tmp_path / "brain", settings=settings) as memory, caplog.at_level(logging.WARNING):
        memory.scope(user="ana").add("tea")
        assert [hit.text for hit in memory.scope(user="ana").search("tea")] == ["tea"]
    assert "hits keep the order of the search" in caplog.text
