"""The data that comes with the package: every file parses, and what must be apart is apart."""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from seal_agent.consolidation import bundled
from seal_agent.consolidation.durability import KINDS
from seal_agent.consolidation.grading import conveys
from seal_agent.consolidation.self_edit import LEAK, normalised, overlap
from seal_agent.protocols import Vectors
from seal_agent.testing import HashEmbedder
from seal_agent.types import FactKind

FOLDER = files("seal_agent.consolidation").joinpath("general")
NAMES = sorted(entry.name for entry in FOLDER.iterdir() if entry.name.endswith(".jsonl"))


def rows(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in FOLDER.joinpath(name).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_every_line_is_an_object_with_the_same_keys_and_none_is_there_twice(name: str) -> None:
    found = rows(name)
    assert len({tuple(sorted(row)) for row in found}) == 1
    assert len({json.dumps(row, sort_keys=True) for row in found}) == len(found) > 0


def test_the_readme_describes_every_file_and_no_other() -> None:
    readme = FOLDER.joinpath("README.md").read_text(encoding="utf-8")
    listed = [line.split("`")[1] for line in readme.splitlines() if line.startswith("| `")]
    assert sorted(listed) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_names_every_key(name: str) -> None:
    readme = FOLDER.joinpath("README.md").read_text(encoding="utf-8")
    [line] = [line for line in readme.splitlines() if line.startswith(f"| `{name}`")]
    assert {part for part in line.split("|")[2].split("`") if part.strip(" ,")} == set(rows(name)[0])


def test_no_anchor_asks_a_general_question() -> None:
    questions = [question.text for name in ("questions", "extra_questions") for question in bundled.general_questions(name)]
    leaks = [(a, q) for a in bundled.anchor_prompts() for q in questions if overlap(a, q) >= LEAK]
    assert leaks == []


def test_what_is_trained_on_is_not_what_perplexity_is_measured_on() -> None:
    assert not shingles(bundled.anchor_texts()) & shingles(bundled.general_texts())


def shingles(texts: Sequence[str], length: int = 8) -> set[tuple[str, ...]]:
    """Every run of eight words."""
    return {tuple(words[n : n + length]) for text in texts for words in [normalised(text)] for n in range(len(words) - length + 1)}


def test_no_anchor_asks_what_nobody_can_answer() -> None:
    unknown = [row["prompt"] for row in rows("anchors.jsonl") if row["kind"] == "unknown"]
    assert unknown
    assert not set(unknown) & set(bundled.anchor_prompts())


@pytest.mark.parametrize("name", ["questions", "extra_questions"])
def test_every_general_question_has_answers_that_it_does_not_give_away(name: str) -> None:
    for question in bundled.general_questions(name):
        assert question.answers
        assert all(conveys(answer, answer) for answer in question.answers)
        assert not any(conveys(question.text, answer) for answer in question.answers)


def test_the_two_sets_of_general_questions_have_none_in_common() -> None:
    assert not {q.text for q in bundled.general_questions()} & {q.text for q in bundled.general_questions("extra_questions")}


def test_every_kind_of_fact_has_labelled_sentences_and_so_has_none() -> None:
    kinds = {kind for _, kind in bundled.labelled_sentences()}
    assert kinds == {*KINDS, "none"}
    assert set(KINDS) == set(get_args(FactKind))


def test_every_topic_has_statements_and_questions_in_both_persons() -> None:
    for topic in bundled.topics():
        assert topic.kind in KINDS
        assert len(topic.statements) >= 2
        assert len(topic.questions) >= 3
        assert all("{name}" in third and "{name}" not in first for third, first in topic.questions), topic.name
        assert all(text.endswith("?") for pair in topic.questions for text in pair), topic.name


def test_no_two_topics_ask_the_same_question() -> None:
    texts = [" ".join(normalised(text)) for topic in bundled.topics() for pair in topic.questions for text in pair]
    assert [text for text in set(texts) if texts.count(text) > 1] == []


class Counting(HashEmbedder):
    def __init__(self, dim: int = 8) -> None:
        super().__init__(dim)
        self.embedded: list[int] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.embedded.append(len(texts))
        return super().embed(texts)


def test_vectors_of_texts_that_never_change_are_made_once(tmp_path: Path) -> None:
    embedder = Counting()
    first = bundled.kept_vectors(embedder, ["a", "b"], tmp_path / "new")
    again = bundled.kept_vectors(embedder, ["a", "b"], tmp_path / "new")
    np.testing.assert_array_equal(first, again)
    assert embedder.embedded == [2]
    assert [path.suffix for path in (tmp_path / "new").iterdir()] == [".npy"]


def test_other_texts_or_another_embedder_get_vectors_of_their_own(tmp_path: Path) -> None:
    bundled.kept_vectors(Counting(), ["a", "b"], tmp_path)
    assert bundled.kept_vectors(Counting(), ["a"], tmp_path).shape == (1, 8)
    assert bundled.kept_vectors(Counting(4), ["a", "b"], tmp_path).shape == (2, 4)


def test_kept_vectors_that_are_damaged_are_made_anew(tmp_path: Path) -> None:
    first = bundled.kept_vectors(Counting(), ["a", "b"], tmp_path)
    [kept] = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:40])
    np.testing.assert_array_equal(bundled.kept_vectors(Counting(), ["a", "b"], tmp_path), first)
