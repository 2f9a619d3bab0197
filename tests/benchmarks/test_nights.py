"""The short forms of the night's benchmarks: the figures that are claimed are claimed of this code, on every run."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from benchmarks import schedule
from seal_agent.nights.calendar import DAY


def test_no_night_is_doubled_or_missed_around_a_change_of_the_clocks(tmp_path: Path) -> None:
    days = [date(2026, 10, 24) + DAY * n for n in range(3)]
    run, held = schedule.simulate("Europe/Berlin", days, 1, tmp_path)
    assert held == days
    assert dict(run.ended) == dict.fromkeys(days, 1)


def test_a_scheduler_that_claims_without_looking_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seal_agent.nights.holding.can_begin", lambda *_: True)
    run, held = schedule.simulate("Europe/Berlin", [date(2026, 10, 24) + DAY * n for n in range(3)], 1, tmp_path)
    assert any(run.ended[day] > 1 for day in held)


@pytest.mark.slow
def test_cycles_killed_in_their_states_are_finished_once_and_equal(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.night_safety", "--quick", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=3600)
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["kills"] >= found["trials"] == found["resumed_equal"]
    assert (found["double"], found["skipped"], found["wrong_pointer"], found["stale_promotions"]) == (0, 0, 0, 0)
