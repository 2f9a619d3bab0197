"""What a consolidation stands on, travelling together: the ledger and the four replaceable parts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seal_agent.config import Settings, TrainingSettings
from seal_agent.ledger.ledger import Ledger
from seal_agent.protocols import Embedder, Grader, Model, TextWriter, Trainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Backends:
    """Built once by `memory.py`; `consolidation/` and `nights.py` only ever see these protocols."""

    ledger: Ledger
    model: Model
    trainer: Trainer
    embedder: Embedder
    grader: Grader
    settings: Settings
    folder: Path
    """The brain directory: adapters are published under `folder/adapters/`, caches under `folder/cache/`."""
    base_sha256: str
    """Hash of the base model's weights; an adapter serves only on the weights that it was trained on."""
    tokenizer_sha256: str | None = None
    """Hash of its tokenizer and chat template; None for a model without files."""
    base_revision: str | None = None
    """The hub's commit of the base, where it came from the hub."""
    trainer_with: Callable[[TrainingSettings], Trainer] | None = None
    """Makes a trainer with other settings than the night's, for recipes; None where a trainer was passed in, which has its own."""
    writer: TextWriter | None = None
    """Who writes self-edits and, by `facts.reader`, reads turns; None is the model itself."""

    def trainer_for(self, settings: TrainingSettings) -> Trainer:
        """Return a trainer with these settings, or the one that was passed in."""
        return self.trainer if self.trainer_with is None else self.trainer_with(settings)
