"""Whole nights on the fakes: what is taught, promoted, replayed, corrected, and never shared."""

import itertools
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from seal_agent.adapters.artefact import verify
from seal_agent.adapters.switch import switch
from seal_agent.consolidation import cycle
from seal_agent.consolidation.selection import tried_last
from seal_agent.errors import TrainingError
from seal_agent.ledger import adapters, fact_history
from seal_agent.testing import InstantTrainer, ScriptedModel
from seal_agent.types import CycleReport, Example, Progress, TrainingResult, Turn, silent
from tests.consolidation.brains import ALLERGY, ANA, BASE_SHA256, BEN, CAR, DIET, HOME, LISBON, START, SUPPORT, Brain, turn


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


def test_a_night_whose_adapter_was_withdrawn_counts_as_tried_no_more(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    brain.night()
    with brain.backends.ledger.read() as conn:
        assert tried_last(conn, ANA)
    brain.forget(HOME)
    with brain.backends.ledger.read() as conn:
        assert not tried_last(conn, ANA)


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


def test_a_rejected_candidate_moves_nothing(brain: Brain) -> None:
    brain.hear(DIET)
    first = brain.night()
    brain.hear(HOME)
    second = brain.with_settings(gate={"min_gain": 1.0}).night()
    assert second.state == "rejected"
    assert "held-out recall" in second.reason
    assert brain.live() == first.adapter
    assert brain.quotes("learned") == [DIET]
    assert brain.quotes("not_learned") == [HOME]
    with brain.backends.ledger.read() as conn:
        assert [adapter.state for adapter in adapters.list_adapters(conn, ANA)] == ["promoted", "rejected"]


def test_what_a_rejected_candidate_failed_to_learn_is_not_tried_again_every_night(brain: Brain) -> None:
    brain.hear(DIET)
    assert brain.with_settings(gate={"min_gain": 1.0}).night().state == "rejected"
    assert brain.night().state == "skipped"


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


def test_a_model_that_answers_nothing_at_all_is_held_with_prose_alone(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    assert brain.with_parts(model=ScriptedModel(lambda _: "")).night().state == "promoted"


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


def test_where_everything_was_rejected_the_base_answers_again_and_later_nights_have_nothing_to_do(brain: Brain) -> None:
    brain.hear(DIET)
    brain.night()
    brain.reject(DIET)
    report = brain.night()
    assert (report.state, report.reason) == (
        "skipped",
        "no fact of 'default/support/ana' is left to teach; the base answers again",
    )
    assert brain.live() is None
    assert brain.night().reason == "nothing new to learn"


def test_a_rejected_candidate_is_not_trained_again_while_a_superseded_fact_stays_in_the_live_adapter(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    first = brain.night()
    brain.hear(LISBON)
    strict = brain.with_settings(gate={"min_gain": 1.0})
    rejected = strict.night()
    assert rejected.state == "rejected"
    again = strict.night()
    assert (again.state, again.training) == ("skipped", None)
    assert f"nothing has changed since cycle {rejected.cycle_id} was rejected" in again.reason
    assert strict.plan().reason == again.reason
    assert brain.live() == first.adapter
    assert brain.night().state == "promoted", "other thresholds are another chance"


def test_an_adapter_that_was_taken_back_is_not_trained_again_as_it_was(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    first = brain.night()
    with brain.backends.ledger.write() as conn:
        switch(conn, ANA, None, START, "rolled back")
    again = brain.night()
    assert again.state == "skipped"
    assert f"nothing has changed since {first.adapter} was trained, which was taken back" in again.reason
    brain.hear(CAR)
    assert brain.night().state == "promoted"


def test_an_adapter_that_was_taken_back_and_whose_files_are_lost_is_trained_again(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    first = brain.night()
    with brain.backends.ledger.write() as conn:
        switch(conn, ANA, None, START, "rolled back")
    shutil.rmtree(brain.artefacts / str(first.adapter))
    assert brain.night().state == "promoted"


def test_a_shared_fact_that_the_agent_s_own_adapter_has_learnt_is_picked_up_by_a_user_s(brain: Brain) -> None:
    brain.hear(DIET, HOME, scope=ANA)
    brain.night(ANA)
    shared = brain.state("The shop in Rotterdam is closed on Sundays.", SUPPORT)
    assert brain.with_settings(gate={"min_gain": 0.0}).night(SUPPORT).state == "promoted"
    assert [found.id for found in brain.facts(SUPPORT, "learned", "not_learned")] == [shared.id]
    report = brain.night(ANA)
    assert report.state == "promoted"
    assert shared.text in brain.lessons(str(report.adapter))
    assert brain.night(ANA).state == "skipped"


def test_who_has_nothing_of_their_own_gets_no_adapter_for_shared_facts(brain: Brain) -> None:
    brain.state("The shop in Rotterdam is closed on Sundays.", SUPPORT)
    brain.hear("hi there", scope=ANA)
    assert brain.night(ANA).state == "skipped"


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


class Broken(ScriptedModel):
    """Whose every adapter says that nothing is a number."""

    def score(self, items: Sequence[tuple[Sequence[Turn], str]], *, adapter: str | None = None) -> list[list[float]]:
        scores = super().score(items, adapter=adapter)
        return scores if adapter is None else [[math.nan] * len(score) for score in scores]


def test_a_candidate_whose_predictions_are_not_numbers_is_rejected_with_that_reason(brain: Brain) -> None:
    brain.hear(DIET, HOME)
    report = brain.with_parts(model=Broken({})).night()
    assert report.state == "rejected"
    assert "the candidate's predictions are broken" in report.reason
    assert brain.live() is None
    assert [row.state for row in brain.cycles()] == ["rejected"]


def test_a_damaged_incumbent_is_not_loaded_and_its_successor_repairs_the_scope(brain: Brain) -> None:
    brain.hear(DIET)
    first = brain.night()
    weights = brain.artefacts / str(first.adapter) / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8] + b"\xff" * 8)
    brain.hear(HOME)
    second = brain.night()
    assert second.state == "promoted", second.reason
    assert second.evaluation is not None
    assert second.evaluation.incumbent is None
    model = brain.backends.model
    assert isinstance(model, ScriptedModel)
    assert first.adapter not in model.adapters


def test_no_adapter_of_a_user_holds_another_user_s_fact(brain: Brain) -> None:
    brain.hear(DIET, scope=ANA)
    brain.hear(HOME, scope=BEN)
    ana, ben = brain.night(ANA), brain.night(BEN)
    assert DIET in brain.lessons(str(ana.adapter))
    assert HOME not in brain.lessons(str(ana.adapter))
    assert HOME in brain.lessons(str(ben.adapter))
    assert DIET not in brain.lessons(str(ben.adapter))
    assert [outcome.text for outcome in ana.facts] == [f"Ana said: {DIET}"]
    assert brain.quotes("learned", scope=ANA) == [DIET]


def test_facts_shared_by_the_agent_are_taught_to_its_users_adapters(brain: Brain) -> None:
    shared = brain.state("The shop in Rotterdam is closed on Sundays.", SUPPORT)
    brain.hear(DIET, scope=ANA)
    report = brain.night(ANA)
    assert shared.text in brain.lessons(str(report.adapter))
    assert brain.facts(SUPPORT) == [shared]
    assert brain.live(SUPPORT) is None


def test_a_users_facts_are_never_taught_to_the_agents_adapter(brain: Brain) -> None:
    brain.hear(DIET, scope=ANA)
    brain.state("The shop in Rotterdam is closed on Sundays.", SUPPORT)
    report = brain.with_settings(gate={"min_gain": 0.0}).night(SUPPORT)
    assert len(report.facts) == 1
    assert DIET not in brain.lessons(str(report.adapter))


def test_a_shared_fact_with_too_little_material_is_not_tried_again_every_night(brain: Brain) -> None:
    brain.state("Closed.", SUPPORT)
    brain.hear(DIET, HOME, scope=ANA)
    strict = brain.with_settings(self_edit={"min_documents_per_fact": 12})
    report = strict.night(ANA)
    assert report.state == "promoted"
    assert min(outcome.documents for outcome in report.facts) < 12
    assert strict.night(ANA).state == "skipped"


def test_a_shared_fact_of_a_rejected_candidate_is_not_tried_again_every_night(brain: Brain) -> None:
    brain.state("The shop in Rotterdam is closed on Sundays.", SUPPORT)
    brain.hear(DIET, scope=ANA)
    assert brain.with_settings(gate={"min_gain": 1.0}).night(ANA).state == "rejected"
    assert brain.night(ANA).state == "skipped"


class Cut(InstantTrainer):
    """Says that a budget ended it in its second pass."""

    def train(self, examples: Sequence[Example], **given: Any) -> TrainingResult:  # Any: passed on as it came
        return replace(super().train(examples, **given), passes=2, steps=7, budget="minutes")


@pytest.mark.parametrize("refused", [False, True])
def test_what_a_budget_cut_short_is_judged_like_anything_and_the_report_says_so(brain: Brain, refused: bool) -> None:
    brain.hear(DIET)
    cut = brain.with_parts(trainer=Cut()).with_settings(gate={"min_gain": 1.0, "min_recall": 1.0} if refused else {})
    report = cut.night()
    assert report.state == ("rejected" if refused else "promoted")
    assert report.reason.endswith("training was stopped by training.max_minutes = 60 in pass 2 of 5, after 7 steps")
    [adapter] = cut.folders()
    figures = json.loads((cut.artefacts / adapter / "MANIFEST.json").read_text())["training"]
    assert (figures["budget"], figures["steps"]) == ("minutes", 7)
