"""What a cycle stands on: all that decides what comes of it, and nothing else."""

import pytest

from seal_agent.consolidation.snapshot import foundation
from tests.consolidation.brains import Brain


@pytest.mark.parametrize("changed", [{"max_minutes": 5.0}, {"max_tokens": 100}, {"settled_share": 0.5}, {"rank": 2}, {"seed": 1}])
def test_what_decides_what_training_comes_to_makes_another_cycle(brain: Brain, changed: dict[str, object]) -> None:
    assert foundation(brain.with_settings(training=changed).backends) != foundation(brain.backends)


@pytest.mark.parametrize("changed", [{"isolated": False}, {"max_memory_mb": 5}, {"min_free_mb": 5}])
def test_where_training_runs_does_not(brain: Brain, changed: dict[str, object]) -> None:
    assert foundation(brain.with_settings(training=changed).backends) == foundation(brain.backends)
