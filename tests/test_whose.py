"""Whom a question speaks of, by its words: no model and no vector has a part in it."""

import pytest

from seal_agent.consolidation.bundled import general_questions
from seal_agent.types import ScopeId
from seal_agent.whose import Whose, whose

ANA = ScopeId(user="ana")


@pytest.mark.parametrize(
    ("question", "user", "speaks_of"),
    [
        ("What colour is a ripe lemon?", "ana", "others"),
        ("What is the largest US state?", "ana", "others"),
        ("What colour is my car?", "ana", "user"),
        ("What colour is Ana's car?", "ana", "user"),
        ("What is the return window?", None, "unknown"),
        ("What is my return window?", None, "user"),
        ("Wann liefert ihr die Lampen?", "ana", "unknown"),
        ("What do we know about black holes?", "ana", "perhaps"),
        ("Which organs fill with air when we inhale?", "ana", "perhaps"),
        ("Where do we live?", "ana", "perhaps"),
        ("What is our return window?", None, "perhaps"),
        ("When did we get married?", "ana", "user"),
        ("Where are we going in August?", "ana", "user"),
    ],
)
def test_whom_a_question_speaks_of(question: str, user: str | None, speaks_of: Whose) -> None:
    assert whose(question, ScopeId(user=user)) == speaks_of


def test_no_general_question_is_taken_for_one_about_the_user() -> None:
    asked = [question.text for name in ("questions", "extra_questions") for question in general_questions(name)]
    assert len(asked) == 160
    assert [question for question in asked if whose(question, ANA) == "user"] == []
    assert sum(whose(question, ANA) == "perhaps" for question in asked) == 8
