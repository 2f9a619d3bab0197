"""What a cycle works on, in one line of text: which facts hold, what is live, and everything that decides what is made of them.

Kept with the cycle. With it a cycle whose process died is taken up again on the same facts, and what the gate has refused once is not
trained again as long as nothing has changed: same snapshot, same material, same seed, same verdict.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from seal_agent import __version__
from seal_agent.config import TrainingSettings
from seal_agent.consolidation.backends import Backends
from seal_agent.types import Adapter, Fact

DECIDING = ("self_edit", "training", "gate")
"""Sections of the settings that change what a cycle makes of its facts."""
NOT_DECIDING = {"training": TrainingSettings.NOT_DECIDING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Facts never change their text, so their ids say it all."""

    told: tuple[str, ...]
    live: str | None
    stands_on: str
    """Hash of the settings, the models and the version of this package."""

    @property
    def text(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> "Snapshot":
        row = json.loads(text)
        return cls(told=tuple(row["told"]), live=row["live"], stands_on=row["stands_on"])


def snapshot_of(backends: Backends, told: Sequence[Fact], live: Adapter | None) -> Snapshot:
    return Snapshot(told=tuple(fact.id for fact in told), live=live.name if live else None, stands_on=foundation(backends))


def foundation(backends: Backends) -> str:
    settings = backends.settings
    sections = {name: getattr(settings, name).model_dump(exclude=NOT_DECIDING.get(name)) for name in DECIDING}
    stands_on = [sections, settings.model.system_prompt, backends.model.id, backends.base_sha256, backends.embedder.id, __version__]
    return hashlib.sha256(json.dumps(stands_on, sort_keys=True, default=str).encode()).hexdigest()
