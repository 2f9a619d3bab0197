"""How durable a sentence is, and of which kind."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from seal_agent.builders import build_embedder
from seal_agent.config import Settings
from seal_agent.consolidation.bundled import labelled_sentences
from seal_agent.consolidation.durability import KINDS, Durability, cues
from seal_agent.protocols import Vectors
from seal_agent.testing import HashEmbedder
from seal_agent.types import silent
from tests.consolidation.brains import DIET, HASHED


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("we like it plain and simple", 0.0),
        ("the parcel goes to Rotterdam", 0.15),
        ("my order is QX-4471", 0.15),
        ("she turned 67 in may, room 12", 0.15),
        ("always slice the bread", 0.15),
        ("from now on use the side door", 0.15),
        ("never send it to Rotterdam", 0.30),
        ("when does the shop open?", -0.35),
        ("is the shop open?", -0.6),
        ("hey do you do bulk discount", -0.6),
        ("do it on monday", 0.0),
        ("could you use the side door?", 0.0),
        ("blue one", -0.4),
        ("why?", -0.75),
        ("I'm vegetarian", 0.0),
        ("I’m vegan!", 0.0),
        ("im coeliac.", 0.0),
        ("I am left-handed", 0.0),
        ("I'm Dutch", 0.15),
        ("Prefer email.", 0.0),
        ("Hate mushrooms", 0.0),
        ("I'm fine", -0.4),
        ("I'm here.", -0.4),
        ("I'm back!", -0.4),
        ("I'm sorry", -0.4),
        ("I am sorry!", -0.4),
        ("I'm off", -0.4),
        ("I'm waiting", -0.4),
        ("I'm Bored", -0.25),
        ("Love it", -0.4),
        ("Vegetarian", -0.4),
    ],
)
def test_cues_add_for_names_and_wishes_and_take_away_for_questions_and_brevity(sentence: str, expected: float) -> None:
    assert cues(sentence) == pytest.approx(expected)


@pytest.mark.slow
def test_what_somebody_is_is_a_fact_in_two_words_and_how_they_are_is_none(tmp_path: Path) -> None:
    """With the default embedder."""
    settings = Settings()
    embedder = build_embedder(settings.retrieval.embedder, silent)
    judge = Durability(embedder, tmp_path)

    def kept(said: list[str]) -> list[str]:
        verdicts = judge.judge(said, embedder.embed(said))
        return [one for one, verdict in zip(said, verdicts, strict=True) if verdict.score >= settings.facts.min_score]

    lasting = ["I'm vegetarian", "I'm vegan.", "I'm coeliac", "I'm diabetic", "I'm divorced", "I'm Dutch", "Prefer email", "Hate mushrooms"]
    assert kept(lasting) == lasting
    assert (
        kept(["I'm fine", "I'm here", "I'm back", "I'm sorry", "I am sorry", "I'm ready!", "I'm confused", "I'm begging", "Love it"]) == []
    )


def test_most_labelled_sentences_are_judged_as_labelled(judge: Durability) -> None:
    texts, kinds = zip(*labelled_sentences(), strict=True)
    verdicts = judge.judge(texts, HASHED.embed(texts))
    assert np.mean([(verdict.score >= 0.5) == (kind != "none") for verdict, kind in zip(verdicts, kinds, strict=True)]) > 0.8
    assert {verdict.kind for verdict in verdicts} == set(KINDS)


def test_a_verdict_does_not_depend_on_the_other_sentences(judge: Durability) -> None:
    [alone] = judge.judge([DIET], HASHED.embed([DIET]))
    together = judge.judge(["hi", DIET], HASHED.embed(["hi", DIET]))[1]
    assert alone.kind == together.kind
    assert alone.score == pytest.approx(together.score)


def test_a_second_one_reads_the_vectors_that_the_first_kept(vectors: Path) -> None:
    class NoEmbedder(HashEmbedder):
        def embed(self, texts: Sequence[str]) -> Vectors:
            raise AssertionError("the kept vectors were not used")

    one = Durability(NoEmbedder(256), vectors).judge([DIET], HASHED.embed([DIET]))
    assert one == Durability(HASHED, vectors).judge([DIET], HASHED.embed([DIET]))


def test_nothing_to_judge_gives_nothing(judge: Durability) -> None:
    assert judge.judge([], HASHED.embed([])) == []
