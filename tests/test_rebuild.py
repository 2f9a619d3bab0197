"""Training in the stead of an adapter that can't be used any more: without what is gone, judged as ever, and never the same again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from seal_agent.config import Settings
from seal_agent.errors import CycleInterruptedError, UsageError
from seal_agent.memory import Memory
from seal_agent.scope import Scope
from seal_agent.types import Adapter, Progress
from tests.brains import learn, open_brain

DIET, DOG = "Ana eats no meat.", "Ana's dog is called Figo."
LAX = Settings.load(
    None,
    gate={"min_gain": 0.0, "max_general_drop": 1.0, "max_retention_drop": 1.0},
    self_edit={"questions_per_fact": 0, "min_documents_per_fact": 1},
)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with open_brain(tmp_path / "brain", settings=LAX) as opened:
        yield opened


@pytest.fixture
def ana(memory: Memory) -> Scope:
    scope = memory.scope(user="ana")
    scope.remember(DIET)
    scope.remember(DOG)
    return scope


def night(scope: Scope) -> Adapter:
    report = scope.consolidate()
    assert report.adapter is not None, report.reason
    return scope.adapters.get(report.adapter)


def id_of(scope: Scope, text: str) -> str:
    return next(fact.id for fact in scope.facts() if fact.text == text)


def test_what_forgetting_withdrew_is_trained_anew_without_it_with_progress(ana: Scope) -> None:
    before = night(ana)
    assert ana.forget(id_of(ana, DOG)).weights == "withdrawn"
    stages: list[str] = []
    rebuilt = ana.adapters.rebuild(before.name, progress=lambda step: stages.append(step.stage))
    assert (rebuilt.instead_of, rebuilt.report.state, rebuilt.live) == (before.name, "promoted", rebuilt.report.adapter)
    live = ana.adapters.live
    assert live is not None
    assert [fact.text for fact in ana.facts() if fact.id in live.fact_ids] == [DIET]
    assert {"train", "evaluate", "settle"} <= set(stages)
    again = ana.adapters.rebuild(before.name)
    assert (again.report.state, again.live) == ("skipped", live.name)


def test_the_same_is_not_trained_twice_but_without_what_was_rejected(ana: Scope) -> None:
    before = night(ana)
    ana.adapters.quarantine(before.name, "it says too much of the dog")
    skipped = ana.adapters.rebuild(before.name)
    assert (skipped.report.state, skipped.live) == ("skipped", None)
    assert "reject what is wrong in it" in skipped.report.reason
    dog = id_of(ana, DOG)
    ana.reject(dog)
    rebuilt = ana.adapters.rebuild(before.name)
    assert (rebuilt.report.state, rebuilt.without) == ("promoted", (dog,))
    assert rebuilt.live != before.name
    with pytest.raises(UsageError, match="quarantined"):
        ana.adapters.promote(before.name)


@pytest.mark.slow
def test_a_damaged_live_adapter_is_made_anew_byte_for_byte(memory: Memory, ana: Scope) -> None:
    before = night(ana)
    (memory.folder / before.path / "adapter_model.safetensors").write_bytes(b"")
    rebuilt = ana.adapters.rebuild(before.name)
    live = ana.adapters.live
    assert live is not None
    assert (live.name, live.sha256, live.name != before.name) == (rebuilt.live, before.sha256, True)
    assert ana.adapters.verify(live.name)[0].sound


def test_what_is_sound_or_was_never_in_use_is_not_replaced(memory: Memory, ana: Scope) -> None:
    live, rejected = night(ana), learn(memory, ana, {"Dog?": "Figo"}, state="rejected")
    with pytest.raises(UsageError, match="quarantine it"):
        ana.adapters.rebuild(live.name)
    with pytest.raises(UsageError, match="rejected"):
        ana.adapters.rebuild(rejected.name)
    assert ana.adapters.live == ana.adapters.get(live.name)


@pytest.mark.slow
def test_a_stopped_rebuild_promotes_nothing_and_goes_on_at_the_next(ana: Scope) -> None:
    before = night(ana)
    ana.forget(id_of(ana, DOG))
    reached: list[Progress] = []

    def note(step: Progress) -> None:
        if step.stage == "train":
            reached.append(step)

    with pytest.raises(CycleInterruptedError):
        ana.adapters.rebuild(before.name, progress=note, should_stop=lambda: bool(reached))
    assert ana.adapters.live is None
    assert ana.adapters.rebuild(before.name).report.state == "promoted"
