"""The gate: from an evaluation to promote or reject, with every reason. A pure function; it asks nobody and changes nothing."""

from seal_agent.config import GateSettings
from seal_agent.types import Check, Decision, Evaluation

ROUNDING = 1e-9
"""3 of 60 questions are exactly the 5 points that are allowed, 3 of 10 less 1 of 10 exactly 20 points; floats say otherwise."""

ABSURD = 1e6
"""A factor on perplexity from which on the figure says nothing more."""


def decide(evaluation: Evaluation, settings: GateSettings) -> Decision:
    """Promote only when every check passes. Nothing asked is a failed check, never a passed one."""
    checks = (gain(evaluation, settings), general(evaluation, settings), perplexity(evaluation, settings), retention(evaluation, settings))
    return Decision(verdict="promote" if all(check.passed for check in checks) else "reject", checks=checks)


def drifted(evaluation: Evaluation, settings: GateSettings) -> bool:
    """Whether the candidate learnt but harms what it should leave alone: then a smaller scale may do."""
    harmed = not (general(evaluation, settings).passed and perplexity(evaluation, settings).passed)
    return gain(evaluation, settings).passed and harmed


def gain(evaluation: Evaluation, settings: GateSettings) -> Check:
    before, after = evaluation.baseline.recall, evaluation.candidate.recall
    if before is None or after is None:
        return Check(name="gain", passed=False, text="no held-out question was asked, so nothing is known of what was learnt")
    passed = after - before >= settings.min_gain - ROUNDING
    return Check(name="gain", passed=passed, text=f"held-out recall {before:.0%} -> {after:.0%} (at least +{settings.min_gain:.0%})")


def general(evaluation: Evaluation, settings: GateSettings) -> Check:
    before, after = evaluation.baseline.general_accuracy, evaluation.candidate.general_accuracy
    if before is None or after is None:
        return Check(name="general", passed=False, text="no general question was asked, so nothing is known of what was harmed")
    passed = before - after <= settings.max_general_drop + ROUNDING
    return Check(
        name="general", passed=passed, text=f"general questions {before:.1%} -> {after:.1%} (at most -{settings.max_general_drop:.0%})"
    )


def perplexity(evaluation: Evaluation, settings: GateSettings) -> Check:
    ratio = evaluation.perplexity_ratio
    # Written so that a NaN fails.
    passed = ratio <= settings.max_perplexity_ratio
    told = f"x{ratio:.3f}" if ratio < ABSURD else "beyond measure: the candidate's predictions are broken"
    return Check(name="perplexity", passed=passed, text=f"perplexity on general text {told} (at most x{settings.max_perplexity_ratio:.2f})")


def retention(evaluation: Evaluation, settings: GateSettings) -> Check:
    incumbent = evaluation.incumbent
    before = incumbent.retention if incumbent else None
    after = evaluation.candidate.retention
    if before is None or after is None:
        return Check(name="retention", passed=True, text="no facts from earlier cycles")
    passed = before - after <= settings.max_retention_drop + ROUNDING
    return Check(
        name="retention", passed=passed, text=f"earlier facts {before:.0%} -> {after:.0%} (at most -{settings.max_retention_drop:.0%})"
    )
