"""A round of practice on a tiny model with real LoRA training: the rewards are measured, and a model that can't write trains no editor."""

import math
from pathlib import Path

import pytest

from seal_agent.config import PracticeSettings, Settings, TrainingSettings
from seal_agent.memory import Memory
from seal_agent.models.local import LocalModel
from seal_agent.testing import HashEmbedder
from tests.consolidation.test_outer_loop import SAID, SMALL


@pytest.mark.slow
def test_a_round_of_real_inner_loops_measures_each_self_edit_twice(chat_model: LocalModel, tmp_path: Path) -> None:
    settings = Settings(
        practice=PracticeSettings(**(SMALL | {"facts_per_context": 1, "passes": 2})),
        training=TrainingSettings(rank=2, alpha=4, isolated=False),
    )
    with Memory.open(tmp_path / "brain", model=chat_model, embedder=HashEmbedder(256), settings=settings) as memory:
        scope = memory.scope(user="ana")
        for text in SAID:
            scope.remember(text)
        report = scope.practice()
        assert report.state == "skipped"
        rewards = [value for one in report.tried for value in (one.choosing, one.reporting)]
        assert all(value is not None and math.isfinite(value) for value in rewards)
        assert len({one.choosing for one in report.tried}) > 1
        assert scope.practice().tried == report.tried
        assert not list((memory.folder / "adapters").glob("*"))
