"""A round of practice on the fakes: what wins, who is trained on it, who writes from then on, and what a killed round keeps."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from seal_agent.consolidation import outer_loop
from seal_agent.consolidation.checkpoint import discard
from seal_agent.consolidation.contexts import Context, contexts_of
from seal_agent.consolidation.editor import NAME, editor_of, policy_of, writing
from seal_agent.consolidation.policies import POLICIES
from seal_agent.consolidation.practising import PRACTICE
from seal_agent.consolidation.round_report import RoundReport
from seal_agent.errors import CycleInterruptedError, GradingError, TrainingError, UsageError
from seal_agent.ledger import adapters, cycles, skills
from seal_agent.testing import InstantTrainer, ScriptedModel
from seal_agent.types import Example, Generation, Progress, TrainingResult, Turn, silent
from tests.consolidation.brains import ANA, START, Brain

SAID = (
    "I've been vegan since 2011.",
    "I live in Porto.",
    "I drive a Skoda Octavia.",
    "I'm allergic to penicillin.",
    "My sister is called Marta.",
    "I work as a court interpreter.",
    "I keep a parrot named Figo.",
    "My birthday is in March.",
)
SMALL = {"facts_per_context": 2, "contexts": 2, "unseen": 2, "self_edits": 2, "repeats": 2, "at_once": 1}
ASKED: dict[str, str] = {}


class Author(ScriptedModel):
    """The base asks after what was said, in other words each time; an editor asks what is going to be asked."""

    def __init__(self, contexts: dict[str, str]) -> None:
        super().__init__({})
        self.asked = contexts

    def generate(self, prompts: Sequence[Sequence[Turn]], *, adapter: str | None = None, **given: Any) -> list[Generation]:
        if not prompts or not prompts[0][0].content.startswith("Write one question"):
            return super().generate(prompts, adapter=adapter, **given)
        lines = []
        for place, prompt in enumerate(prompts):
            quote = prompt[-1].content.partition(": ")[2].rstrip(".")
            start = ("Why", "Which", "Really", "Where is it that", "Since when")[(place + int(given.get("seed", 0))) % 5]
            lines.append(f"{start} {quote}?" if adapter is None else f"{start} {quote}, {self.asked.get(quote, '')}?")
        return [Generation(text=line, tokens=len(line.split())) for line in lines]


class CountingTrainer(InstantTrainer):
    def __init__(self) -> None:
        super().__init__()
        self.runs: list[tuple[Example, ...]] = []

    def train(self, examples: Sequence[Example], **given: Any) -> TrainingResult:
        self.runs.append(tuple(examples))
        return super().train(examples, **given)


@pytest.fixture
def full(brain: Brain) -> Brain:
    """Eight facts, settings for a round of seconds, and a model whose editor would help."""
    for text in SAID:
        brain.state(text)
    small = brain.with_settings(practice=SMALL)
    if not ASKED:  # looked up once for all tests
        ASKED.update(asked_of(small))
    return small.with_parts(model=Author(ASKED), trainer=CountingTrainer())


def asked_of(brain: Brain) -> dict[str, str]:
    """What each fact is going to be asked by, by its quote."""
    return {fact.quote.rstrip("."): question for part in parts(brain) for one in part for fact, question in questions_of(one)}


def parts(brain: Brain) -> tuple[list[Context], list[Context]]:
    return contexts_of(brain.backends, ANA, brain.backends.settings.practice, 0)


def questions_of(context: Context) -> list[tuple[Any, str]]:
    by_id = {question.fact_id: question.text.rstrip("?") for question in context.questions}
    return [(fact, by_id[fact.id]) for fact in context.facts if fact.id in by_id]


def hold(brain: Brain, **given: Any) -> RoundReport:
    calls = {"progress": silent, "should_stop": lambda: False, "clock": lambda: START} | given
    return outer_loop.practise(brain.backends, ANA, **calls)


def loops(brain: Brain) -> int:
    trainer = brain.backends.trainer
    assert isinstance(trainer, CountingTrainer)
    return len(trainer.runs)


def test_contexts_to_judge_on_share_no_fact_with_those_practised_on(full: Brain) -> None:
    seen, unseen = parts(full)
    assert (len(seen), len(unseen)) == (2, 1)
    assert not {f.id for c in seen for f in c.facts} & {f.id for c in unseen for f in c.facts}
    assert [one.id for one in parts(full)[0]] == [one.id for one in seen]


def test_a_round_rewards_every_self_edit_in_split_repeats_and_reports_both_halves(full: Brain) -> None:
    report = hold(full)
    assert len(report.tried) == 4
    assert all(one.choosing is not None and one.reporting is not None and one.written for one in report.tried)
    assert {one.policy for one in report.tried} == set(POLICIES[:2])
    assert loops(full) == 4 * 2 + 1 + 1 * 2 * 2  # inner loops, the editor, both writers on the unseen context
    assert set(report.policies) == {policy.text for policy in POLICIES[:2]}


@pytest.mark.slow
def test_the_editor_is_trained_on_the_written_lines_of_the_winners_alone(full: Brain) -> None:
    hold(full)
    trainer = full.backends.trainer
    assert isinstance(trainer, CountingTrainer)
    editor = trainer.runs[8]
    lines = [example for example in editor if example.fact_id is not None]
    seen, _ = parts(full)
    assert {example.fact_id for example in lines} <= {fact.id for one in seen for fact in one.facts}
    assert all(example.prompt[0].content.startswith("Write one question") and example.answer.endswith("?") for example in lines)


@pytest.mark.slow
def test_one_unseen_context_is_too_few_to_promote_on(full: Brain) -> None:
    report = hold(full)
    assert report.state == "rejected"
    assert "judged on 1 contexts (at least 2)" in report.reason
    assert editor_of(full.backends, ANA) is None


@pytest.fixture
def more(full: Brain) -> Brain:
    """Facts one by one, so that there are contexts enough to judge on."""
    return full.with_settings(practice=SMALL | {"facts_per_context": 1})


def test_an_editor_that_helps_on_unseen_contexts_writes_from_then_on(more: Brain) -> None:
    report = hold(more)
    assert report.state == "promoted", report.reason
    editor = editor_of(more.backends, ANA)
    assert editor is not None
    assert (editor.name, editor.live) == (report.editor, False)
    with writing(more.backends, ANA) as writer:
        assert writer.adapter is not None
        assert writer.prompts == report.policy.asked_with
    assert more.live() is None
    second = hold(more)
    assert (second.round, second.writer) == (2, editor.name)


@pytest.mark.slow
def test_a_night_writes_with_the_editor_and_learns_its_facts_as_ever(more: Brain) -> None:
    hold(more)
    asked: list[str | None] = []
    author = more.backends.model
    assert isinstance(author, Author)
    said = author.generate

    def listen(prompts: Sequence[Sequence[Turn]], *, adapter: str | None = None, **given: Any) -> list[Generation]:
        if prompts and prompts[0][0].content.startswith("Write one question"):
            asked.append(adapter)
        return said(prompts, adapter=adapter, **given)

    author.generate = listen  # type: ignore[method-assign]  # to see who is asked
    report = more.night()
    assert report.facts
    assert asked
    assert all(adapter is not None and adapter.startswith("writing-") for adapter in asked)
    assert author.adapters == ()


@pytest.mark.slow
def test_the_policy_that_won_is_kept_even_without_an_editor(full: Brain) -> None:
    report = hold(full)
    assert policy_of(full.backends, ANA) == report.policy
    hold(full)
    with full.backends.ledger.read() as conn:
        assert len(skills.attempts_of(conn, ANA, "policy", "policy")) == 1


@pytest.mark.parametrize(
    "after", [pytest.param(3, marks=pytest.mark.slow), 7, *(pytest.param(n, marks=pytest.mark.slow) for n in (13, 20))]
)
def test_a_round_that_was_stopped_goes_on_and_runs_no_inner_loop_twice(full: Brain, after: int) -> None:
    whole = hold(full)
    expected = loops(full)
    again = full.with_parts(trainer=CountingTrainer())
    for file in (again.backends.folder / PRACTICE).iterdir():
        file.unlink()
    seen: list[Progress] = []
    with pytest.raises(CycleInterruptedError):
        hold(again, progress=seen.append, should_stop=lambda: len(seen) > after)
    assert not list((full.backends.folder / "adapters").glob(".stage-*"))
    resumed = hold(again)
    assert loops(again) <= expected + 2  # at most the one that was stopped, and the editor, begin anew
    assert len(resumed.tried) == len(whole.tried)


@pytest.mark.slow
def test_inner_loops_at_the_same_time_come_to_the_same(full: Brain) -> None:
    one = hold(full)
    for file in (full.backends.folder / PRACTICE).iterdir():
        file.unlink()
    several = hold(full.with_settings(practice=SMALL | {"at_once": 3}))
    assert (several.tried, several.judged) == (one.tried, one.judged)


@pytest.mark.slow
def test_a_damaged_page_of_the_notebook_is_made_anew(full: Brain) -> None:
    hold(full)
    before = loops(full)
    for file in (full.backends.folder / PRACTICE).iterdir():
        if "gain" in json.loads(file.read_text()):
            file.write_text("{oops")
            break
    hold(full)
    assert loops(full) <= before + 1 + 1 + 4  # that one, the editor, and its own judgement


@pytest.mark.slow
def test_a_cheap_reward_trains_nothing_to_choose(full: Brain) -> None:
    report = hold(full.with_settings(practice=SMALL | {"reward": "coverage"}))
    assert all(one.reporting is None for one in report.tried)
    assert all(0.0 < (one.choosing or 0.0) <= 1.0 for one in report.tried)
    assert loops(full) == 1 + 4


def test_a_judge_without_a_mark_is_an_error_and_no_mark_of_zero(full: Brain) -> None:
    with pytest.raises(GradingError, match="gave no self-edit a mark"):
        hold(full.with_settings(practice=SMALL | {"reward": "judge"}))


def test_too_few_facts_are_named_with_the_setting(brain: Brain) -> None:
    brain.state(SAID[0])
    with pytest.raises(UsageError, match=r"holds 1 facts .* practice needs 9.*facts_per_context=3"):
        hold(brain)


def test_the_budget_ends_a_round_in_order(full: Brain) -> None:
    with pytest.raises(CycleInterruptedError, match="goes on from there"):
        hold(full.with_settings(practice=SMALL | {"max_minutes": 1e-9}))


@pytest.mark.slow
def test_where_the_model_writes_nothing_of_use_no_editor_is_trained(full: Brain) -> None:
    report = hold(full.with_parts(model=ScriptedModel({})))
    assert (report.state, report.editor) == ("skipped", None)
    assert "nothing that the model wrote" in report.reason


@pytest.mark.slow
def test_what_was_forgotten_meanwhile_is_not_promoted(more: Brain) -> None:
    seen, _ = parts(more)

    def forget(progress: Progress) -> None:
        if progress.stage == "judge: inner loops" and progress.done == progress.total:
            for one in seen:
                more.forget(one.facts[0].quote)

    with pytest.raises(TrainingError, match="forgotten meanwhile"):
        hold(more, progress=forget)


@pytest.mark.slow
def test_forgetting_a_fact_withdraws_the_editor_that_was_taught_it(more: Brain) -> None:
    report = hold(more)
    assert report.editor is not None
    with more.backends.ledger.read() as conn:
        taught = adapters.get_adapter(conn, report.editor).fact_ids
    quote = next(fact.quote for fact in more.facts() if fact.id in taught)
    more.forget(quote)
    assert editor_of(more.backends, ANA) is None


def test_whoever_forgets_leaves_nothing_of_the_notebook(full: Brain) -> None:
    hold(full)
    assert any((full.backends.folder / PRACTICE).iterdir())
    discard(full.backends.ledger, full.backends.folder, ANA)
    assert not (full.backends.folder / PRACTICE).exists()


@pytest.mark.slow
def test_practice_is_no_cycle_that_learnt_facts(more: Brain) -> None:
    hold(more)
    with more.backends.ledger.read() as conn:
        assert cycles.last_report(conn, ANA) is None
        assert skills.find_skill(conn, ANA, "editor", NAME) is not None
