"""The local grader: no network, no model, the same verdict every time.

A short accepted answer must occur in the reply as a phrase. A long one (a whole quote) counts as conveyed when most of its content words
are there. It does not understand paraphrases, replies of the trained model rarely need it; nor does it count what else a reply says,
because whoever asks limits its length.
"""

import re

from seal_agent.consolidation.sentences import content_words
from seal_agent.errors import GradingError
from seal_agent.types import Graded, Question

LONG_ANSWER = 5
"""Content words from which an answer is judged by coverage instead of as a phrase."""
COVERAGE = 0.6


class PhraseGrader:
    """Implements `seal_agent.protocols.Grader`."""

    def grade(self, question: Question, reply: str) -> Graded:
        if not question.answers:
            raise GradingError(f"Question {question.id!r} has no accepted answer; it can't be judged.")
        correct = any(conveys(reply, answer) for answer in question.answers)
        stale = not correct and any(conveys(reply, answer) for answer in question.stale)
        return Graded(question=question, reply=reply, correct=correct, stale=stale)


def conveys(reply: str, answer: str) -> bool:
    """Whether a reply holds an accepted answer."""
    wanted = content_words(answer)
    if len(wanted) < LONG_ANSWER:
        phrase = plain(answer)
        return bool(phrase) and f" {phrase} " in f" {plain(reply)} "
    said = set(content_words(reply))
    return sum(word in said for word in wanted) / len(wanted) >= COVERAGE


def plain(text: str) -> str:
    """Lower case, punctuation away, single spaces."""
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())
