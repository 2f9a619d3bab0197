"""What is held out to judge by is never trained on."""

from dataclasses import replace

import pytest

from seal_agent.consolidation.asking import Asked, Topics
from seal_agent.consolidation.preparing import prepare
from seal_agent.consolidation.questions import hold_out, set_apart, without_leaks
from seal_agent.consolidation.run import Run
from seal_agent.consolidation.self_edit import LEAK, overlap
from seal_agent.testing import ScriptedModel
from seal_agent.types import Question, SelfEdit, silent
from tests.consolidation.brains import ALLERGY, ANA, CAR, DIET, HASHED, HOME, START, Brain, fact

QUOTES = (DIET, HOME, CAR, ALLERGY, "I play the bassoon.", "My boss is called Henrike.", "I have a cat called Pixel.")


def asked(count: int) -> list[Asked]:
    return [Asked(third=f"third {n}", first=f"first {n}", topic="t", similarity=1.0) for n in range(count)]


@pytest.mark.parametrize(("ways", "expected"), [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2), (14, 2)])
def test_at_least_two_ways_to_ask_stay_for_training(ways: int, expected: int) -> None:
    questions, rest = hold_out(fact(HOME), asked(ways), 2)
    assert len(questions) == expected
    assert len(rest) == ways - expected
    assert len(rest) >= min(ways, 2)


def test_what_is_held_out_is_taken_in_both_persons_and_leaves_training_in_both() -> None:
    questions, rest = hold_out(fact(HOME), asked(6), 2)
    assert [question.text for question in questions] == ["third 1", "first 4"]
    assert [way.third for way in rest] == ["third 0", "third 2", "third 3", "third 5"]


def test_a_held_out_question_knows_its_fact_and_what_is_taught_as_its_answer() -> None:
    [question, _], _ = hold_out(fact(HOME), asked(6), 2)
    assert (question.fact_id, question.reference, question.answers) == (fact(HOME).id, f"Ana said: {HOME}", (HOME,))


def test_what_is_graded_of_a_long_quote_is_in_the_user_s_own_words() -> None:
    quote = " ".join(f"word{n}" for n in range(60))
    [question, _], _ = hold_out(fact(quote), asked(6), 2)
    assert all(quote.startswith(answer) and len(answer.split()) >= 8 for answer in question.answers)


def test_nothing_is_held_out_when_nothing_is_to_be() -> None:
    assert hold_out(fact(HOME), asked(6), 0) == ([], asked(6))


def test_what_training_stops_by_is_what_is_held_out_in_the_other_person() -> None:
    questions = set_apart(fact(HOME), asked(6), 2)
    assert [question.text for question in questions] == ["first 1", "third 4"]
    assert all(question.reference == fact(HOME).text for question in questions)
    assert set_apart(fact(HOME), asked(2), 2) == []


def test_what_is_the_same_in_both_persons_judges_and_training_does_not_stop_by_it() -> None:
    ways = [replace(way, first=way.third) for way in asked(6)]
    assert set_apart(fact(HOME), ways, 2) == []


def test_material_in_nearly_the_same_words_is_dropped() -> None:
    held = [Question(id="q", text="Which city does Ana live in?", answers=("Porto",))]

    def item(prompt: str) -> SelfEdit:
        return SelfEdit(fact_id="f", kind="question", prompt=prompt, answer="a", writer="floor")

    kept = without_leaks([item("which city does ana live in"), item("What city does Ana love?"), item("Where is home?")], held)
    assert [one.prompt for one in kept] == ["What city does Ana love?", "Where is home?"]


def test_nothing_held_out_is_in_what_is_trained_on(brain: Brain) -> None:
    facts = [fact(quote) for quote in QUOTES]
    told = list(zip(facts, HASHED.embed(QUOTES), strict=True))
    leaky = brain.with_parts(model=ScriptedModel(lambda prompt: prompt[-1].content.replace("Ana: ", "").rstrip(".") + "?"))
    run = Run(scope=ANA, backends=leaky.backends, progress=silent, should_stop=lambda: False, clock=lambda: START)
    lesson = prepare(run, told)
    assert len(lesson.held_out) >= len(QUOTES)
    taught = [example.prompt[-1].content for example in lesson.examples if example.fact_id is not None]
    assert len(taught) > 4 * len(QUOTES)
    stops_by = [probe.prompt[-1].content for probe in lesson.probes]
    assert len(stops_by) >= len(QUOTES)
    unseen = [*stops_by, *(question.text for question in lesson.held_out)]
    assert max(overlap(question, prompt) for question in unseen for prompt in taught) < LEAK
    assert len(set(unseen)) == len(unseen), "what training stops by judges nothing"


def test_a_model_that_guesses_the_held_out_questions_is_refused(brain: Brain, topics: Topics) -> None:
    [ways] = topics.questions([fact(HOME)], 14)
    questions, _ = hold_out(fact(HOME), ways, 2)
    guess = brain.with_parts(model=ScriptedModel(lambda _: f"{questions[0].text[:-1]} Porto?"))
    run = Run(scope=ANA, backends=guess.backends, progress=silent, should_stop=lambda: False, clock=lambda: START)
    lesson = prepare(run, [(fact(HOME), HASHED.embed([HOME])[0])])
    assert lesson.material.refused == {"leaks a held-out question": brain.backends.settings.self_edit.questions_per_fact}
