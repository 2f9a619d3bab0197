"""One consolidation of one scope, and the adapter that comes of it."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from seal_agent.types.evaluation import Decision, Evaluation
from seal_agent.types.facts import Fact, FactState
from seal_agent.types.scopes import ScopeId
from seal_agent.types.study import TrainingResult

CycleState = Literal["running", "promoted", "rejected", "skipped", "failed"]
AdapterState = Literal["candidate", "promoted", "rejected", "quarantined"]
WRITER_FAILED = "the writer failed"
"""Among the reasons of what was refused: for so many facts there is the floor only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One LoRA artefact. Immutable: a name is used once and its files never change."""

    name: str
    scope: ScopeId
    version: int
    path: Path
    sha256: str
    """Of `adapter_model.safetensors`."""
    base_id: str
    parent: str | None
    state: AdapterState
    created_at: datetime
    cycle_id: str
    fact_ids: tuple[str, ...]
    live: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FactOutcome:
    """What a cycle made of one fact."""

    fact_id: str
    text: str
    state: FactState
    documents: int
    """Items of study material whose answer states it."""
    rarest: int = 0
    """Items that hold the part of it which occurs least often: each should be in four at least."""
    diversity: float = 0.0
    """1 less the mean share of words that two prompts of its material have in common."""
    probability: float | None = None
    recalled: int = 0
    asked: int = 0
    regressed: bool = False
    """An earlier cycle had learned it; this candidate has not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CyclePlan:
    """What a consolidation would do, and about how long it would take."""

    scope: ScopeId
    new_facts: tuple[Fact, ...]
    replayed_facts: tuple[Fact, ...]
    superseded: tuple[str, ...]
    episodes: int
    estimated_tokens: int
    estimated_seconds: float
    """Of training, at most its budget, and of judging what comes of it."""
    reason: str
    """Why there is something to do, or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingReport:
    """What came of having a writer read the turns of users, in one cycle."""

    reader: str
    """Id of the model that read."""
    turns: int
    """That were to be read."""
    answered: int
    stated: int
    """Claims that the turn bears out, in the reader's statement."""
    floor: int
    """Claims in whose place the user's own sentence stands."""
    refused: dict[str, int]
    """Claims and replies that failed a check, by reason."""
    tokens: int
    """That the reader wrote."""
    failure: str = ""
    """Why it was not asked on; the rules drew the facts of the turns that were left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleReport:
    """What one consolidation of one scope did."""

    cycle_id: str
    scope: ScopeId
    state: CycleState
    reason: str
    adapter: str | None = None
    facts: tuple[FactOutcome, ...] = ()
    self_edits: dict[str, int] = field(default_factory=dict)
    """Accepted items by kind, and what was refused by reason ("refused: ungrounded", …)."""
    training: TrainingResult | None = None
    evaluation: Evaluation | None = None
    decision: Decision | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall seconds by stage."""
    seed: int = 0
    reading: ReadingReport | None = None
    """None where the rules alone drew the facts."""

    @property
    def unwritten(self) -> int:
        """Facts for which the writer could not be reached."""
        return self.self_edits.get(f"refused: {WRITER_FAILED}", 0)
