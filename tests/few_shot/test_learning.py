"""A task is learnt, kept under its name, run, learnt again and dropped; what is no use is refused and leaves nothing behind."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from seal_agent.config import FewShotSettings, Settings, TrainingSettings
from seal_agent.errors import CycleInterruptedError, IntegrityError, InvalidTaskError, TrainingError, UnknownRecordError, UsageError
from seal_agent.few_shot import learning
from seal_agent.few_shot.recipe import by_hand
from seal_agent.few_shot.records import TaskReport
from seal_agent.few_shot.reward import split
from seal_agent.few_shot.task import to_task
from seal_agent.memory import Memory
from seal_agent.testing import InstantTrainer, ScriptedModel
from seal_agent.types import Example, Progress, TrainingResult, Turn, silent
from tests.brains import open_brain

PAIRS = [
    *[(f"please refund my {thing} money", "refund") for thing in ("kettle", "lamp", "chair")],
    *[(f"parcel with the {thing} delivery late", "delivery") for thing in ("sofa", "desk", "bed")],
]
WRITTEN = '{"augmentations":["lower_case"],"loss_on":"answer","learning_rate":0.0005,"epochs":7}'
SETTINGS = Settings(few_shot=FewShotSettings(folds=2, written=1))


class CountingTrainer(InstantTrainer):
    def __init__(self) -> None:
        super().__init__()
        self.runs: list[tuple[Example, ...]] = []

    def train(self, examples: Sequence[Example], **given: object) -> TrainingResult:
        self.runs.append(tuple(examples))
        return super().train(examples, **given)  # type: ignore[arg-type]  # as above


@pytest.fixture
def trainer() -> CountingTrainer:
    return CountingTrainer()


@pytest.fixture
def memory(tmp_path: Path, trainer: CountingTrainer) -> "Memory":
    return open_brain(tmp_path / "brain", {"Another task|demonstrations, such as": WRITTEN}, trainer=trainer, settings=SETTINGS)


def test_a_task_is_learnt_and_run_under_its_name(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    report = ana.learn("intent", PAIRS)
    assert (report.state, report.in_context.accuracy, report.held_out.accuracy) == ("promoted", 0.0, 1.0)
    assert [trial.writer for trial in report.trials] == ["hand"] * len(by_hand("text")) + ["scripted"]
    answer = ana.run("intent", "refund the broken kettle money please")
    assert (answer.text, answer.shown_before, answer.adapter) == ("refund", True, report.adapter)
    assert [task.name for task in ana.tasks()] == ["intent"]


@pytest.mark.slow
def test_every_demonstration_is_held_out_once_and_then_not_trained_on(memory: Memory, trainer: CountingTrainer) -> None:
    memory.scope().learn("intent", PAIRS)
    folds = [{example.prompt[-1].content for example in run} for run in trainer.runs[:2]]
    assert folds[0] | folds[1] == {text for text, _ in PAIRS}
    assert folds[0].isdisjoint(folds[1])
    parts = split(to_task("intent", PAIRS), 2, 0)
    assert [sorted(PAIRS[place][1] for place in part) for part in parts] in (
        [["delivery", "delivery", "refund"], ["delivery", "refund", "refund"]],
        [["delivery", "refund", "refund"], ["delivery", "delivery", "refund"]],
    )


def test_a_task_never_answers_for_the_scope_and_can_not_be_made_live(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    report = ana.learn("intent", PAIRS)
    assert report.adapter is not None
    assert ana.adapters.live is None
    for wrong in (ana.adapters.promote, lambda name: ana.chat([{"role": "user", "content": "hello"}], adapter=name)):
        with pytest.raises(UsageError, match="does one task"):
            wrong(report.adapter)
    assert ana.adapters.answerable() == ()
    assert ana.adapters.gc(keep=1) == ()
    assert ana.adapters.verify(report.adapter)[0].sound


@pytest.mark.slow
def test_a_recipe_that_won_is_tried_first_for_the_next_task(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    first = ana.learn("intent", PAIRS)
    second = ana.learn("other intent", [(f"{text} again", answer) for text, answer in PAIRS])
    assert [trial.writer for trial in second.trials if trial.recipe == first.recipe] == ["won"]


def test_what_does_not_beat_in_context_learning_is_rejected_and_the_old_task_stays(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    kept = ana.learn("intent", PAIRS).adapter
    odd = [("aaa bbb", "one"), ("ccc ddd", "two"), ("eee fff", "three")]
    report = ana.learn("intent", odd)
    assert (report.state, report.adapter) == ("rejected", None)
    assert "held-out demonstrations 0% in context -> 0%" in report.reason
    assert ana.run("intent", PAIRS[0][0]).adapter == kept
    assert not list((memory.folder / "adapters").glob(".stage-*"))


@pytest.mark.slow
def test_learning_that_was_stopped_goes_on_where_it_stopped(memory: Memory, trainer: CountingTrainer) -> None:
    ana = memory.scope(user="ana")
    seen: list[Progress] = []

    with pytest.raises(CycleInterruptedError):
        ana.learn("intent", PAIRS, progress=seen.append, should_stop=lambda: len(seen) > 5)
    before = len(trainer.runs)
    assert before > 0
    assert not list((memory.folder / "adapters").glob(".stage-*"))
    report = ana.learn("intent", PAIRS)
    whole = 2 * (len(by_hand("text")) + 1) + 2 + 1  # folds of each recipe, of the report, and the task's adapter
    assert report.state == "promoted"
    assert len(trainer.runs) == whole + 1  # the one that was stopped in the middle
    model = memory._parts.model
    assert isinstance(model, ScriptedModel)
    asked = [call for call in model.calls if call.prompt[0].content.startswith("Write a training recipe")]
    assert len(asked) == SETTINGS.few_shot.written
    told = [one for one in seen if one.stage == "recipes"]
    assert {one.total for one in told} == {2 * (len(by_hand("text")) + 1)}


class Diverging(InstantTrainer):
    """Fails as LoRA training does where the rate is too high."""

    def train(self, examples: Sequence[Example], **given: object) -> TrainingResult:
        raise TrainingError("The loss is not finite at step 3; lower training.learning_rate=0.01.")


def test_a_recipe_that_can_not_be_trained_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    least = 2e-3

    def trainer_for(settings: TrainingSettings) -> InstantTrainer:
        return Diverging() if settings.learning_rate >= least else InstantTrainer()

    with open_brain(tmp_path / "brain", {}, settings=SETTINGS) as memory:
        backends = replace(memory._parts.backends(), trainer_with=trainer_for)

        def learn(name: str) -> TaskReport:
            task = to_task(name, [(f"{text} for {name}", answer) for text, answer in PAIRS])  # figures are kept by demonstrations
            return learning.learn(backends, memory.scope().id, task, progress=silent, should_stop=lambda: False, clock=memory._parts.clock)

        report = learn("intent")
        assert report.state == "promoted"
        assert (report.refused["training failed"], len(report.trials)) == (1, len(by_hand("text")) - 1)
        least = 0.0
        with pytest.raises(TrainingError, match=r"None of 6 recipes for 'other' could be trained: The loss is not finite"):
            learn("other")


def test_an_unknown_task_is_refused_and_the_known_ones_are_named(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    with pytest.raises(UnknownRecordError, match="none was learnt yet"):
        ana.run("intent", "hello")
    ana.learn("intent", PAIRS)
    with pytest.raises(UnknownRecordError, match="known are 'intent'"):
        ana.run("intnet", "hello")


@pytest.mark.slow
def test_a_task_of_the_agent_is_known_to_its_users_and_to_nobody_elses(memory: Memory) -> None:
    memory.scope().learn("intent", PAIRS)
    assert memory.scope(user="ben").run("intent", PAIRS[0][0]).text == "refund"
    memory.scope(user="ana").learn("mine", PAIRS)
    assert [(task.name, task.scope.user) for task in memory.scope(user="ana").tasks()] == [("intent", None), ("mine", "ana")]
    assert [task.name for task in memory.scope(user="ben").tasks()] == ["intent"]
    for other in (memory.scope(user="ben"), memory.scope(), memory.scope(agent="other")):
        with pytest.raises(UnknownRecordError):
            other.run("mine", "hello")


def test_an_input_of_the_other_kind_is_refused(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.learn("intent", PAIRS)
    with pytest.raises(InvalidTaskError, match="Input 2 of 'intent' is a grid"):
        ana.run_many("intent", ["hello", [[1]]])
    with pytest.raises(InvalidTaskError, match="is empty"):
        ana.run("intent", " ")


def test_secrets_are_never_trained_on(memory: Memory) -> None:
    with pytest.raises(InvalidTaskError, match=r"Demonstration 4 .* never trained on"):
        memory.scope().learn("intent", [*PAIRS[:3], ("mail me at ana.keller@example.org", "contact")])


@pytest.mark.slow
def test_a_dropped_task_is_gone_with_its_files(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    adapter = ana.learn("intent", PAIRS).adapter
    assert adapter is not None
    ana.drop_task("intent")
    assert ana.tasks() == []
    assert not (memory.folder / "adapters" / adapter).exists()
    assert b"kettle" not in (memory.folder / "seal.db").read_bytes()
    with pytest.raises(UnknownRecordError):
        ana.run("intent", "hello")
    with pytest.raises(UnknownRecordError, match="was learnt in"):
        ana.drop_task("intent")


def test_a_damaged_adapter_is_an_error_and_not_the_bases_answer(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    adapter = ana.learn("intent", PAIRS).adapter
    (memory.folder / "adapters" / str(adapter) / "adapter_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(IntegrityError):
        ana.run("intent", "hello")


@pytest.mark.slow
def test_learning_a_task_does_not_change_what_the_next_night_does(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.remember("Ana drinks oat milk.")
    night = ana.consolidate()
    ana.learn("intent", PAIRS)
    assert night.state in ("promoted", "rejected")
    assert ana.consolidate().state == "skipped"


@pytest.mark.slow
def test_erasing_a_user_takes_the_tasks_along_and_leaves_the_same_task_of_another(memory: Memory) -> None:
    ana = memory.scope(user="ana")  # who never said a word
    memory.scope(user="ben").learn("intent", PAIRS)
    kept = memory.erase(user="ana", confirm=True) if ana.learn("intent", PAIRS).adapter else None
    assert kept is not None
    assert kept.proven
    assert kept.scan.shared >= len(PAIRS)
    memory.erase(user="ben", confirm=True)
    adapter = ana.learn("intent", PAIRS).adapter
    receipt = memory.erase(user="ana", confirm=True)
    assert adapter in [one.name for one in receipt.adapters]
    assert all(check.passed for check in receipt.checks)
    assert receipt.scan.needles >= len(PAIRS)
    assert ana.tasks() == []
    assert b"kettle" not in (memory.folder / "seal.db").read_bytes()


@pytest.mark.slow
def test_an_imported_task_runs_and_still_answers_nothing_else(memory: Memory, tmp_path: Path) -> None:
    adapter = memory.scope(user="ana").learn("intent", PAIRS).adapter
    assert adapter is not None
    memory.export(tmp_path / "brain.tar")
    with open_brain(tmp_path / "other") as other:
        other.import_archive(tmp_path / "brain.tar")
        ana = other.scope(user="ana")
        assert ana.run("intent", PAIRS[0][0]).text == "refund"
        with pytest.raises(UsageError, match="does one task"):
            ana.adapters.promote(adapter)


def mirrored(prompt: Sequence[Turn]) -> str:
    return "\n".join(row[::-1] for row in prompt[-1].content.split("\n"))


def test_grids_are_learnt_by_the_same_code(tmp_path: Path) -> None:
    settings = Settings(few_shot=FewShotSettings(folds=3, written=0, min_gain=0.0))
    with open_brain(tmp_path / "brain", model=ScriptedModel(mirrored), settings=settings) as memory:
        pairs = [([[a, b], [c, d]], [[b, a], [d, c]]) for a, b, c, d in ((1, 2, 3, 4), (5, 6, 7, 8), (9, 1, 8, 2))]
        report = memory.scope().learn("mirror", pairs)
        assert (report.kind, report.demonstrations, report.state) == ("grid", 3, "promoted")
        assert memory.scope().run("mirror", [[6, 1], [7, 3]]).grid == ((1, 6), (3, 7))
