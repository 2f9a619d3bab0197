"""What tests of several benchmarks share."""

import itertools
from types import SimpleNamespace

import pytest

from seal_agent.trainers import watch

SECONDS = 7200.0


@pytest.fixture
def hours_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of them whenever a training looks at its clock: more than a night would give it."""
    monkeypatch.setattr(watch, "time", SimpleNamespace(perf_counter=itertools.count(0.0, SECONDS).__next__))
