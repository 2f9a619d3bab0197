"""What remains of a turn: everything but what was forgotten, word for word."""

import pytest

from seal_agent.forgetting.cutting import cut, parts_of, says
from seal_agent.ledger.tombstones import FORGOTTEN_TURN

TURN = "Hi there. I'm vegetarian.  My dog is called Figo!\nDo you ship on Mondays?"


@pytest.mark.parametrize(
    ("parts", "remaining"),
    [
        (["I'm vegetarian."], "Hi there. My dog is called Figo! Do you ship on Mondays?"),
        (["im VEGETARIAN"], TURN.replace("\n", " ").replace("  ", " ")),
        (["I'm vegetarian. My dog is called Figo!"], "Hi there. Do you ship on Mondays?"),
        (["my dog is called figo", "Do you ship on Mondays?"], "Hi there. I'm vegetarian."),
        (["Nobody said this."], TURN.replace("\n", " ").replace("  ", " ")),
        ([TURN], FORGOTTEN_TURN),
    ],
)
def test_the_sentences_that_say_it_go_and_the_others_stay(parts: list[str], remaining: str) -> None:
    assert cut(TURN, parts) == remaining


def test_part_of_a_sentence_takes_the_sentence() -> None:
    assert cut("I moved, I live in Porto now. Bye for today.", ["I live in Porto now"]) == "Bye for today."


def test_a_quote_of_two_halves_is_looked_for_by_halves() -> None:
    assert parts_of("shreder is dead again ... the tarvok 900.") == ["shreder is dead again", "the tarvok 900."]
    assert parts_of(" ... ") == []


def test_words_are_compared_whole() -> None:
    assert says("The cat sat.", "cat sat")
    assert not says("The cat saturated.", "cat sat")


def test_a_turn_of_signs_only_is_emptied() -> None:
    assert cut("I sail. ...!", ["I sail."]) == FORGOTTEN_TURN
