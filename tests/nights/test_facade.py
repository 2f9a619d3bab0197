"""`Memory.nights` on the fakes: who is due, who waits and why, what was held, and the alarm clock itself."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from seal_agent.config import NightSettings, Settings
from seal_agent.errors import StoreError, UsageError
from seal_agent.memory import Memory
from seal_agent.nights import guards
from seal_agent.types import ScopeId
from tests.brains import open_brain
from tests.waiting import wait_until

EVENING = datetime(2026, 11, 2, 20, tzinfo=UTC)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = EVENING

    def __call__(self) -> datetime:
        return self.now

    def to(self, hour: int, minute: int = 0, *, days: int = 0) -> None:
        self.now = (EVENING + timedelta(days=days)).replace(hour=hour, minute=minute)


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "load_per_core", lambda: 0.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(folder: Path, clock: Clock, **nights: Any) -> Memory:  # Any: fields of NightSettings
    return open_brain(folder / "brain", clock=clock, settings=Settings(nights=NightSettings(**nights)))


@pytest.fixture
def memory(tmp_path: Path, clock: Clock) -> Iterator[Memory]:
    with opened(tmp_path, clock) as memory:
        yield memory


def started(memory: Memory, clock: Clock) -> None:
    """Nights are held here since an evening on which nobody had said anything."""
    assert memory.nights.run_due() == []
    memory.scope(user="ana").add("hi there")
    clock.to(1, 30, days=1)


def held(memory: Memory) -> list[tuple[str, str]]:
    return [(f"{row.date:%m-%d} {row.scope.key}", row.state) for row in memory.nights.history()]


def test_a_night_is_held_once_in_its_window(memory: Memory, clock: Clock) -> None:
    started(memory, clock)
    [row] = memory.nights.run_due()
    assert (row.state, row.reason, row.attempts) == ("skipped", "nothing new to learn", 1)
    clock.to(2, days=1)
    assert memory.nights.run_due() == []
    assert held(memory) == [("11-03 default/default/ana", "skipped")]


def test_what_was_told_before_the_first_start_waits_for_the_next_window(memory: Memory, clock: Clock) -> None:
    memory.scope(user="ana").add("hi there")
    assert memory.nights.run_due() == []
    clock.to(1, 30, days=1)
    assert len(memory.nights.run_due()) == 1


def test_a_night_that_nobody_held_is_caught_up(memory: Memory, clock: Clock) -> None:
    started(memory, clock)
    clock.to(9, days=1)
    assert [row.date.day for row in memory.nights.run_due()] == [3]
    assert memory.nights.run_due() == []


def test_without_catching_up_a_night_that_nobody_held_is_missed_and_says_why(tmp_path: Path, clock: Clock) -> None:
    with opened(tmp_path, clock, catch_up=False) as memory:
        started(memory, clock)
        clock.to(9, days=1)
        assert memory.nights.run_due() == []
        [row] = memory.nights.history()
        assert (row.state, row.attempts) == ("missed", 0)
        assert "nights.catch_up is off" in str(row.reason)


def test_who_appears_after_the_window_waits_for_the_next_night(memory: Memory, clock: Clock) -> None:
    started(memory, clock)
    memory.nights.run_due()
    memory.nights.run_due()
    clock.to(9, days=1)
    memory.scope(user="ben").add("hello")
    assert memory.nights.run_due() == []
    clock.to(1, days=2)
    assert {row.scope.user for row in memory.nights.run_due()} == {"ana", "ben"}


def test_a_question_a_moment_ago_holds_a_night_up(memory: Memory, clock: Clock) -> None:
    started(memory, clock)
    memory.scope(user="ana").ask("Anything new?")
    assert memory.nights.run_due() == []
    assert "somebody asked 0 minutes ago" in str(memory.nights.next().waits_for)
    clock.to(1, 36, days=1)
    assert len(memory.nights.run_due()) == 1


def test_a_busy_machine_holds_a_night_up(memory: Memory, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    started(memory, clock)
    monkeypatch.setattr(guards, "load_per_core", lambda: 1.5)
    assert memory.nights.run_due() == []
    assert memory.nights.next().waits_for == "the machine is busy: load 1.50 per core (nights.max_load = 0.8)"


@pytest.mark.parametrize("everybody", [True, False])
def test_a_pause_holds_nights_up_until_it_is_ended(memory: Memory, clock: Clock, everybody: bool) -> None:
    started(memory, clock)
    whom = None if everybody else memory.scope(user="ana")
    assert memory.nights.pause(whom, "moving house")
    assert not memory.nights.pause(whom)
    assert memory.nights.is_paused(ScopeId(user="ana"))
    assert memory.nights.run_due() == []
    assert memory.nights.resume(whom)
    assert not memory.nights.resume(whom)
    assert len(memory.nights.run_due()) == 1
    assert [event.kind for event in memory.nights.events()] == ["resumed", "paused"]


def test_a_night_that_was_paused_throughout_is_missed(memory: Memory, clock: Clock) -> None:
    started(memory, clock)
    memory.nights.pause(note="moving house")
    clock.to(9, days=1)
    memory.nights.run_due()
    [row] = memory.nights.history()
    assert (row.state, row.reason) == ("missed", "nights are paused: moving house")
    memory.nights.resume()
    assert memory.nights.run_due() == []


def test_next_tells_the_window_and_who_is_due(memory: Memory, clock: Clock) -> None:
    started(memory, clock)
    ahead = memory.nights.next()
    assert (ahead.is_open, ahead.due, ahead.waits_for) == (True, (ScopeId(user="ana"),), None)
    memory.nights.run_due()
    clock.to(12, days=1)
    ahead = memory.nights.next()
    assert (ahead.is_open, ahead.night.opens, ahead.due) == (False, EVENING.replace(hour=1) + timedelta(days=2), ())


def test_the_alarm_clock_holds_what_is_due_until_it_is_stopped(tmp_path: Path, clock: Clock) -> None:
    with opened(tmp_path, clock, check_seconds=0.02) as memory:
        started(memory, clock)
        memory.nights.start()
        memory.nights.start()
        assert memory.nights.is_running
        wait_until(lambda: bool(memory.nights.history()) and memory.nights.history()[0].state != "running")
        assert memory.nights.stop()
        assert memory.nights.stop()
        assert not memory.nights.is_running
        clock.to(1, 30, days=2)
        threading.Event().wait(0.1)
        assert len(held(memory)) == 1


def test_closing_the_brain_stops_the_alarm_clock(tmp_path: Path, clock: Clock) -> None:
    memory = opened(tmp_path, clock, check_seconds=0.02)
    memory.nights.start()
    memory.close()
    assert not memory.nights.is_running
    with pytest.raises(StoreError, match="was closed"):
        memory.nights.start()


def test_what_is_no_scope_and_no_date_is_refused(memory: Memory) -> None:
    for call in (memory.nights.run, memory.nights.pause, memory.nights.history, memory.nights.plan):
        with pytest.raises(UsageError, match="'ana' is no scope"):
            call("ana")  # type: ignore[arg-type]  # that is the point
    for day in ("2026-11-02", EVENING):
        with pytest.raises(UsageError, match="is no date"):
            memory.nights.show(memory.scope(user="ana"), day)  # type: ignore[arg-type]  # that is the point
