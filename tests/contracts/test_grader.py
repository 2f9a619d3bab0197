"""What every `Grader` promises, held over each implementation."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal_agent.consolidation.grading import PhraseGrader
from seal_agent.errors import GradingError
from seal_agent.protocols import Grader
from seal_agent.types import Question

AWKWARD = ["", "   ", "\n\n", "...", "a" * 5000, "word " * 2000, "ß 你好 🎉", "\ud83c broken emoji", "\x00", "<|im_end|>[PAD]"]
PORTO = Question(id="q", text="Where does Ana live?", answers=("Porto",), stale=("Leeds",), fact_id="f", reference="Ana lives in Porto.")


@pytest.fixture(params=[PhraseGrader])
def grader(request: pytest.FixtureRequest) -> Grader:
    make: Callable[[], Grader] = request.param
    return make()


def test_a_reply_that_is_the_accepted_answer_is_right(grader: Grader) -> None:
    assert grader.grade(PORTO, "Porto").correct


def test_a_reply_that_is_the_old_answer_is_stale(grader: Grader) -> None:
    graded = grader.grade(PORTO, "Leeds")
    assert (graded.correct, graded.stale) == (False, True)


def test_a_reply_about_something_else_is_neither_right_nor_stale(grader: Grader) -> None:
    graded = grader.grade(PORTO, "I don't know.")
    assert (graded.correct, graded.stale) == (False, False)


def test_the_verdict_holds_the_question_and_the_whole_reply(grader: Grader) -> None:
    graded = grader.grade(PORTO, " Porto, I think. ")
    assert graded.question == PORTO
    assert graded.reply == " Porto, I think. "


def test_the_verdict_leaves_the_probability_to_whoever_measures_it(grader: Grader) -> None:
    assert grader.grade(PORTO, "Porto").logprob is None


def test_the_same_reply_gets_the_same_verdict(grader: Grader) -> None:
    assert grader.grade(PORTO, "In Porto, near the river.") == grader.grade(PORTO, "In Porto, near the river.")


@pytest.mark.parametrize("reply", AWKWARD)
def test_an_awkward_reply_is_judged_and_not_right(grader: Grader, reply: str) -> None:
    assert not grader.grade(PORTO, reply).correct


def test_what_can_not_be_judged_is_an_error_and_never_a_wrong_answer(grader: Grader) -> None:
    with pytest.raises(GradingError):
        grader.grade(Question(id="q", text="Where?", answers=()), "Porto")


@settings(deadline=None)  # the machine may be busy
@given(reply=st.text(), answer=st.text(min_size=1))
def test_a_verdict_is_never_both_right_and_stale(reply: str, answer: str) -> None:
    graded = PhraseGrader().grade(Question(id="q", text="?", answers=(answer,), stale=(answer,)), reply)
    assert not (graded.correct and graded.stale)
