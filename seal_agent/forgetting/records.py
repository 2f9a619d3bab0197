"""What forgetting is asked for, what it would do, and what it did.

Plans and receipts quote what goes: they are handed to the caller and never kept. What the brain keeps of a removal are its counts.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from seal_agent.types import AdapterState, Check, CycleState, Fact, Hit, ScopeId

Weights = Literal["untouched", "withdrawn", "rebuilt without"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnCut:
    """A turn of which something goes; `remaining` is `"[forgotten]"` where nothing stays."""

    episode_id: str
    turn: int
    text: str
    remaining: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteCut:
    """An outcome or a value of the metadata of which something goes; `remaining` is None where nothing stays."""

    episode_id: str
    key: str | None
    """The key of the metadata; None is the outcome."""
    text: str
    remaining: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveMove:
    """A scope's live pointer, before and after; None is the base."""

    scope: ScopeId
    before: str
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What was meant, as exact ids, so that what is confirmed is what was shown."""

    facts: tuple[str, ...] = ()
    episodes: tuple[str, ...] = ()
    turns: tuple[str, ...] = ()
    """As `episode:position`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetPlan:
    """A preview: everything that `forget` would remove or change. Pass it to `Scope.forget` to confirm it."""

    scope: ScopeId
    targets: Targets
    facts: tuple[Fact, ...]
    episodes: tuple[str, ...]
    """Whole episodes."""
    beginnings: tuple[str, ...]
    """The first turn of each of them, in the same order."""
    cuts: tuple[TurnCut, ...]
    note_cuts: tuple[NoteCut, ...]
    """Outcomes and metadata that say it too."""
    told_again: tuple[Fact, ...]
    """What they had superseded, and what is told again without them."""
    similar: tuple[Hit, ...]
    """What says nearly the same and stays: name it too if it is meant."""
    adapters: tuple[str, ...]
    """Adapters that were taught one of the facts: quarantined and deleted, for good."""
    live: tuple[LiveMove, ...]
    backups: tuple[str, ...]
    """Copies of the ledger in the brain directory, which hold what is to go."""
    tasks: tuple[str, ...] = ()
    """Tasks whose demonstrations say it too, and stay: `drop_task` removes one, with its adapter."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was found that could be forgotten."""
        return not (self.facts or self.episodes or self.cuts or self.note_cuts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """An adapter that was deleted, by the hash of its weights."""

    name: str
    scope: ScopeId
    sha256: str
    state: AdapterState
    """What it was before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """The same questions about what was forgotten, asked of the base and of what is live now, closed book."""

    asked: int
    base_right: int
    adapter_right: int

    @property
    def exposed(self) -> bool:
        """Whether the weights answer better than a model that was never told."""
        return self.adapter_right > self.base_right


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """A scope that was trained anew on what remains."""

    scope: ScopeId
    state: CycleState
    """How the cycle ended."""
    reason: str
    adapter: str | None
    sha256: str | None
    exposure: Exposure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteScan:
    """A search through every byte of the brain directory for what was removed, in several forms each."""

    files: int
    bytes: int
    needles: int
    """Byte strings looked for: excerpts of texts (also as JSON spells them), ids, vectors (also normalised)."""
    hits: tuple[str, ...]
    """`kind in file` for each that was found."""
    shared: int
    """Excerpts left out because what stays holds the same words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What was removed, and how that was checked."""

    id: str
    scope: str
    """The scope's key; of an erasure all keys, separated by commas."""
    at: datetime
    facts: tuple[str, ...]
    episodes: tuple[str, ...]
    turns: int
    """Turns that were cut or emptied."""
    episode_notes: int
    """Outcomes and values of metadata that were cut or taken out."""
    entries: int
    """Searchable texts that went, with their vectors and their words in the lexical index."""
    told_again: tuple[str, ...]
    reports: int
    """Reports of cycles that spoke of it."""
    adapters: tuple[Withdrawn, ...]
    live: tuple[LiveMove, ...]
    files: tuple[str, ...]
    """What was deleted in the brain directory."""
    index: str
    """What became of the vector index."""
    scan: ByteScan
    checks: tuple[Check, ...]
    rebuilt: tuple[Rebuilt, ...] = ()
    notes: tuple[str, ...] = field(default=())
    """What is out of reach from here."""

    @property
    def proven(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def weights(self) -> Weights:
        """What became of the weights."""
        if not self.adapters:
            return "untouched"
        return "rebuilt without" if self.rebuilt and all(one.state in ("promoted", "skipped") for one in self.rebuilt) else "withdrawn"
