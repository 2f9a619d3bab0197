"""What a cycle would do now, and for about how long: the dry run. Writes nothing, and the model writes nothing."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from pydantic import TypeAdapter

from seal_agent.config import TrainingSettings
from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.inner_loop import anchor_count
from seal_agent.consolidation.preparing import draw, prepare
from seal_agent.consolidation.run import Run
from seal_agent.consolidation.selection import is_due, select, told_after
from seal_agent.consolidation.settling import verdict_known
from seal_agent.consolidation.snapshot import snapshot_of
from seal_agent.ledger import cycles
from seal_agent.types import CyclePlan, CycleReport, Example, ScopeId, silent

REPORT = TypeAdapter(CycleReport)
JUDGING = "evaluate"
JUDGING_SHARE = 0.5
"""Of the seconds of training: a small model's first night trained for 245 and was judged for 115 (docs/LOG.md)."""


def plan(backends: Backends, scope: ScopeId, *, clock: Callable[[], datetime]) -> CyclePlan:
    """Say what a cycle would do now, and for about how long. Writes nothing, and the model writes nothing."""
    run = Run(scope=scope, backends=without_model(backends), progress=silent, should_stop=lambda: False, clock=clock)
    selection = select(backends, scope)
    drafts = draw(run, selection)
    told = told_after(selection, drafts)
    known = verdict_known(run, snapshot_of(backends, [fact for fact, _ in told], selection.live))
    due = is_due(scope, selection, told) and known is None
    examples = with_stand_ins(prepare(run, told).examples, backends.settings.training) if due else []
    tokens, seconds = backends.trainer.estimate(examples) if examples else (0, 0.0)
    judging = judging_seconds(backends, scope, seconds) if examples else 0.0
    new = [fact for fact, _ in told if fact.state in ("active", "queued")]
    return CyclePlan(
        scope=scope,
        new_facts=tuple(new),
        replayed_facts=tuple(fact for fact, _ in told if fact not in new),
        superseded=tuple(old for draft in drafts for old in draft.supersedes),
        episodes=len(selection.episodes),
        estimated_tokens=tokens,
        estimated_seconds=seconds + judging,
        reason=known or (f"{len(new)} facts are new" if new else "what holds has changed" if due else "nothing new to learn"),
    )


def judging_seconds(backends: Backends, scope: ScopeId, training: float) -> float:
    """What evaluation will take after so many seconds of training: as long as it did last time, or a usual share."""
    with backends.ledger.read() as conn:
        report = cycles.last_report(conn, scope)
    return (REPORT.validate_json(report).seconds.get(JUDGING, 0.0) if report else 0.0) or JUDGING_SHARE * training


def without_model(backends: Backends) -> Backends:
    """The backends of a dry run: nothing is asked of the model, so the floor stands for all facts and material, and no anchors are made."""
    settings = backends.settings
    self_edit = settings.self_edit.model_copy(update={"questions_per_fact": 0})
    facts = settings.facts.model_copy(update={"reader": "rules"})
    training = settings.training.model_copy(update={"anchor_share": 0.0})
    return replace(backends, settings=settings.model_copy(update={"facts": facts, "self_edit": self_edit, "training": training}))


def with_stand_ins(examples: Sequence[Example], settings: TrainingSettings) -> list[Example]:
    """Count lessons for the anchors, which are about as long."""
    return [*examples, *itertools.islice(itertools.cycle(examples), anchor_count(len(examples), settings))]
