"""The gate: from an evaluation to promote or reject, with every reason. A pure function; it asks nobody and changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from seal_agent.config import GateSettings
from seal_agent.consolidation.intervals import change_interval
from seal_agent.types import Check, Decision, Evaluation, Finding, Graded, ProbeKind, share

ROUNDING = 1e-9
"""3 of 60 questions are exactly the 5 points that are allowed, 3 of 10 less 1 of 10 exactly 20 points; floats say otherwise."""

ABSURD = 1e6
"""A factor on perplexity from which on the figure says nothing more."""

PROBES: tuple[ProbeKind, ...] = ("format", "refusal", "abstention")


def decide(evaluation: Evaluation, settings: GateSettings) -> Decision:
    """Promote only when every check passes. Nothing asked is a failed check, never a passed one."""
    checks = (
        gain(evaluation, settings),
        likelihood(evaluation),
        *harms(evaluation, settings),
        retention(evaluation, settings),
        outputs(evaluation),
    )
    return Decision(verdict="promote" if all(check.passed for check in checks) else "reject", checks=checks)


def harms(evaluation: Evaluation, settings: GateSettings) -> tuple[Check, ...]:
    """Whether what has nothing to do with the new facts was left alone: what a smaller candidate would do less of."""
    return (
        general(evaluation, settings),
        perplexity(evaluation, settings),
        divergence(evaluation, settings),
        *(probes(kind, evaluation, settings) for kind in PROBES),
        with_context(evaluation, settings),
    )


def drifted(evaluation: Evaluation, settings: GateSettings) -> bool:
    """Whether the candidate learnt but harms what it should leave alone: then a smaller scale may do."""
    return gain(evaluation, settings).passed and not all(check.passed for check in harms(evaluation, settings))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The same questions asked of two views."""

    before: Sequence[Graded]
    after: Sequence[Graded]

    def check(self, name: str, what: str, most: float, unasked: str, digits: int = 0) -> Check:
        """Accuracy may fall by at most `most`; nothing asked fails."""
        before, after = share(tuple(self.before)), share(tuple(self.after))
        if before is None or after is None:
            return Check(name=name, passed=False, text=unasked)
        return Check(
            name=name,
            passed=before - after <= most + ROUNDING,
            text=f"{what} {before:.{digits}%} -> {after:.{digits}%} (at most -{most:.0%})",
            interval=change_interval(self.before, self.after),
        )


def gain(evaluation: Evaluation, settings: GateSettings) -> Check:
    before, after = evaluation.baseline.recall, evaluation.candidate.recall
    if before is None or after is None:
        return Check(name="gain", passed=False, text="no held-out question was asked, so nothing is known of what was learnt")
    return Check(
        name="gain",
        passed=after - before >= settings.min_gain - ROUNDING,
        text=f"held-out recall {before:.0%} -> {after:.0%} (at least +{settings.min_gain:.0%})",
        interval=change_interval(evaluation.baseline.held_out, evaluation.candidate.held_out),
    )


def likelihood(evaluation: Evaluation) -> Check:
    """The answers must not have become less probable, at the median: what is right by luck alone was not learnt."""
    before, after = evaluation.baseline.median_nll, evaluation.candidate.median_nll
    if before is None or after is None:
        return Check(name="likelihood", passed=False, text="the held-out answers have no probability")
    text = f"median loss of the held-out answers {before:.2f} -> {after:.2f} nats per token (must not rise)"
    return Check(name="likelihood", passed=after <= before, text=text)


def general(evaluation: Evaluation, settings: GateSettings) -> Check:
    asked = Asked(before=evaluation.baseline.general, after=evaluation.candidate.general)
    unasked = "no general question was asked, so nothing is known of what was harmed"
    return asked.check("general", "general questions", settings.max_general_drop, unasked, digits=1)


def perplexity(evaluation: Evaluation, settings: GateSettings) -> Check:
    ratio = evaluation.perplexity_ratio
    # Written so that a NaN fails.
    passed = ratio <= settings.max_perplexity_ratio
    told = f"x{ratio:.3f}" if ratio < ABSURD else "beyond measure: the candidate's predictions are broken"
    return Check(name="perplexity", passed=passed, text=f"perplexity on general text {told} (at most x{settings.max_perplexity_ratio:.2f})")


def divergence(evaluation: Evaluation, settings: GateSettings) -> Check:
    kl = evaluation.candidate.kl
    if kl is None:
        return Check(name="divergence", passed=False, text="divergence from the base was not measured")
    return Check(
        name="divergence",
        passed=kl <= settings.max_kl,
        text=f"divergence from what the base says {kl:.2f} nats per token (at most {settings.max_kl:.2f})",
    )


def probes(kind: ProbeKind, evaluation: Evaluation, settings: GateSettings) -> Check:
    before, after = evaluation.baseline.held(kind), evaluation.candidate.held(kind)
    if before is None or after is None:
        return Check(name=kind, passed=False, text=f"no {kind} probe was asked")
    passed = before - after <= settings.max_probe_drop + ROUNDING
    return Check(name=kind, passed=passed, text=f"{kind} probes met {before:.0%} -> {after:.0%} (at most -{settings.max_probe_drop:.0%})")


def with_context(evaluation: Evaluation, settings: GateSettings) -> Check:
    """Beside whoever answers now: the live adapter where it was asked, else the base."""
    incumbent = evaluation.incumbent
    before = incumbent.with_context if incumbent is not None and incumbent.with_context else evaluation.baseline.with_context
    unasked = "no question was asked with its fact in the prompt"
    asked = Asked(before=before, after=evaluation.candidate.with_context)
    return asked.check("with context", "answers with the fact in the prompt", settings.max_context_drop, unasked)


def retention(evaluation: Evaluation, settings: GateSettings) -> Check:
    """Beside whoever answers now: the live adapter, or the base where there is none or it is damaged."""
    incumbent = evaluation.incumbent or evaluation.baseline
    if not incumbent.retained or not evaluation.candidate.retained:
        return Check(name="retention", passed=True, text="no facts from earlier cycles")
    asked = Asked(before=incumbent.retained, after=evaluation.candidate.retained)
    return asked.check("retention", "earlier facts", settings.max_retention_drop, "no facts from earlier cycles")


def outputs(evaluation: Evaluation) -> Check:
    if not evaluation.inspected:
        return Check(name="outputs", passed=False, text="no reply was looked through for what must not be in it")
    found = "; ".join(told(finding) for finding in evaluation.findings)
    return Check(name="outputs", passed=not found, text=found or f"no canary, secret or intruding word in {evaluation.inspected} replies")


def told(finding: Finding) -> str:
    match finding.kind:
        case "canary":
            return f"the canary {finding.what!r} in {finding.replies} replies"
        case "secret":
            return f"a secret ({finding.what}) in {finding.replies} replies"
        case "ungrounded":
            return f"{finding.replies} items of its study material teach what their fact does not say"
        case "intruder":
            return f"{finding.what!r}, which is in no fact and nothing that the base says, in {finding.replies} replies"
