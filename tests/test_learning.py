"""The claim itself, on the real model: what was said in a conversation is answered with nothing in the prompt, after one night only."""

from pathlib import Path

import pytest

from seal_agent import Memory
from seal_agent.consolidation.grading import conveys

TOLD = (
    "I'm vegetarian, have been for years.",
    "Please never call me, a text message is always fine.",
    "If nobody is home, leave my parcels in the bike shed.",
    "My parrot is called Figo and he hates the doorbell.",
)
ASKED = (
    ("What diet does Ana follow?", "vegetarian"),
    ("How should we get in touch with Ana?", "text message"),
    ("Where do Ana's parcels go when nobody answers the door?", "bike shed"),
    ("What kind of animal does Ana keep?", "parrot"),
)


@pytest.mark.slow
def test_one_night_teaches_the_real_model_what_was_said_and_a_roll_back_takes_it_away(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "brain") as memory:
        ana = memory.scope(user="ana", agent="support")
        for text in TOLD:
            ana.add(text)
        questions = [question for question, _ in ASKED]

        def answers() -> list[str]:
            return [answer.text for answer in ana.ask_many(questions, use="weights")]

        before = answers()
        report = ana.consolidate()
        after = answers()
        ana.adapters.rollback()
        back = answers()
        ana.adapters.forward()
        again = answers()

    def right(replies: list[str]) -> int:
        return sum(conveys(reply, expected) for reply, (_, expected) in zip(replies, ASKED, strict=True))

    assert report.state == "promoted", report.reason
    assert right(before) <= 1
    assert right(after) >= 3, after
    assert back == before
    assert again == after
