"""What a training run has come to after each of its passes, in one file: a run whose process died goes on from there, to the same bytes.

Weights, optimiser, the order of what is to come and the figures; not what can be made again from the examples. The file begins with its
own hash and says which run it belongs to: one that is damaged, or of other examples or settings, counts as none. It is as private as what
it was trained on, and whoever named it deletes it. Deliberately kept once a pass only: a pass is what a crash may cost.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from seal_agent.adapters.folder import sync, write
from seal_agent.config import TrainingSettings
from seal_agent.models.local import LocalModel
from seal_agent.trainers.frozen import Item

logger = logging.getLogger(__name__)

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How far a run is, beside its tensors."""

    run: str
    """Which run it is: `run_id`."""
    steps: int
    tokens: int
    seconds: float
    losses: tuple[float, ...]
    """One per pass."""
    order: str
    """State of the generator that orders the next passes."""
    rests: tuple[bool, ...]
    """Of each item."""
    settled: tuple[str, ...]
    """Ids of the facts whose probes are answered."""
    learnt: bool
    """Whether the probes ended the run."""


DONE = TypeAdapter(Done)


class Checkpoint:
    """One run's file, or none: then nothing is kept."""

    def __init__(self, file: Path | None, run: str) -> None:
        self._file = file
        self.run = run

    def read(self) -> tuple[Done, Tensors] | None:
        """Return what is kept of this run; None where there is nothing, or nothing of use."""
        if self._file is None or not self._file.exists():
            return None
        try:
            sha256, head, tensors = self._file.read_bytes().split(b"\n", 2)
            if hashlib.sha256(head + b"\n" + tensors).hexdigest().encode() == sha256:
                done = DONE.validate_json(head)
                return (done, load(tensors)) if done.run == self.run else None
        except (OSError, ValueError, ValidationError, SafetensorError) as error:
            logger.warning("the checkpoint of a training can't be read, it begins again: %s", type(error).__name__)
            return None
        logger.warning("the checkpoint of a training is damaged, it begins again")
        return None

    def write(self, done: Done, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put it in the place of the pass before, wholly or not at all. Training goes on without where it can't be written."""
        if self._file is None:
            return
        content = json.dumps(asdict(done)).encode() + b"\n" + save({name: tensor.detach().cpu() for name, tensor in tensors.items()})
        draft = self._file.with_suffix(".tmp")
        try:
            draft.unlink(missing_ok=True)
            write(draft, [hashlib.sha256(content).hexdigest().encode() + b"\n", content])
            draft.replace(self._file)
            sync(self._file.parent)
        except OSError as error:  # a full disk, or the folder went because something was forgotten: the cycle notices either
            logger.warning("a training goes on without a checkpoint of its last pass: %s", error)
            draft.unlink(missing_ok=True)


def run_id(model: LocalModel, settings: TrainingSettings, items: Sequence[Item], probes: Sequence[Item], seed: int) -> str:
    """Hash of all that decides what a run comes to, this machine's ways of adding up included: same id, same bytes on a CPU."""
    digest = hashlib.sha256()
    decided = settings.model_dump(exclude=set(settings.NOT_DECIDING))
    digest.update(json.dumps([model.id, decided, seed, str(model.device), torch.get_num_threads(), torch.__version__]).encode())
    for item in (*items, *probes):
        digest.update(json.dumps([item.ids, item.start, item.weight, item.fact, item.open_ids]).encode())
    return digest.hexdigest()
