"""`Scope.consolidate`, on a cycle that is told what to do: what a real one does is proved in tests/consolidation."""

import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import seal_agent.consolidation
from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.cycle import Terms
from seal_agent.memory import Memory
from seal_agent.types import CyclePlan, CycleReport, ScopeId
from tests.brains import learn, open_brain
from tests.waiting import LONG


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with open_brain(tmp_path / "brain", {"capital of France": "Paris", "vegetarian[^?]*cook": "lentils"}) as opened:
        yield opened


class Cycle(types.ModuleType):
    """Stands where `consolidation/cycle.py` does."""

    def __init__(self, memory: Memory) -> None:
        super().__init__("seal_agent.consolidation.cycle")
        self.memory = memory
        self.Terms = Terms
        self.seen: list[Backends] = []
        self.during: Any = lambda: None

    def plan(self, backends: Backends, scope: ScopeId, *, clock: Any) -> CyclePlan:
        self.seen.append(backends)
        return CyclePlan(
            scope=scope,
            new_facts=(),
            replayed_facts=(),
            superseded=(),
            episodes=0,
            estimated_tokens=0,
            estimated_seconds=0.0,
            reason="nothing to do",
        )

    def consolidate(self, backends: Backends, scope: ScopeId, *, progress: Any, should_stop: Any, clock: Any, terms: Any) -> CycleReport:
        assert not should_stop()
        self.during()
        adapter = learn(self.memory, self.memory.scope(user=scope.user), {"Capital of France?": "Lyon"})
        return CycleReport(cycle_id="c", scope=scope, state="promoted", reason="it helps", adapter=adapter.name)


@pytest.fixture
def cycle(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> Cycle:
    fake = Cycle(memory)
    monkeypatch.setitem(sys.modules, "seal_agent.consolidation.cycle", fake)
    monkeypatch.setattr(seal_agent.consolidation, "cycle", fake, raising=False)
    return fake


def test_the_next_request_after_a_promotion_is_answered_by_the_new_adapter(memory: Memory, cycle: Cycle) -> None:
    ana = memory.scope(user="ana")
    assert ana.ask("Capital of France?").text == "Paris"
    report = ana.consolidate()
    answer = ana.ask("Capital of France?", use="weights")
    assert (answer.text, answer.trace.adapter) == ("Lyon", report.adapter)


def test_a_dry_run_only_plans(memory: Memory, cycle: Cycle) -> None:
    plan = memory.scope(user="ana").consolidate(dry_run=True)
    assert (plan.reason, memory.stats().adapters) == ("nothing to do", 0)
    assert cycle.seen[0].folder == memory.folder
    assert len(cycle.seen[0].base_sha256) == 64


def test_adding_and_asking_go_on_during_consolidation(memory: Memory, cycle: Cycle) -> None:
    ana = memory.scope(user="ana")
    inside, goes_on = threading.Event(), threading.Event()

    def during() -> None:
        inside.set()
        assert goes_on.wait(LONG)

    cycle.during = during
    night = threading.Thread(target=ana.consolidate)
    night.start()
    assert inside.wait(LONG)
    ana.add("said at night")
    assert ana.ask("Capital of France?").text == "Paris"
    goes_on.set()
    night.join()
    assert ana.ask("Capital of France?", use="weights").text == "Lyon"
    assert memory.stats().episodes == 1
