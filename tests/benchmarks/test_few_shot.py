"""The figures of the few-shot and outer-loop benchmarks follow from what was measured, and their data are what they claim to be."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import few_shot, few_shot_arc, outer_loop
from benchmarks.intents import DEMONSTRATIONS, HELD_OUT
from seal_agent.config import FewShotSettings, Settings
from seal_agent.consolidation.policies import POLICIES
from seal_agent.consolidation.round_report import Judgement, RoundReport, Tried
from seal_agent.consolidation.self_edit import overlap
from seal_agent.errors import UsageError
from seal_agent.few_shot.recipe import by_hand
from seal_agent.few_shot.task import spell
from seal_agent.testing import ScriptedModel
from seal_agent.types import Turn
from tests.brains import open_brain

KEYS = {"gain_untrained", "gain_round1", "ci95", "contexts", "winner_curse", "trials", "seeds"}


def test_there_are_ten_intents_and_no_utterance_that_is_asked_for_was_nearly_shown() -> None:
    assert list(DEMONSTRATIONS) == list(HELD_OUT)
    assert {len(texts) for texts in DEMONSTRATIONS.values()} == {5}
    assert {len(texts) for texts in HELD_OUT.values()} == {10}
    shown = [text for texts in DEMONSTRATIONS.values() for text in texts]
    asked = [text for texts in HELD_OUT.values() for text in texts]
    assert len({*shown, *asked}) == 150
    assert max(overlap(one, other) for one in asked for other in shown) < 0.5


def test_the_chosen_recipe_is_that_with_the_best_reward_and_not_the_best_on_what_is_asked() -> None:
    rows = [
        {"recipe": "a", "reward": 0.9, "held_out": 0.5, "right": [True, True, False, False]},
        {"recipe": "b", "reward": 0.1, "held_out": 0.5, "right": [True, True, True, True]},
        {"recipe": "c", "reward": 0.2, "held_out": 0.5, "right": [False, False, False, False]},
    ]
    found = few_shot.summarise([{"seed": 0, "turns": [False] * 4, "lines": [True], "rows": rows}])
    assert (found["chosen_recipe"], found["median_recipe"], found["best_recipe"]) == (0.5, 0.5, 1.0)
    assert (found["in_context"], found["n"], found["chosen"], found["trials"]) == (0.0, 4, ["a"], 3)
    low, high = found["ci95"]
    assert 0.0 <= low <= 0.5 <= high <= 1.0


def test_made_tasks_can_be_solved_by_their_rule_and_are_the_same_for_the_same_seed() -> None:
    puzzles = few_shot_arc.made(6, 0)
    assert [puzzle.task.name for puzzle in puzzles] == list(few_shot_arc.RULES)
    for puzzle in puzzles:
        rule = few_shot_arc.RULES[puzzle.task.name]
        assert all(rule(asked) == right for asked, right in puzzle.asked)
        assert len(puzzle.task.demonstrations) == few_shot_arc.SHOWN
    assert few_shot_arc.made(6, 0) == puzzles


def test_arc_files_are_read_and_others_refused(tmp_path: Path) -> None:
    cases = [{"input": [[n]], "output": [[n + 1]]} for n in range(3)]
    challenges, solutions = tmp_path / "c.json", tmp_path / "s.json"
    challenges.write_text(json.dumps({"a": {"train": cases, "test": [{"input": [[5]]}]}, "b": {"train": cases[:1], "test": []}}))
    solutions.write_text(json.dumps({"a": [[[6]]], "b": []}))
    (puzzle,) = few_shot_arc.read(challenges, solutions, None)
    assert puzzle.task.name == "arc a"
    assert [(spell(asked), spell(right)) for asked, right in puzzle.asked] == [("5", "6")]
    solutions.write_text("[]")
    with pytest.raises(UsageError, match="no ARC challenges"):
        few_shot_arc.read(challenges, solutions, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--challenges", "c.json"], "go together"),
        (["--challenges", "c.json", "--solutions", "s.json", "--simple", "3"], "either it or ARC files"),
        (["--simple", "7"], "takes 1 to 6"),
    ],
)
def test_half_of_the_arc_files_never_measure_tasks_of_our_own(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        few_shot_arc.main(arguments)
    assert said in capsys.readouterr().err


def test_a_recipe_from_elsewhere_does_not_look_at_the_task_itself() -> None:
    one, other = by_hand("grid")[:2]
    rewards = {("a", one): 1.0, ("a", other): 0.0, ("b", one): 0.0, ("b", other): 0.1}
    assert few_shot_arc.best_elsewhere("a", ["a", "b"], [one, other], rewards) == other
    assert few_shot_arc.best_elsewhere("b", ["a", "b"], [one, other], rewards) == one


def test_the_outer_loops_object_has_the_keys_that_are_read_by_machine() -> None:
    tried = Tried(context="c", policy=POLICIES[0], written=3, refused=1, choosing=2.0, reporting=1.0)
    report = RoundReport(
        round=1,
        state="rejected",
        reason="",
        editor=None,
        writer=None,
        policy=POLICIES[0],
        policies={POLICIES[0].text: 1.0},
        tried=(tried,),
        judged=(Judgement(context="u", untrained=0.5, trained=0.75), Judgement(context="v", untrained=0.5, trained=0.25)),
        decision=None,
    )
    figures = outer_loop.summarise([report], Settings())
    assert set(figures) >= KEYS
    assert (figures["gain_untrained"], figures["gain_round1"], figures["contexts"], figures["trials"]) == (0.5, 0.5, 2, 10)
    assert figures["ci95"] == [-0.25, 0.25]


def test_a_round_without_an_editor_has_no_gains_and_no_interval() -> None:
    report = RoundReport(
        round=1, state="skipped", reason="", editor=None, writer=None, policy=POLICIES[0], policies={}, tried=(), judged=(), decision=None
    )
    figures = outer_loop.summarise([report], Settings())
    assert (figures["gain_untrained"], figures["gain_round1"], figures["ci95"], figures["contexts"]) == (None, None, None, 0)


def mirrored(prompt: Sequence[Turn]) -> str:
    if prompt[0].content.startswith("Write a training recipe"):
        return '{"augmentations":["leave_one_out","flips"],"loss_on":"answer","learning_rate":0.0005,"epochs":2}'
    return "\n".join(row[::-1] for row in prompt[-1].content.split("\n"))


def test_a_model_that_can_only_mirror_solves_what_is_mirrored_in_every_arm(tmp_path: Path) -> None:
    settings = Settings(few_shot=FewShotSettings(folds=2, written=2))
    with open_brain(tmp_path / "brain", model=ScriptedModel(mirrored), settings=settings) as memory:
        bench = few_shot_arc.Bench(memory._parts.backends(), 0, time.monotonic() + 600)
        figures = few_shot_arc.measure(bench, few_shot_arc.made(2, 0), quick=True)
    assert [figures[arm]["solved"] for arm in few_shot_arc.ARMS] == [1] * 5
    assert figures["sound"] == {"before": 2, "after": 2, "refused": {"known already": 2}}
    assert set(figures["reward"]) == set(few_shot_arc.ARMS)


@pytest.mark.slow
def test_the_outer_loops_arm_is_written_by_an_editor_of_the_other_half(tmp_path: Path) -> None:
    settings = Settings(few_shot=FewShotSettings(folds=2, written=2))
    puzzles = few_shot_arc.made(4, 0)
    winners = {puzzle.task.name: by_hand("grid")[place % 2] for place, puzzle in enumerate(puzzles)}
    with open_brain(tmp_path / "brain", {}, settings=settings) as memory:
        bench = few_shot_arc.Bench(memory._parts.backends(), 0, time.monotonic() + 600)
        found = few_shot_arc.own_after(bench, puzzles, winners, 2)
        made = [found[puzzle.task.name] for puzzle in puzzles]  # the fake knows only what is near to what it was taught
        assert any(made)
        assert all(how in (None, by_hand("grid")[1 - place % 2]) for place, how in enumerate(made))
        assert few_shot_arc.own_after(bench, puzzles[:1], winners, 2) == {puzzles[0].task.name: None}
