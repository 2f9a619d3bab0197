"""What counts as an answer: a short one as a phrase, a long one when most of its content words are there."""

import pytest

from seal_agent.consolidation.grading import PhraseGrader, conveys
from seal_agent.errors import GradingError
from seal_agent.types import Question

LONG = "The parcel belongs in the green shed behind the old garage in Rotterdam"


def question(*answers: str, stale: tuple[str, ...] = ()) -> Question:
    return Question(id="q1", text="Where?", answers=answers, stale=stale)


@pytest.mark.parametrize(
    ("reply", "answer", "expected"),
    [
        ("She lives in Porto.", "Porto", True),
        ("PORTO!", "porto", True),
        ("It is order QX-4471, I think", "QX-4471", True),
        ("By text-message.", "text message", True),
        ("portobello mushrooms", "Porto", False),
        ("message by text", "text message", False),
        ("", "Porto", False),
        ("142", "42", False),
    ],
)
def test_a_short_answer_counts_as_a_whole_phrase(reply: str, answer: str, expected: bool) -> None:
    assert conveys(reply, answer) is expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param("Ana said: the parcel goes to the green shed behind the garage", True, id="five of seven words"),
        pytest.param("behind garage, the green shed, parcel: there", True, id="in any order"),
        pytest.param("The parcel is green.", False, id="two of seven words"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_a_long_answer_counts_when_most_of_its_content_words_are_said(reply: str, expected: bool) -> None:
    assert conveys(reply, LONG) is expected


@pytest.mark.parametrize("answer", ["", "  ", "?!"])
@pytest.mark.parametrize("reply", ["", "anything at all", "..."])
def test_an_answer_without_words_is_never_given(reply: str, answer: str) -> None:
    assert not conveys(reply, answer)


def test_any_accepted_answer_makes_a_reply_right() -> None:
    graded = PhraseGrader().grade(question("by text", "SMS"), "Send an SMS.")
    assert graded.correct
    assert not graded.stale


def test_what_used_to_be_right_is_stale_and_not_right() -> None:
    graded = PhraseGrader().grade(question("Sheffield", stale=("Leeds",)), "In Leeds.")
    assert not graded.correct
    assert graded.stale


def test_a_reply_with_the_new_and_the_old_answer_is_right_and_not_stale() -> None:
    graded = PhraseGrader().grade(question("Sheffield", stale=("Leeds",)), "Sheffield, before that Leeds.")
    assert graded.correct
    assert not graded.stale


def test_a_question_without_accepted_answers_can_not_be_judged() -> None:
    with pytest.raises(GradingError, match="'q1' has no accepted answer"):
        PhraseGrader().grade(question(), "Porto")
