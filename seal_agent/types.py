"""The records that flow between the rooms of the house; words as in the README's glossary.

Data only: frozen, slotted, keyword-only dataclasses. Times are timezone-aware UTC, probabilities lie in [0, 1], log-probabilities are
natural logarithms. Behaviour over these records lives with the concept (the gate in `consolidation/gate.py`, and so on).
"""

import re
import unicodedata
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Literal

from seal_agent.errors import InvalidScopeError

Role = Literal["system", "user", "assistant", "tool"]
FactKind = Literal["preference", "procedure", "correction", "profile", "knowledge", "event"]
FactState = Literal["active", "queued", "learned", "not_learned", "superseded", "rejected", "expired"]
FactChange = Literal[
    "recorded", "superseded", "corrected", "rejected", "expired", "pinned", "unpinned", "told_again", "learned", "not_learned"
]
SelfEditKind = Literal["restatement", "question", "cloze", "rewrite", "implication", "relation", "reverse", "negative", "unknown"]
CycleState = Literal["running", "promoted", "rejected", "skipped", "failed"]
AdapterState = Literal["candidate", "promoted", "rejected", "quarantined"]
Route = Literal["auto", "text", "weights", "both", "base"]
"""Where an answer may come from. "auto" lets the router choose one of the others; "base" is the untouched model without context."""
MetadataValue = str | int | float | bool
"""What a host may note beside an episode, under a key of its own."""
MissedAt = Literal["not_extracted", "no_material", "not_recalled", "stale"]

AnswerVerdict = Literal["good", "bad"]
ProbeKind = Literal["format", "refusal", "abstention"]
FindingKind = Literal["canary", "secret", "intruder", "ungrounded"]

MAX_ID_LENGTH = 128
BASE = "base"
"""Stands for the untouched model in an answer's id; no adapter's name is so short."""
REDACTED = re.compile(r"\[redacted: (\w+)\]")


def redaction_mark(kind: str) -> str:
    """What stands in a recorded text where a secret or personal data stood."""
    return f"[redacted: {kind}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeId:
    """Whose memory it is. `user=None` is the agent's shared scope, `agent=None` the tenant's."""

    tenant: str = "default"
    agent: str | None = "default"
    user: str | None = None

    def __post_init__(self) -> None:
        if self.agent is None and self.user is not None:
            raise InvalidScopeError(f"A user's scope needs an agent: got user={self.user!r} with agent=None.")
        for label, value in (("tenant", self.tenant), ("agent", self.agent), ("user", self.user)):
            if value is not None or label == "tenant":  # without a tenant, the key would be that of another scope
                check_id(label, value)

    @property
    def key(self) -> str:
        """The scope as one string, `tenant/agent/user`; `/` can't occur in an id, so no two scopes share a key."""
        return "/".join(part for part in (self.tenant, self.agent, self.user) if part is not None)

    @classmethod
    def of(cls, key: str) -> "ScopeId":
        """Return the scope whose `key` this is."""
        tenant, agent, user = (*key.split("/"), None, None)[:3]
        return cls(tenant=tenant or "", agent=agent, user=user)

    @property
    def subject(self) -> str:
        """How facts of this scope name the person they are about."""
        if self.user is None:
            return "The customer"
        words = self.user.replace("_", " ").replace("-", " ").replace(".", " ").split()
        return " ".join(word[:1].upper() + word[1:] for word in words) or self.user

    @property
    def ancestors(self) -> tuple["ScopeId", ...]:
        """The scopes whose shared facts this one may see, nearest first, without itself."""
        shared: list[ScopeId] = []
        if self.user is not None:
            shared.append(ScopeId(tenant=self.tenant, agent=self.agent))
        if self.agent is not None:
            shared.append(ScopeId(tenant=self.tenant, agent=None))
        return tuple(shared)


def check_id(label: str, value: str | None) -> None:
    """Refuse ids that look alike, escape a path or can't be stored; raise `InvalidScopeError`."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidScopeError(f"{label}={value!r} is not an id: give a non-empty string.")
    if len(value) > MAX_ID_LENGTH:
        raise InvalidScopeError(f"{label} is {len(value)} characters long; at most {MAX_ID_LENGTH} are allowed.")
    if unicodedata.normalize("NFKC", value) != value:
        raise InvalidScopeError(
            f"{label}={value!r} is not in Unicode normal form NFKC; normalise it first, so that no two scopes look alike."
        )
    if value in {".", ".."} or any(c in "/\\" or unicodedata.category(c)[0] == "C" for c in value) or value != value.strip():
        raise InvalidScopeError(
            f"{label}={value!r} holds a slash, a control character or surrounding white space; use letters, digits and . _ - @ : instead."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message of an interaction, and one message of a prompt."""

    role: Role
    content: str
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One recorded interaction. Append-only; `id` is its scope's own, and the caller's where one was given."""

    id: str
    scope: ScopeId
    session: str | None
    at: datetime
    turns: tuple[Turn, ...]
    source: str = "agent"
    outcome: str | None = None
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    """The host's own notes, to filter a search by."""
    redacted: tuple[str, ...] = field(init=False, default=())
    """Kinds of what was taken out of the turns before they were recorded, in order; a mark stands in each place."""

    def __post_init__(self) -> None:
        kinds = tuple(kind for turn in self.turns if "[redacted: " in turn.content for kind in REDACTED.findall(turn.content))
        object.__setattr__(self, "redacted", kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """One interaction to be recorded, for `Scope.add_many`; the fields are the arguments of `Scope.add`."""

    messages: str | Turn | Sequence[Turn | Mapping[str, str]]
    session: str | None = None
    at: datetime | None = None
    source: str = "agent"
    outcome: str | None = None
    id: str | None = None
    metadata: Mapping[str, MetadataValue] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which entries a search may return. Every condition must hold; of several values, any. No condition, everything."""

    since: datetime | None = None
    """Said or true from then on, inclusive."""
    until: datetime | None = None
    """Said or true before then, exclusive."""
    fields: Mapping[str, tuple[MetadataValue, ...]] = field(default_factory=dict)
    """Conditions on an episode or turn: session, source, outcome, author, role; or on the entry: kind ("turn" or "fact")."""
    metadata: Mapping[str, tuple[MetadataValue, ...]] = field(default_factory=dict)
    """Conditions on the host's own notes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a fact rests: a turn of an episode (`turn` is its position, from 0)."""

    episode_id: str
    turn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One atomic, attributed statement in the third person, with the user's own words beside it."""

    id: str
    scope: ScopeId
    kind: FactKind
    text: str
    quote: str
    """The user's own words that it was drawn from; for a fact stated outright, the statement."""
    state: FactState = "active"
    sources: tuple[Source, ...] = ()
    valid_from: datetime
    valid_to: datetime | None = None
    """Since when it no longer holds; of a fact that is told, when it will expire."""
    superseded_by: str | None = None
    learned_by: str | None = None
    """Name of the adapter that learnt it, when `state` is "learned"."""
    probability: float | None = None
    """Geometric mean probability of the answer's tokens on held-out questions, closed book, by `learned_by` or the last candidate."""
    pinned: bool = False
    """Always in the profile, first; neither expires nor is superseded by what is merely said."""
    recorded_at: datetime | None = field(default=None, compare=False)
    """When the ledger took it in; `valid_from` is since when it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactEvent:
    """One thing that happened to a fact."""

    fact_id: str
    at: datetime
    change: FactChange
    text: str
    """What the fact says."""
    note: str = ""
    """The reason given, the fact that took its place, or the adapter that learnt it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfEdit:
    """One item of study material: a prompt and the answer to learn, tied to the fact it restates."""

    fact_id: str
    kind: SelfEditKind
    prompt: str
    answer: str
    writer: str
    """`"floor"` for the deterministic material, else the id of the model that wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question with the answers that count as right, any one of them as a phrase of the reply."""

    id: str
    text: str
    answers: tuple[str, ...]
    stale: tuple[str, ...] = ()
    """Answers that used to be right; a reply that holds one of these and none of `answers` is stale, not merely wrong."""
    fact_id: str | None = None
    reference: str | None = None
    """The whole sentence that training teaches as the answer, where there is one; its probability is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What a model said to one prompt."""

    text: str
    tokens: int
    finished: bool = True
    """False when the token limit cut it off."""
    logprob: float | None = None
    """Mean log-probability per token of what was said, where the model tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One training item: loss on `answer` only. `weight` scales its loss."""

    prompt: tuple[Turn, ...]
    answer: str
    fact_id: str | None = None
    """None for anchors: these are held to the base's own distribution, not to `answer` alone."""
    weight: float = 1.0
    ended: bool = True
    """False when `answer` was cut off, so that its end is not taught."""
    source: str = ""
    """The statement or passage that `answer` is drawn from, for objectives that show it to the model; "" for anchors."""
    loss_on: Literal["answer", "all"] = "answer"
    """"all" teaches the prompt's tokens too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One step of long work. `done` and `total` count the unit that `stage` works through."""

    stage: str
    done: int
    total: int
    detail: str = ""
    loss: float | None = None
    tokens_per_second: float | None = None
    seconds_left: float | None = None


ProgressCallback = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """The progress callback of whoever does not want to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """What one training run did."""

    path: Path
    steps: int
    passes: int
    trained_tokens: int
    """Non-padding tokens that went through the model forward and backward."""
    seconds: float
    losses: tuple[float, ...]
    """Mean loss per answer token, one per pass, in nats."""
    stopped_early: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """One question, the reply and the verdict."""

    question: Question
    reply: str
    correct: bool
    stale: bool = False
    logprob: float | None = None
    """Mean log-probability per token of the first accepted answer, given the question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Something that a model does or doesn't do whatever it has learnt: keep to a format, refuse what is harmful, admit not to know."""

    id: str
    kind: ProbeKind
    prompt: str
    pattern: str = ""
    """Regular expression that is found in a reply that keeps to the format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """One probe, the reply, and whether it was met."""

    probe: Probe
    reply: str
    held: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something in a candidate's replies, or in what it was taught, that must not be there."""

    kind: FindingKind
    what: str
    """The canary or the intruding word; of a secret only its kind; "" for items without ground."""
    replies: int
    """In how many of the replies, or items."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """All that was measured of one view of the model (the base, or one adapter) in one evaluation."""

    adapter: str | None
    held_out: tuple[Graded, ...]
    retained: tuple[Graded, ...]
    general: tuple[Graded, ...]
    perplexity: float
    with_context: tuple[Graded, ...] = ()
    """Held-out questions asked with the fact in the prompt: an adapter must not make the model ignore what it is shown."""
    probes: tuple[Probed, ...] = ()
    kl: float | None = None
    """Divergence of this view from the base over what the base says, in nats per token; None where it was not measured."""

    @property
    def recall(self) -> float | None:
        return share(self.held_out)

    @property
    def retention(self) -> float | None:
        return share(self.retained)

    @property
    def general_accuracy(self) -> float | None:
        return share(self.general)

    @property
    def context_accuracy(self) -> float | None:
        return share(self.with_context)

    @property
    def median_nll(self) -> float | None:
        """Median over the held-out questions of the answer's negative log-likelihood per token, in nats: one odd answer doesn't move it."""
        known = [-graded.logprob for graded in self.held_out if graded.logprob is not None]
        return median(known) if known else None

    def held(self, kind: ProbeKind) -> float | None:
        """Share of the probes of a kind that were met."""
        found = [probed.held for probed in self.probes if probed.probe.kind == kind]
        return sum(found) / len(found) if found else None


def share(graded: tuple[Graded, ...]) -> float | None:
    """Share of right answers; None, never 0, when nothing was asked."""
    return sum(g.correct for g in graded) / len(graded) if graded else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Baseline and candidate on the same questions; `incumbent` is the live adapter's sheet when there is one."""

    baseline: Sheet
    candidate: Sheet
    incumbent: Sheet | None = None
    seed: int = 0
    scale: float = 1.0
    """Factor on the LoRA at which the candidate was judged."""
    inspected: int = 0
    """Replies of the candidate that were looked through for what must not be in them."""
    findings: tuple[Finding, ...] = ()

    @property
    def perplexity_ratio(self) -> float:
        return self.candidate.perplexity / self.baseline.perplexity


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The gate's verdict with every reason, also the ones that passed."""

    verdict: Literal["promote", "reject"]
    checks: tuple["Check", ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """The failed checks in words; empty for a promotion."""
        return tuple(check.text for check in self.checks if not check.passed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One threshold of the gate, with the figures it compared."""

    name: str
    passed: bool
    text: str
    interval: tuple[float, float] | None = None
    """95 % interval of the change, for shares of the same questions."""


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
    reason: str
    """Why there is something to do, or nothing."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One search result. `score` is fused and only comparable within one search."""

    text: str
    score: float
    source: Literal["turn", "fact"]
    episode_id: str | None
    fact_id: str | None
    role: Role | None
    at: datetime
    scope: ScopeId
    turn: int | None = None
    """Position of the turn in its episode, from 0."""
    name: str | None = None
    """Who said it, where the turn was given a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The block for a prompt: fenced, cited, within its token budget."""

    text: str
    tokens: int
    cited: tuple[str, ...]
    """Fact and episode ids, in order of appearance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Why an answer came out as it did."""

    route: Route
    """The route taken, never "auto"."""
    adapter: str | None
    cited: tuple[str, ...]
    prompt_tokens: int
    answer_tokens: int
    seconds: dict[str, float]
    why: str = ""
    """Why this route, in words."""
    confidence: float | None = None
    """Calibrated probability that the weights alone are right about this; None where it was not asked for."""
    abstained: bool = False
    """True when neither text nor weights knew, so that the reply says so."""
    answer_id: str = ""
    """Names this answer, for `Scope.feedback`: `<unique>@<adapter, or base>`. Made by itself."""

    def __post_init__(self) -> None:
        if not self.answer_id:
            object.__setattr__(self, "answer_id", f"a_{uuid.uuid4().hex[:16]}@{self.adapter or BASE}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What somebody said of an answer."""

    answer_id: str
    adapter: str | None
    """Which adapter gave it; None is the base."""
    verdict: AnswerVerdict
    note: str
    at: datetime
    rolled_back: str | None = None
    """Name of the adapter that was taken back because of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply with its trace."""

    text: str
    trace: Trace
    finished: bool = True
    """False when the token limit cut it off."""
