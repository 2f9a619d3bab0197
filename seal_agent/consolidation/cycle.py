"""One consolidation of one scope, from the first unread episode to the adapter that answers the next request.

This file is the table of contents; each step has a home of its own. It knows protocols only: with the fakes it runs in a second, with a
large model on a GPU unchanged. A cycle reads a snapshot, and promotes in one transaction or not at all.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.examining import examine
from seal_agent.consolidation.inner_loop import anchor_count
from seal_agent.consolidation.leasing import leased
from seal_agent.consolidation.preparing import Lesson, draw, prepare
from seal_agent.consolidation.run import Run, running, stage
from seal_agent.consolidation.selection import is_due, select, told_after
from seal_agent.consolidation.settling import begin, record_only, register, settle
from seal_agent.errors import TrainingError
from seal_agent.ledger.leases import Lease
from seal_agent.types import CyclePlan, CycleReport, Example, ProgressCallback, ScopeId, TrainingResult, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a scheduled night brings along: the lease that it claimed, and from how much news on it is worth the training."""

    lease: Lease | None = None
    min_new_facts: int = 1


def consolidate(
    backends: Backends,
    scope: ScopeId,
    *,
    progress: ProgressCallback,
    should_stop: Callable[[], bool],
    clock: Callable[[], datetime],
    terms: Terms = Terms(),  # frozen
) -> CycleReport:
    """Run one cycle; its report is in the ledger too.

    Raise `CycleRunningError` when one of this scope is under way, `CycleInterruptedError`, or what a step raised, after closing the cycle.
    """
    with leased(backends, scope, clock, terms.lease) as held:
        run = Run(scope=scope, backends=backends, progress=progress, should_stop=should_stop, clock=clock, lease=held.lease, lost=held.lost)
        return learn(run, terms)


def learn(run: Run, terms: Terms) -> CycleReport:
    backends, scope = run.backends, run.scope
    with stage(run, "select"):
        selection = select(backends, scope)
    with stage(run, "facts"):
        drafts = draw(run, selection)
        told = told_after(selection, drafts)
    if not is_due(scope, selection, told):
        return record_only(run, selection, drafts)
    begin(run, selection, drafts)
    with running(run) as staged:
        with stage(run, "self-edits"):
            lesson = prepare(run, told)
        with stage(run, "train"):
            training = train(run, lesson, staged.folder)
        with stage(run, "evaluate"):
            verdict = examine(run, lesson, staged, selection.live)
        with stage(run, "settle"):
            adapter = register(run, lesson, verdict, training, selection.live)
            return settle(run, lesson, verdict, training, adapter)


def train(run: Run, lesson: Lesson, out: Path) -> TrainingResult:
    """Train one candidate from the frozen base on everything that holds."""
    if not lesson.taught:
        raise TrainingError(f"No fact of {run.scope.key!r} has enough sound study material; see self_edit.min_documents_per_fact.")
    return run.backends.trainer.train(
        lesson.examples, probes=lesson.probes, out=out, seed=run.seed, progress=run.progress, should_stop=run.should_stop
    )


def plan(backends: Backends, scope: ScopeId, *, clock: Callable[[], datetime]) -> CyclePlan:
    """Say what a cycle would do now, and for about how long. Writes nothing, and the model writes nothing."""
    run = Run(scope=scope, backends=without_model(backends), progress=silent, should_stop=lambda: False, clock=clock)
    selection = select(backends, scope)
    drafts = draw(run, selection)
    told = told_after(selection, drafts)
    due = is_due(scope, selection, told)
    examples = with_stand_ins(prepare(run, told).examples, backends.settings.training.anchor_share) if due else []
    tokens, seconds = backends.trainer.estimate(examples) if examples else (0, 0.0)
    new = [fact for fact, _ in told if fact.state in ("active", "queued")]
    return CyclePlan(
        scope=scope,
        new_facts=tuple(new),
        replayed_facts=tuple(fact for fact, _ in told if fact not in new),
        superseded=tuple(old for draft in drafts for old in draft.supersedes),
        episodes=len(selection.episodes),
        estimated_tokens=tokens,
        estimated_seconds=seconds,
        reason=f"{len(new)} facts are new" if new else "what holds has changed" if due else "nothing new to learn",
    )


def without_model(backends: Backends) -> Backends:
    """The backends of a dry run: nothing is asked of the model, so the floor stands for all material and no anchors are made."""
    settings = backends.settings
    self_edit = settings.self_edit.model_copy(update={"questions_per_fact": 0})
    training = settings.training.model_copy(update={"anchor_share": 0.0})
    return replace(backends, settings=settings.model_copy(update={"self_edit": self_edit, "training": training}))


def with_stand_ins(examples: Sequence[Example], anchor_share: float) -> list[Example]:
    """Count lessons for the anchors, which are about as long."""
    return [*examples, *itertools.islice(itertools.cycle(examples), anchor_count(len(examples), anchor_share))]
