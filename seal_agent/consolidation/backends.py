"""What a consolidation stands on, travelling together: the ledger and the four replaceable parts."""

from dataclasses import dataclass
from pathlib import Path

from seal_agent.config import Settings
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
    writer: TextWriter | None = None
    """Who writes self-edits; None is the model itself."""
