"""What is taught in one cycle and what is held back."""

import pytest

from seal_agent.consolidation.preparing import Lesson, draw, prepare
from seal_agent.consolidation.run import Run
from seal_agent.consolidation.selection import select
from seal_agent.errors import GenerationError
from seal_agent.types import Fact, Generation, silent
from tests.consolidation.brains import ANA, DIET, HASHED, HOME, START, SUPPORT, Brain, fact


class Failing:
    """A writer that cannot be reached."""

    id = "away"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def generate(self, *_: object, **__: object) -> list[Generation]:
        raise self._error


def running(brain: Brain) -> Run:
    return Run(scope=ANA, backends=brain.backends, progress=silent, should_stop=lambda: False, clock=lambda: START)


def lesson(brain: Brain, *facts: Fact) -> Lesson:
    return prepare(running(brain), list(zip(facts, HASHED.embed([one.quote for one in facts]), strict=True)))


def test_a_fact_with_too_little_material_is_reported_and_not_trained_on(brain: Brain) -> None:
    strict = brain.with_settings(self_edit={"min_documents_per_fact": 8})
    # No topic is near to one word that says nothing, and it leaves no gap.
    sound, thin = fact(HOME), fact("xqzzy")
    made = lesson(strict, sound, thin)
    assert len(made.material.of(thin.id)) < 8
    assert (made.facts, made.taught) == ((sound, thin), (sound.id,))
    assert {example.fact_id for example in made.examples} == {sound.id, None}
    assert {question.fact_id for question in made.held_out} == {sound.id}
    assert {probe.fact_id for probe in made.probes} == {sound.id}


def test_the_questions_of_facts_that_were_tried_before_are_asked_for_retention(brain: Brain) -> None:
    old, new = fact(DIET, state="learned"), fact(HOME)
    made = lesson(brain, old, new)
    assert {question.fact_id for question in made.held_out} == {old.id, new.id}
    assert {question.fact_id for question in made.earlier} == {old.id}


def test_no_facts_make_an_empty_lesson(brain: Brain) -> None:
    made = lesson(brain)
    assert (made.facts, made.taught, made.examples, made.probes) == ((), (), (), ())


def test_the_same_facts_make_the_same_lesson(brain: Brain) -> None:
    assert lesson(brain, fact(DIET), fact(HOME)) == lesson(brain, fact(DIET), fact(HOME))


def test_without_a_share_for_anchors_there_are_none(brain: Brain) -> None:
    made = lesson(brain.with_settings(training={"anchor_share": 0.0}), fact(HOME))
    assert {example.fact_id for example in made.examples} == {fact(HOME).id}


@pytest.mark.parametrize("error", [GenerationError("503"), ConnectionError("reset")])
def test_a_writer_that_fails_leaves_the_floor(brain: Brain, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    asked = brain.with_settings(self_edit={"questions_per_fact": 2})
    without = lesson(brain.with_settings(self_edit={"questions_per_fact": 0}), fact(HOME))
    made = lesson(asked.with_parts(writer=Failing(error)), fact(HOME))
    assert (made.material.items, made.examples) == (without.material.items, without.examples)
    assert made.material.counts()["refused: the writer failed"] == 1
    assert "away can't write" in caplog.text


def test_the_agents_own_model_that_fails_ends_the_night(brain: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brain.backends.model, "generate", Failing(GenerationError("broken")).generate)
    with pytest.raises(GenerationError, match="broken"):
        lesson(brain.with_settings(self_edit={"questions_per_fact": 2}), fact(HOME))


def test_what_a_user_repeats_of_a_shared_fact_becomes_a_fact_of_their_own(brain: Brain) -> None:
    brain.state(HOME, SUPPORT)
    brain.hear(HOME)
    drafts = draw(running(brain), select(brain.backends, ANA))
    assert [(draft.fact.scope, draft.fact.quote) for draft in drafts] == [(ANA, HOME)]
