"""A cycle whose process died goes on where it stopped, does nothing twice, and does not go on where something has changed."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from seal_agent.consolidation import resuming
from seal_agent.consolidation.checkpoint import discard
from seal_agent.errors import CycleRunningError, LeaseLostError, TrainingError
from seal_agent.ledger import leases
from seal_agent.ledger.ledger import Ledger
from seal_agent.ledger.purge import scrub_reports
from seal_agent.testing import InstantTrainer
from seal_agent.types import Example, Progress, TrainingResult
from tests.consolidation.brains import ANA, DIET, HOME, START, Brain, open_brain
from tests.waiting import wait_until

STEPS = ("self-edits", "train", "evaluate", "settle")


class Killed(BaseException):
    """Stands for the end of the process: nobody cleans up."""


class Counting(InstantTrainer):
    """Counts how often it is asked to train."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def train(self, examples: Sequence[Example], **given: Any) -> TrainingResult:  # Any: passed on as it came
        self.runs += 1
        return super().train(examples, **given)


@contextmanager
def killed_at(brain: Brain, step: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Brain]:
    """The brain as a new process finds it after one died at the beginning of this step."""

    def die(progress: Progress) -> None:
        if progress.stage == step:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("seal_agent.consolidation.run.close_failed", lambda *_: None)
        patched.setattr("seal_agent.consolidation.leasing.give_back", lambda *_: None)
        with pytest.raises(Killed):
            brain.night(progress=die)
    brain.backends.ledger.close()
    with Ledger.open(brain.backends.folder) as reopened:
        yield open_brain(brain.backends.folder, reopened)


@pytest.fixture
def told(brain: Brain) -> Brain:
    brain.hear(DIET, HOME)
    return brain


@pytest.mark.parametrize("step", STEPS)
def test_a_cycle_whose_process_died_is_finished_by_the_next_and_learns_the_same(
    told: Brain, step: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = tmp_path / "copy"
    told.backends.ledger.close()
    shutil.copytree(told.backends.folder, before)
    with Ledger.open(before) as ledger:
        straight = open_brain(before, ledger).night()
    with Ledger.open(told.backends.folder) as ledger:
        told = open_brain(told.backends.folder, ledger)
        with killed_at(told, step, monkeypatch) as after:
            [cycle] = after.cycles()
            trainer = Counting()
            report = after.with_parts(trainer=trainer).night()
            assert (report.state, report.cycle_id) == ("promoted", cycle.id)
            assert report.adapter == straight.adapter, "the name holds the hash of the weights"
            assert trainer.runs == (step in ("self-edits", "train"))
            assert [row.state for row in after.cycles()] == ["promoted"]
            assert after.folders() == [report.adapter]
            assert list((after.backends.folder / "cycles").iterdir()) == []
            assert after.night().state == "skipped"


@pytest.mark.parametrize("file", ["train.json", "candidate/adapter_model.safetensors"])
def test_a_step_whose_files_are_not_what_was_recorded_is_done_again(told: Brain, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with killed_at(told, "evaluate", monkeypatch) as after:
        [workplace] = (after.backends.folder / "cycles").iterdir()
        (workplace / file).write_bytes(b"damaged")
        trainer = Counting()
        assert after.with_parts(trainer=trainer).night().state == "promoted"
        assert trainer.runs == 1


def test_a_workplace_that_is_gone_costs_time_and_nothing_else(told: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    with killed_at(told, "settle", monkeypatch) as after:
        shutil.rmtree(after.backends.folder / "cycles")
        assert after.night().state == "promoted"


def test_a_cycle_is_not_finished_with_other_settings(told: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    with killed_at(told, "settle", monkeypatch) as after:
        assert after.with_settings(training={"rank": 2}).night().state == "promoted"
        failed, promoted = after.cycles()
        assert (failed.state, promoted.state) == ("failed", "promoted")
        assert "settings, model or version have changed" in str(failed.reason)


def test_a_cycle_is_not_finished_with_a_fact_that_was_forgotten_meanwhile(told: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    with killed_at(told, "settle", monkeypatch) as after:
        after.forget(HOME)
        report = after.night()
        assert report.state == "promoted"
        assert "Porto" not in after.lessons(str(report.adapter))
        assert "does not hold any more" in str(after.cycles()[0].reason)


def test_what_was_told_meanwhile_waits_for_the_cycle_after(told: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    with killed_at(told, "train", monkeypatch) as after:
        after.told = 5
        after.hear("I drive a Skoda Octavia.")
        first = after.night()
        assert len(first.facts) == 2
        assert len(after.night().facts) == 3


def test_a_cycle_that_ends_its_process_each_time_is_given_up(told: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "MAX_ATTEMPTS", 1)
    with killed_at(told, "train", monkeypatch) as after:
        assert after.night().state == "promoted"
        assert [row.state for row in after.cycles()] == ["failed", "promoted"]
        assert "whatever ends its process has to be mended first" in str(after.cycles()[0].reason)


def test_a_checkpoint_holds_study_material_and_can_be_discarded(told: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    with killed_at(told, "evaluate", monkeypatch) as after:
        [workplace] = (after.backends.folder / "cycles").iterdir()
        assert "Porto" in (workplace / "self-edits.json").read_text()
        assert (workplace / "self-edits.json").stat().st_mode & 0o777 == 0o600
        discard(after.backends.ledger, after.backends.folder, ANA)
        assert list((after.backends.folder / "cycles").iterdir()) == []
        assert after.night().state == "promoted"


@pytest.mark.parametrize("step", ["train", "evaluate", "settle"])
def test_a_cycle_under_way_ends_once_what_it_works_on_was_forgotten(told: Brain, step: str) -> None:
    ledger, folder = told.backends.ledger, told.backends.folder

    def forget(progress: Progress) -> None:
        if progress.stage == step and HOME in told.quotes():
            ids = [fact.id for fact in told.facts() if fact.quote == HOME]
            told.forget(HOME)
            with ledger.write() as conn:
                assert scrub_reports(conn, ANA, ids, [HOME]) == 1
            discard(ledger, folder, ANA)

    with pytest.raises(TrainingError, match="were forgotten meanwhile"):
        told.night(progress=forget)
    assert list((folder / "cycles").iterdir()) == []
    report = told.night()
    assert report.state == "promoted"
    assert "Porto" not in told.lessons(str(report.adapter))


def test_what_a_dead_cycle_left_goes_when_something_is_forgotten(told: Brain) -> None:
    left = told.backends.folder / "cycles" / "c_gone"
    left.mkdir(parents=True)
    (left / "self-edits.json").write_text(json.dumps(DIET))
    discard(told.backends.ledger, told.backends.folder, ANA)
    assert not left.exists()


def test_what_an_ended_cycle_left_is_swept(told: Brain) -> None:
    left = told.backends.folder / "cycles" / "c_gone"
    left.mkdir(parents=True)
    (left / "self-edits.json").write_text(json.dumps(DIET))
    told.night()
    assert not left.exists()


def test_a_cycle_whose_lease_was_taken_promotes_nothing_and_leaves_its_successor_alone(told: Brain) -> None:
    ledger = told.backends.ledger

    def take_over(step: Progress) -> None:
        if step.stage == "settle":
            with ledger.write() as conn:
                leases.release_all(conn)

    with pytest.raises(LeaseLostError, match="taken over"):
        told.night(progress=take_over)
    assert told.live() is None
    assert told.folders() == []
    assert [row.state for row in told.cycles()] == ["running"]
    assert told.night().state == "promoted"
    assert [row.state for row in told.cycles()] == ["promoted"]


def test_the_lease_is_renewed_while_a_cycle_runs(told: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    renewed: list[object] = []
    real = leases.renew

    def renew(*given: object) -> None:
        renewed.append(given)
        real(*given)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(leases, "renew", renew)

    def wait(step: Progress) -> None:
        if step.stage == "settle":
            wait_until(lambda: bool(renewed))

    assert told.with_settings(nights={"lease_seconds": 0.06}).night(progress=wait).state == "promoted"
    assert renewed


def test_the_lease_is_free_again_when_a_cycle_has_ended(told: Brain) -> None:
    told.night()
    with told.backends.ledger.write() as conn:
        leases.acquire(conn, ANA, "somebody", START, 60)
    with pytest.raises(CycleRunningError, match="somebody"):
        told.night()
