"""A brain with two facts to learn, on a tiny random Llama with a real LoRA trainer: what `night_safety.py` runs its cycles on.

The model learns nothing worth knowing, so the gate is set to let everything pass: only what is done, and how often, is looked at.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from benchmarks.tiny_model import ANYTHING_PASSES
from seal_agent.config import ModelSettings, SelfEditSettings, Settings, TrainingSettings
from seal_agent.consolidation import cycle
from seal_agent.consolidation.asking import Topics
from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.durability import Durability
from seal_agent.consolidation.grading import PhraseGrader
from seal_agent.ledger.episodes import add_episode
from seal_agent.ledger.ledger import Ledger
from seal_agent.models.local import LocalModel
from seal_agent.models.weights import weights_sha256
from seal_agent.testing import HashEmbedder
from seal_agent.trainers.lora import LoraTrainer
from seal_agent.types import Episode, ScopeId, Turn, silent
from tests.chat_models import save_chat_model

SCOPE = ScopeId(agent="support", user="ana")
SAID = ("I've been vegan since 2011.", "I live in Porto.")
SETTINGS = Settings(
    gate=ANYTHING_PASSES,
    self_edit=SelfEditSettings(questions_per_fact=1, max_documents_per_fact=6, min_documents_per_fact=2, held_out_per_fact=1),
    training=TrainingSettings(rank=2, alpha=4, max_passes=2, batch_size=4, target_loss=0.0),
)


@cache
def loaded(weights: Path, _: int) -> LocalModel:
    """The model of one process: the thread that runs it does not come along in a fork."""
    return LocalModel(weights, "tiny", ModelSettings(dtype="float32", threads=1))


@dataclass(frozen=True, slots=True)
class Stand:
    """Where the model lies, and a brain folder to copy for each trial."""

    weights: Path
    template: Path
    base_sha256: str
    scope: ScopeId = SCOPE

    def backends(self, ledger: Ledger, folder: Path) -> Backends:
        model = loaded(self.weights, os.getpid())
        return Backends(
            ledger=ledger,
            model=model,
            trainer=LoraTrainer(model, SETTINGS.training),
            embedder=HashEmbedder(256),
            grader=PhraseGrader(),
            settings=SETTINGS,
            folder=folder,
            base_sha256=self.base_sha256,
        )


def open_stand(root: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Stand:
    """Make the model and the brain; everything that is the same in every trial is kept in the brain's cache."""
    weights = save_chat_model(root / "model")
    stand = Stand(weights=weights, template=root / "template", base_sha256=weights_sha256(weights))
    embedder, kept = HashEmbedder(256), stand.template / "cache"
    warm_up = root / "warm-up"
    with Ledger.open(warm_up) as ledger:
        tell(ledger, embedder)
        Topics(embedder, warm_up / "cache")
        Durability(embedder, warm_up / "cache")
        cycle.consolidate(stand.backends(ledger, warm_up), SCOPE, progress=silent, should_stop=lambda: False, clock=clock)
    stand.template.mkdir()
    (warm_up / "cache").rename(kept)
    with Ledger.open(stand.template) as ledger:
        tell(ledger, embedder)
    return stand


def tell(ledger: Ledger, embedder: HashEmbedder) -> None:
    turns = tuple(Turn(role="user", content=text) for text in SAID)
    episode = Episode(id="e1", scope=SCOPE, session="s1", at=datetime(2026, 11, 2, 9, tzinfo=UTC), turns=turns)
    with ledger.write() as conn:
        add_episode(conn, episode, embedder.embed(list(SAID)), embedder.id)
