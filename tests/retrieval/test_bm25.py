"""BM25 is what the textbook says, over turns, windows and conversations, counted over what the searcher may see."""

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from seal_agent.retrieval.bm25 import K1, B, bm25, counted
from seal_agent.retrieval.by_words import ByWords
from seal_agent.retrieval.catalogue import LABEL_CHARACTERS, Catalogue, Numbers, Positions, Shelf
from seal_agent.types import ScopeId

if TYPE_CHECKING:
    from tests.retrieval.conftest import Brain

ANA = ScopeId(agent="support", user="ana")
SUPPORT = ScopeId(agent="support")


def catalogue_of(brain: "Brain", scope: ScopeId = ANA) -> Catalogue:
    shelf = Shelf(scope)
    with shelf.lock, brain.ledger.read() as connection:
        return shelf.refresh(connection)


def textbook(holding: list[int], counts: list[int], lengths: Numbers) -> list[float]:
    """One word's BM25 of each unit, written out."""
    units = len(lengths)
    idf = math.log(1 + (units - len(holding) + 0.5) / (len(holding) + 0.5))
    scores = [0.0] * units
    for unit, count in zip(holding, counts, strict=True):
        scores[unit] = idf * count * (K1 + 1) / (count + K1 * (1 - B + B * lengths[unit] / (sum(lengths) / units)))
    return scores


def test_each_unit_is_scored_as_the_textbook_says(brain: "Brain") -> None:
    brain.record(ANA, "xx", "yyyy", "zz", "aa", "bb", "cc")
    brain.record(ANA, "dd")
    catalogue = catalogue_of(brain)
    (found,) = bm25([catalogue], [[np.array([0, 3])]])
    assert found.turns.tolist() == pytest.approx(textbook([0, 3], [1, 1], catalogue.characters))
    assert found.windows.tolist() == pytest.approx(textbook([0, 1, 2, 3, 4, 5], [1, 2, 2, 1, 1, 1], catalogue.spans))
    conversations = textbook([0], [2], catalogue.conversation_characters)
    assert found.conversations.tolist() == pytest.approx([conversations[0], 0.0])


def test_few_units_of_many_are_counted_as_many_are() -> None:
    few, many = np.array([900, 7, 900, 3]), np.repeat(np.arange(40), 3)
    for units in (few, many):
        holding, times = counted(units)
        assert dict(zip(holding.tolist(), times.tolist(), strict=True)) == Counter(units.tolist())
        assert holding.tolist() == sorted(set(units.tolist()))


def test_windows_and_conversations_are_as_long_as_their_turns_together(brain: "Brain") -> None:
    brain.record(ANA, "a", "bb", "ccc", "dddd")
    catalogue = catalogue_of(brain)
    assert (catalogue.characters - LABEL_CHARACTERS).tolist() == [1, 2, 3, 4]
    assert (catalogue.spans - LABEL_CHARACTERS * np.array([3, 4, 4, 3])).tolist() == [6, 10, 10, 9]
    assert catalogue.conversation_characters.tolist() == [10 + 4 * LABEL_CHARACTERS]


def test_words_are_counted_over_all_scopes_that_are_seen(brain: "Brain") -> None:
    brain.record(ANA, "cheese")
    for _ in range(9):
        brain.record(SUPPORT, "something else")
    alone = ByWords(brain.ledger).find([ANA], "cheese")[0].lexical.turns[0]
    together = ByWords(brain.ledger).find([ANA, SUPPORT], "cheese")[0].lexical.turns[0]
    assert together > 2 * alone


def test_others_words_do_not_move_a_score(brain: "Brain") -> None:
    brain.record(ANA, "cheese", "wine")
    before = ByWords(brain.ledger).find([ANA], "cheese")[0].lexical.turns.tolist()
    brain.record(ScopeId(agent="support", user="ben"), "cheese cheese", "cheese")
    assert ByWords(brain.ledger).find([ANA], "cheese")[0].lexical.turns.tolist() == before


def test_two_forms_of_a_word_count_once(brain: "Brain") -> None:
    brain.record(ANA, "I run daily", "and rest")
    words = ByWords(brain.ledger)
    assert words.find([ANA], "run running runs")[0].lexical.turns.tolist() == words.find([ANA], "run")[0].lexical.turns.tolist()


def test_a_word_that_nothing_holds_scores_nothing() -> None:
    none: Positions = np.empty(0, dtype=np.int64)
    assert bm25([], []) == []
    assert none.size == 0


def test_the_turn_after_a_question_is_found_though_it_shares_no_word(brain: "Brain") -> None:
    brain.record(ANA, "Where will you move next spring?", "To Ghent, in May.")
    brain.record(ANA, "I like the sea.")
    found = [hit.text for hit in brain.searcher(dense_weight=0.0, near_weight=0.0).search(ANA, "move spring")]
    assert found == ["Where will you move next spring?", "To Ghent, in May."]
