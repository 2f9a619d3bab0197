"""A task on a tiny model with real LoRA training: recipes reach the trainer, the adapter is published, loaded and asked."""

import time
from pathlib import Path

import pytest

from seal_agent.adapters.artefact import verify
from seal_agent.config import FewShotSettings, PracticeSettings, Settings, TrainingSettings
from seal_agent.few_shot import choosing
from seal_agent.few_shot.practising import Round, candidate
from seal_agent.few_shot.recipe import recipe, sampled
from seal_agent.few_shot.task import to_task
from seal_agent.memory import Memory
from seal_agent.models.local import LocalModel
from seal_agent.testing import HashEmbedder
from seal_agent.types import silent
from tests import chat_models

PAIRS = [
    ("where does ana go ?", "oslo"),
    ("which city does ana like ?", "oslo"),
    ("what does ben eat ?", "rice"),
    ("which food does ben like ?", "rice"),
]


@pytest.mark.slow
def test_a_task_is_learnt_by_real_training_and_leaves_the_base_alone(
    chat_model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = (recipe(rate=1e-2, epochs=24), recipe(rate=1e-5, epochs=1))
    monkeypatch.setattr(choosing, "by_hand", lambda _: hand)
    settings = Settings(
        few_shot=FewShotSettings(folds=2, written=0, min_gain=0.0),
        training=TrainingSettings(rank=4, alpha=8, batch_size=2, isolated=False),
    )
    with Memory.open(tmp_path / "brain", model=chat_model, embedder=HashEmbedder(), settings=settings) as memory:
        scope = memory.scope()
        report = scope.learn("who and what", PAIRS)
        assert report.state == "promoted", report.reason
        assert report.adapter is not None
        manifest = verify(memory.folder / "adapters" / report.adapter, memory._parts.base_sha256)
        assert manifest.hyper_parameters["max_passes"] == report.recipe.epochs
        assert [answer.text for answer in scope.run_many("who and what", [text for text, _ in PAIRS])] == [output for _, output in PAIRS]
        assert report.trials[0].figures.probability > report.trials[1].figures.probability
        assert report.recipe == hand[0]
        assert scope.adapters.live is None


@pytest.mark.slow
def test_a_writer_really_trained_on_winners_writes_a_recipe_for_another_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    won = recipe("lower_case", rate=5e-4, epochs=7)
    monkeypatch.setattr(chat_models, "VOCABULARY", words := (*chat_models.VOCABULARY, won.text))  # a recipe is one token of this model
    model = chat_models.open_chat_model(chat_models.save_chat_model(tmp_path / "model", vocab_size=len(words)))
    settings = Settings(
        training=TrainingSettings(rank=4, alpha=8, batch_size=2, anchor_share=0.0, isolated=False),
        practice=PracticeSettings(editor_passes=12, editor_rate=1e-2),
    )
    seen, unseen = to_task("seen", PAIRS), to_task("unseen", [(f"please , {asked}", answer) for asked, answer in PAIRS])
    with Memory.open(tmp_path / "brain", model=model, embedder=HashEmbedder(), settings=settings) as memory:
        current = Round(
            backends=memory._parts.backends(), scope=memory.scope().id, progress=silent, should_stop=lambda: False, started=time.monotonic()
        )
        with candidate(current, [(seen, won)]) as (_, name, _):
            assert sampled(unseen, model, 2, 0.2, 0, name) == [won, won]
        assert all(isinstance(one, str) for one in sampled(unseen, model, 2, 0.2, 0))
        assert not list((memory.folder / "adapters").glob("*"))
