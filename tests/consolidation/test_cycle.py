"""Whole nights on the fakes: what is taught, promoted, replayed and corrected."""

import itertools
import json

import pytest
from pydantic import TypeAdapter

from seal_agent.adapters.artefact import verify
from seal_agent.consolidation import cycle
from seal_agent.consolidation.bundled import anchor_prompts
from seal_agent.consolidation.evaluation import sample_questions
from seal_agent.errors import TrainingError
from seal_agent.ledger import adapters, fact_history
from seal_agent.testing import ScriptedModel
from seal_agent.types import CycleReport, Progress, silent
from tests.consolidation.brains import ALLERGY, ANA, BASE_SHA256, CAR, DIET, HOME, LISBON, START, Brain, turn


class Writes(ScriptedModel):
    """A model that always says the same when it samples or is asked to write."""

    def __init__(self, line: str) -> None:
        super().__init__(lambda prompt: line if prompt[0].content.startswith("Write one question") else "I don't know.")


def test_a_night_promotes_an_adapter_and_marks_what_it_knows_as_learned(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    report = brain.night()
    assert report.state == "promoted"
    assert brain.live() == report.adapter
    assert set(brain.quotes("learned")) == {DIET, HOME}
    assert {found.learned_by for found in brain.facts()} == {report.adapter}
    assert report.reason == "2 of 2 facts learned"


def test_a_promoted_adapter_is_whole_on_disk_and_answers_with_what_was_taught(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    name = brain.night().adapter
    assert name is not None
    manifest = verify(brain.artefacts / name, BASE_SHA256)
    assert set(manifest.facts) == {found.id for found in brain.facts()}
    assert brain.folders() == [name]
    model = ScriptedModel({})
    model.load_adapter(name, brain.artefacts / name)
    assert "Porto" in model.generate([[turn("Where does Ana live?")]], adapter=name)[0].text
    assert "Porto" not in model.generate([[turn("Where does Ana live?")]])[0].text


def test_the_manifest_says_what_the_adapter_stands_on(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    name = brain.with_parts(tokenizer_sha256="a" * 64, base_revision="c0ffee").night().adapter
    manifest = verify(brain.artefacts / str(name), BASE_SHA256)
    assert (manifest.base_sha256, manifest.tokenizer_sha256, manifest.base_revision) == (BASE_SHA256, "a" * 64, "c0ffee")
    assert "a" * 64 in (brain.artefacts / str(name) / "README.md").read_text()


def test_the_path_of_an_adapter_is_kept_relative_so_that_the_brain_can_be_moved(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    name = brain.night().adapter
    with brain.backends.ledger.read() as conn:
        live = adapters.live_adapter(conn, ANA)
    assert live is not None
    assert live.path.as_posix() == f"adapters/{name}"


def test_the_report_in_the_ledger_is_the_one_returned(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    report = brain.night()
    [row] = brain.cycles()
    assert (row.id, row.state, row.reason) == (report.cycle_id, "promoted", report.reason)
    assert row.report is not None
    assert TypeAdapter(CycleReport).validate_json(row.report) == report
    assert set(report.seconds) == {"select", "facts", "self-edits", "train", "evaluate"}


def test_a_night_without_anything_new_is_skipped_and_trains_nothing(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    first = brain.night()
    second = brain.night()
    assert (second.state, second.reason, second.training) == ("skipped", "nothing new to learn", None)
    assert brain.live() == first.adapter
    assert brain.folders() == [first.adapter]


def test_small_talk_alone_is_read_once_and_skipped(brain: Brain) -> None:
    brain.hear("hi there", "thanks, bye")
    assert brain.night().state == "skipped"
    assert brain.facts() == []
    assert brain.plan().episodes == 0


def test_an_empty_scope_is_skipped(brain: Brain) -> None:
    assert brain.night().state == "skipped"
    assert [row.state for row in brain.cycles()] == ["skipped"]


def test_the_second_night_teaches_the_first_one_s_facts_again(brain: Brain) -> None:
    brain.hear(DIET)
    first = brain.night()
    brain.hear(HOME)
    second = brain.night()
    assert second.state == "promoted", second.reason
    assert second.adapter is not None
    assert DIET in brain.lessons(second.adapter)
    assert HOME in brain.lessons(second.adapter)
    assert {found.learned_by for found in brain.facts(ANA, "learned")} == {second.adapter}
    assert second.evaluation is not None
    assert second.evaluation.incumbent is not None
    assert second.evaluation.incumbent.adapter == first.adapter
    assert [graded.question.fact_id for graded in second.evaluation.candidate.retained] == [
        found.id for found in brain.facts() if found.quote == DIET for _ in range(2)
    ]


def test_a_corrected_fact_leads_to_a_new_adapter_that_no_longer_holds_it(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    first = brain.night()
    brain.hear(LISBON)
    second = brain.night()
    assert second.state == "promoted", second.reason
    assert first.adapter is not None
    assert second.adapter is not None
    assert HOME in brain.lessons(first.adapter)
    assert HOME not in brain.lessons(second.adapter)
    assert brain.quotes("superseded") == [HOME]
    assert LISBON in brain.quotes("learned", "not_learned")


def test_a_fact_that_no_longer_holds_is_a_reason_for_a_night_by_itself(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    first = brain.night()
    brain.reject(HOME)
    second = brain.night()
    assert second.state == "promoted", second.reason
    assert second.adapter != first.adapter
    assert "Porto" not in brain.lessons(str(second.adapter))


def test_after_a_fact_was_forgotten_the_next_night_rebuilds_without_it(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    brain.night()
    brain.forget(HOME)
    assert brain.live() is None
    second = brain.night()
    assert second.state == "promoted", second.reason
    assert "Porto" not in brain.lessons(str(second.adapter))


def test_what_was_forgotten_or_rejected_is_not_drawn_again_from_what_is_said(brain: Brain) -> None:
    brain.hear(DIET, HOME, CAR)
    brain.night()
    brain.forget(HOME)
    brain.reject(CAR)
    brain.hear(f"By the way. {HOME} {CAR}", ALLERGY)
    brain.night()
    assert sorted(brain.quotes("active", "queued", "learned", "not_learned")) == sorted([DIET, ALLERGY])


def test_what_is_pinned_is_not_replaced_by_what_is_said(brain: Brain) -> None:
    brain.hear(HOME)
    brain.night()
    with brain.backends.ledger.write() as conn:
        fact_history.set_pinned(conn, brain.facts()[0].id, True, START)
    brain.hear(LISBON)
    brain.night()
    assert HOME in brain.quotes("learned", "not_learned", "active")


@pytest.mark.parametrize("line", ["", " ", "\n\n", "?", "garbage", "{}}{{", "Sure! Here is a question:", "🙂" * 40, "What? " * 40 + "?"])
def test_a_model_that_writes_nothing_usable_still_trains_on_the_floor(brain: Brain, line: str) -> None:
    brain.hear(DIET, HOME)
    report = brain.with_parts(model=Writes(line)).night()
    assert report.state == "promoted"
    assert not any(kind.startswith("written") for kind in report.self_edits)
    assert (
        sum(count for kind, count in report.self_edits.items() if kind.startswith("refused"))
        == 2 * brain.backends.settings.self_edit.questions_per_fact
    )
    assert sum(count for kind, count in report.self_edits.items() if not kind.startswith("refused")) >= 8


def test_a_model_that_answers_no_anchor_is_held_with_prose_alone(brain: Brain) -> None:
    sampled = {question.text for question in sample_questions()} - set(anchor_prompts())
    brain.hear(DIET, HOME)
    assert (
        brain.with_parts(model=ScriptedModel(lambda prompt: "It is fine." if prompt[-1].content in sampled else "")).night().state
        == "promoted"
    )


def test_what_a_model_that_answers_nothing_at_all_has_learnt_can_t_be_judged(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    report = brain.with_parts(model=ScriptedModel(lambda _: "")).night()
    assert report.state == "rejected"
    assert "divergence from the base was not measured" in report.reason


def test_a_question_that_the_model_writes_well_is_taught(brain: Brain) -> None:
    brain.hear(HOME)
    report = brain.with_parts(model=Writes("Do I live in Porto?")).night()
    assert report.self_edits["written question"] == 1
    assert "Do I live in Porto?" in brain.lessons(str(report.adapter))


def test_material_stays_within_the_limit_however_much_the_model_writes(brain: Brain) -> None:
    brain.hear(HOME)
    words = itertools.cycle(["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"])
    model = ScriptedModel(lambda prompt: f"Do I live in Porto {next(words)} {next(words)}?")
    limited = {"questions_per_fact": 20, "max_documents_per_fact": 4, "min_documents_per_fact": 1}
    report = brain.with_parts(model=model).with_settings(self_edit=limited).night()
    assert [outcome.documents for outcome in report.facts] == [4]


def test_episodes_and_facts_that_come_while_it_trains_belong_to_the_next_night(brain: Brain) -> None:
    brain.hear(DIET)
    late: list[str] = []

    def talk(step: Progress) -> None:
        if step.stage == "train" and not late:
            late.append(brain.hear(HOME).id)
            brain.state(CAR)

    first = brain.night(progress=talk)
    assert [outcome.text for outcome in first.facts] == [f"Ana said: {DIET}"]
    assert CAR in brain.quotes("active")
    assert HOME not in brain.quotes()
    second = brain.night()
    assert {HOME, CAR} <= set(brain.quotes("learned", "not_learned"))
    assert len(second.facts) == 3


def test_a_fact_forgotten_while_it_is_taught_is_not_promoted(brain: Brain) -> None:
    brain.hear(DIET, HOME)

    def regret(step: Progress) -> None:
        if step.stage == "evaluate" and HOME in brain.quotes():
            brain.forget(HOME)

    with pytest.raises(TrainingError, match="forgotten"):
        brain.night(progress=regret)
    assert brain.live() is None
    assert brain.folders() == []
    second = brain.night()
    assert second.state == "promoted", second.reason
    assert "Porto" not in brain.lessons(str(second.adapter))


def test_news_below_the_least_number_waits_unread_and_what_must_be_unlearnt_does_not(brain: Brain) -> None:
    brain.hear(DIET)
    few = cycle.Terms(min_new_facts=2)
    report = cycle.consolidate(brain.backends, ANA, progress=silent, should_stop=lambda: False, clock=lambda: START, terms=few)
    assert (report.state, report.reason) == ("skipped", "fewer than 2 new facts (nights.min_new_facts); they wait")
    assert brain.plan().episodes == 1
    assert brain.night().state == "promoted"
    brain.reject(DIET)
    report = cycle.consolidate(brain.backends, ANA, progress=silent, should_stop=lambda: False, clock=lambda: START, terms=few)
    assert "left to teach" in report.reason


@pytest.mark.parametrize("damage", [b"", b"{", b"[1, 2]", b'{"replies": [], "perplexity": 1.0}', b'{"replies": ["a"], "perplexity": NaN}'])
def test_a_damaged_cache_is_made_anew(brain: Brain, damage: bytes) -> None:
    brain.hear(DIET)
    whole = brain.night().evaluation
    kept = [*(brain.backends.folder / "cache").glob("general-*.json"), *(brain.backends.folder / "cache").glob("anchors-*.json")]
    assert len(kept) == 2
    before = [file.read_bytes() for file in kept]
    for file in kept:
        file.write_bytes(damage)
    brain.hear(HOME)
    evaluation = brain.night().evaluation
    assert whole is not None
    assert evaluation is not None
    assert evaluation.baseline.perplexity == whole.baseline.perplexity
    general, anchors = (file.read_bytes() for file in kept)
    assert general == before[0]
    assert json.loads(before[1]).items() <= json.loads(anchors).items()  # a night with more facts asks for more of them
