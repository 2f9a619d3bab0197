"""What was measured of a model, and the gate's verdict on it."""

from dataclasses import dataclass
from statistics import median
from typing import Literal

from seal_agent.types.study import Question

ProbeKind = Literal["format", "refusal", "abstention"]
FindingKind = Literal["canary", "secret", "intruder", "ungrounded"]


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
class Check:
    """One threshold of the gate, with the figures it compared."""

    name: str
    passed: bool
    text: str
    interval: tuple[float, float] | None = None
    """95 % interval of the change, for shares of the same questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The gate's verdict with every reason, also the ones that passed."""

    verdict: Literal["promote", "reject"]
    checks: tuple[Check, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """The failed checks in words; empty for a promotion."""
        return tuple(check.text for check in self.checks if not check.passed)
