"""What a round of practice leaves behind: the policy that won, and the editor if the gate lets it; each one transaction."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from seal_agent.consolidation.editor import NAME, POLICY_NAME, policy_of
from seal_agent.consolidation.policies import Policy
from seal_agent.consolidation.practising import Practice
from seal_agent.consolidation.registering import Candidate, Entry, register
from seal_agent.consolidation.round_report import FEWEST_JUDGED, Judgement, RoundReport, Tried, interval
from seal_agent.errors import TrainingError
from seal_agent.ledger.facts import known_ids
from seal_agent.ledger.skills import attempts_of
from seal_agent.types import Check, Decision, Fact, TrainingResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What was found before an editor was trained."""

    practice: Practice
    tried: tuple[Tried, ...]
    policy: Policy
    policies: Mapping[str, float]
    clock: Callable[[], datetime]


def keep_policy(found: Round) -> None:
    """Keep the policy that won, so that nights use it whether or not an editor comes of the round."""
    practice = found.practice
    if policy_of(practice.backends, practice.scope) == found.policy:
        return
    check = Check(name="policy", passed=True, text=f"best of {len(found.policies)} policies by mean reward: {found.policy.text}")
    entry = Entry(
        scope=practice.scope,
        kind="policy",
        name=POLICY_NAME,
        decision=Decision(verdict="promote", checks=(check,)),
        reason=f"practice: {check.text}",
        record=found.policy.text,
        seed=practice.seed,
    )
    register(practice.backends, entry, None, found.clock())


def decide(judged: Sequence[Judgement]) -> Decision:
    """Promote only an editor whose self-edits are worth more, on contexts it has not seen, beyond what chance would do."""
    differences = [one.difference for one in judged]
    low, high = interval(differences)
    mean = sum(differences) / len(differences)
    checks = (
        Check(
            name="contexts",
            passed=len(judged) >= FEWEST_JUDGED,
            text=f"judged on {len(judged)} contexts (at least {FEWEST_JUDGED})",
        ),
        Check(
            name="gain",
            passed=low > 0.0,
            text=f"self-edits worth {mean:+.3f} nats per token over the writer so far, 95 % interval {low:+.3f} to {high:+.3f} (above 0)",
        ),
    )
    return Decision(verdict="promote" if all(check.passed for check in checks) else "reject", checks=checks)


def settle(found: Round, judged: Sequence[Judgement], folder: Path, training: TrainingResult, facts: Sequence[Fact]) -> RoundReport:
    """Let the gate decide, and make the editor write from now on if it says so. Raise `TrainingError` if a fact was forgotten meanwhile."""
    practice = found.practice
    decision = decide(judged)
    promoted = decision.verdict == "promote"
    reason = decision.checks[-1].text if promoted else "; ".join(decision.reasons)
    with practice.backends.ledger.read() as conn:
        gone = len(facts) - len(known_ids(conn, [fact.id for fact in facts]))
    if gone:
        raise TrainingError(f"{gone} of the facts that were practised on were forgotten meanwhile; nothing was promoted. Practise again.")
    report = report_of(found, "promoted" if promoted else "rejected", reason, tuple(judged), decision)
    entry = Entry(
        scope=practice.scope,
        kind="editor",
        name=NAME,
        decision=decision,
        reason=f"practice: {reason}",
        record=json.dumps(figures_of(report)),
        seed=practice.seed,
    )
    settings = practice.backends.settings
    hyper_parameters = {**settings.training.model_dump(), "practice": settings.practice.model_dump_json()}
    made = Candidate(folder=folder, training=replace(training, path=Path(folder.name)), hyper_parameters=hyper_parameters, facts=facts)
    skill = register(practice.backends, entry, made, found.clock())
    return replace(report, editor=skill.adapter)


def figures_of(report: RoundReport) -> dict[str, object]:
    """The numbers of a round, without a word of the facts."""
    return {
        "round": report.round,
        "gain_untrained": report.gain_untrained,
        "gain_trained": report.gain_trained,
        "winner_curse": report.winner_curse,
        "policies": report.policies,
        "judged": [[one.context, one.untrained, one.trained] for one in report.judged],
    }


def skipped(found: Round, reason: str) -> RoundReport:
    return report_of(found, "skipped", reason, (), None)


def report_of(
    found: Round,
    state: Literal["promoted", "rejected", "skipped"],
    reason: str,
    judged: tuple[Judgement, ...],
    decision: Decision | None,
) -> RoundReport:
    practice = found.practice
    with practice.backends.ledger.read() as conn:
        rounds = len(attempts_of(conn, practice.scope, "editor", NAME))
    return RoundReport(
        round=rounds + 1,
        state=state,
        reason=reason,
        editor=None,
        writer=practice.editor,
        policy=found.policy,
        policies=dict(found.policies),
        tried=found.tried,
        judged=judged,
        decision=decision,
        seconds=round(time.monotonic() - practice.started, 3),
    )
