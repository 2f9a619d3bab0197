"""`consolidate` prints the plan or the report, and its code says what the gate said."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from seal_agent.errors import CycleInterruptedError, TrainingError
from seal_agent.scope import Scope
from seal_agent.types import Check, CyclePlan, CycleReport, Decision, Fact, FactOutcome, ScopeId
from tests.brains import START
from tests.cli.conftest import Cli

SCOPE = ScopeId(user="ana")
FACT = Fact(id="f1", scope=SCOPE, kind="preference", text="Ana drinks tea.", quote="I drink tea.", valid_from=START)
PLAN = CyclePlan(
    scope=SCOPE,
    new_facts=(FACT,),
    replayed_facts=(),
    superseded=(),
    episodes=3,
    estimated_tokens=12_345,
    estimated_seconds=90.0,
    reason="1 new fact",
)


def report(state: Any) -> CycleReport:  # Any: one of the states
    checks = (
        Check(name="gain", passed=True, text="+0.50, at least 0.20"),
        Check(name="drift", passed=state != "rejected", text="1.3, at most 1.1"),
    )
    facts = (FactOutcome(fact_id="f1", text="Ana drinks tea.", state="not_learned", documents=8, recalled=1, asked=2),)
    decision = Decision(verdict="promote", checks=checks)
    return CycleReport(cycle_id="c", scope=SCOPE, state=state, reason="so it came", adapter="a-v1", facts=facts, decision=decision)


@pytest.fixture
def night(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Cli]:
    """Let a consolidation return or do what the test says."""
    cli("init")

    def set_up(outcome: Any) -> Cli:
        def consolidate(self: Scope, **options: Any) -> Any:
            return outcome(**options) if callable(outcome) else outcome

        monkeypatch.setattr(Scope, "consolidate", consolidate)
        return cli

    return set_up


@pytest.mark.parametrize(("state", "code"), [("promoted", 0), ("skipped", 0), ("rejected", 1), ("failed", 3)])
def test_the_code_says_what_became_of_the_cycle(night: Callable[[Any], Cli], state: str, code: int) -> None:
    cli = night(report(state))
    assert cli("consolidate").code == code
    told = cli("consolidate", "--json")
    assert (told.code, told.json["state"]) == (code, state)


def test_the_report_shows_the_gate_and_every_fact(night: Callable[[Any], Cli]) -> None:
    out = night(report("rejected"))("consolidate").out
    assert "pass  gain" in out
    assert "FAIL  drift" in out
    assert "not learned   1 of 2    Ana drinks tea." in out


def test_a_dry_run_prints_the_plan(night: Callable[[Any], Cli]) -> None:
    def only_plan(*, dry_run: bool) -> CyclePlan:
        assert dry_run
        return PLAN

    ended = night(only_plan)("consolidate", "--dry-run")
    assert ended.code == 0
    assert "Ana drinks tea." in ended.out
    assert "12,345 tokens, 1 min 30 s" in ended.out


def test_the_first_ctrl_c_asks_the_cycle_to_stop_and_ends_with_130(night: Callable[[Any], Cli]) -> None:
    def stopped(should_stop: Callable[[], bool]) -> CycleReport:
        assert not should_stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert should_stop()
        raise CycleInterruptedError("Stopped; nothing was promoted.")

    before = signal.getsignal(signal.SIGINT)
    ended = night(stopped)("consolidate")
    assert ended.code == 130
    assert "stopping" in ended.err
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_ctrl_c_stops_at_once(night: Callable[[Any], Cli]) -> None:
    def deaf(should_stop: Callable[[], bool]) -> CycleReport:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("never reached")

    assert night(deaf)("consolidate").code == 130


def test_a_cycle_that_someone_else_stopped_is_code_3(night: Callable[[Any], Cli]) -> None:
    def stopped(should_stop: Callable[[], bool]) -> CycleReport:
        raise CycleInterruptedError("Stopped; nothing was promoted.")

    assert night(stopped)("consolidate").code == 3


def test_training_that_fails_is_code_3(night: Callable[[Any], Cli]) -> None:
    def fail(should_stop: Callable[[], bool]) -> CycleReport:
        raise TrainingError("The loss is not finite; lower the learning rate.")

    ended = night(fail)("consolidate", "--json")
    assert (ended.code, ended.json["error"]["type"]) == (3, "TrainingError")
