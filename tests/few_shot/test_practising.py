"""Practice in writing recipes: winners of some tasks teach the writer, others judge it, and `learn` asks it from then on."""

from pathlib import Path

import pytest

from seal_agent.config import FewShotSettings, Settings
from seal_agent.errors import CycleInterruptedError, TrainingError, UsageError
from seal_agent.few_shot import practising
from seal_agent.few_shot.practising import FEWEST
from seal_agent.few_shot.recipe import by_hand
from seal_agent.memory import Memory
from seal_agent.scope import Scope
from seal_agent.testing import ScriptedModel
from seal_agent.types import Progress
from tests.brains import open_brain
from tests.few_shot.test_learning import PAIRS

SETTINGS = Settings(few_shot=FewShotSettings(folds=2, written=2))
NAMES = ("first", "second", "third", "fourth", "fifth")


def pairs(name: str) -> list[tuple[str, str]]:
    return [(f"{text} {name}", answer) for text, answer in PAIRS]


def taught(memory: Memory, names: tuple[str, ...] = NAMES) -> Scope:
    scope = memory.scope(user="ana")
    for name in names:
        assert scope.learn(name, pairs(name)).state == "promoted"
    return scope


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    """Its base writes no recipe at all, as the smallest models do."""
    return open_brain(tmp_path / "brain", {}, settings=SETTINGS)


@pytest.mark.slow
def test_a_writer_that_was_taught_by_winners_writes_for_tasks_that_it_has_not_seen(memory: Memory) -> None:
    ana = taught(memory)
    report = ana.practice_recipes()
    assert report.state == "promoted", report.reason
    assert (report.round, report.writer) == (1, None)
    assert {*report.winners, *(one.task for one in report.judged)} == set(NAMES)
    assert len(report.judged) == 2
    for one in report.judged:
        assert (one.untrained, one.sound_untrained, one.sound_trained) == (0.0, 0, 2)
        assert one.trained > 0.5
    assert ana.practised().recipe_editor == report.editor
    assert ana.adapters.answerable() == ()
    model = memory._parts.model
    assert isinstance(model, ScriptedModel)
    before = len(model.calls)
    ana.learn("sixth", pairs("sixth"))
    asked = [call for call in model.calls[before:] if call.prompt[0].content.startswith("Write a training recipe")]
    assert len(asked) == 2
    assert all(call.adapter is not None and call.adapter.startswith("writing-") for call in asked)
    assert ana.practice_recipes().writer == report.editor


@pytest.mark.slow
def test_the_writer_goes_with_a_task_that_it_was_trained_on_and_with_practice_alone_otherwise(memory: Memory) -> None:
    ana = taught(memory)
    report = ana.practice_recipes()
    ana.drop_task(report.judged[0].task)
    assert ana.practised().recipe_editor == report.editor
    ana.drop_task(next(iter(report.winners)))
    assert ana.practised().recipe_editor is None
    assert not (memory.folder / "adapters" / str(report.editor)).exists()
    for name in NAMES:
        ana.learn(name, pairs(name))
    editor = ana.practice_recipes().editor
    ana.drop_practice()
    assert ana.practised().recipe_editor is None
    assert not (memory.folder / "adapters" / str(editor)).exists()
    assert len(ana.tasks()) == len(NAMES)


@pytest.mark.slow
def test_a_base_that_writes_as_well_keeps_writing(tmp_path: Path) -> None:
    with open_brain(tmp_path / "brain", {"Another task|demonstrations, such as": by_hand("text")[0].text}, settings=SETTINGS) as memory:
        ana = taught(memory)
        report = ana.practice_recipes()
        assert (report.state, report.editor, ana.practised().recipe_editor) == ("rejected", None, None)
        assert all(one.untrained == one.trained > 0 for one in report.judged)
        assert not list((memory.folder / "adapters").glob(".stage-*"))


@pytest.mark.slow
def test_what_is_stopped_says_so_and_measures_nothing_twice(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = taught(memory, NAMES[:FEWEST])
    seen: list[Progress] = []
    with pytest.raises(CycleInterruptedError, match=r"Practising recipes in .* was stopped; the same call goes on"):
        ana.practice_recipes(progress=seen.append, should_stop=lambda: len(seen) > 3)
    assert ana.practice_recipes().state == "promoted"
    monkeypatch.setattr(practising.Round, "is_spent", lambda self: True)
    with pytest.raises(CycleInterruptedError, match=r"used up practice.max_minutes=240"):
        ana.practice_recipes()


@pytest.mark.slow
def test_a_training_that_fails_is_no_score(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = taught(memory, NAMES[:FEWEST])

    def fail(*_: object) -> None:
        raise TrainingError("Training used 9,000 MB.")

    monkeypatch.setattr(practising, "reward", fail)
    with pytest.raises(TrainingError, match=r"None of 2 recipes written for .* could be trained: Training used"):
        ana.practice_recipes()


def test_too_few_tasks_are_counted_and_no_recipes_are_nothing_to_practise(memory: Memory, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has learnt 0 tasks, practising recipes needs 4"):
        memory.scope().practice_recipes()
    none = Settings(few_shot=FewShotSettings(written=0))
    with open_brain(tmp_path / "other", settings=none) as other, pytest.raises(UsageError, match=r"few_shot.written=0"):
        other.scope().practice_recipes()
