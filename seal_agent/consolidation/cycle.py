"""One consolidation of one scope, from the first unread episode to the adapter that answers the next request.

This file is the table of contents; each step has a home of its own. It knows protocols only: with the fakes it runs in a second, with a
large model on a GPU unchanged. A cycle reads a snapshot, and promotes in one transaction or not at all.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter

from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.checkpoint import Checkpoint
from seal_agent.consolidation.examining import Verdict, examine, weights_of
from seal_agent.consolidation.leasing import leased
from seal_agent.consolidation.planning import plan
from seal_agent.consolidation.preparing import Lesson, draw, prepare
from seal_agent.consolidation.reading import close_notebook, read, understood
from seal_agent.consolidation.resuming import Work, unfinished
from seal_agent.consolidation.run import Run, running, stage
from seal_agent.consolidation.selection import again, is_due, is_too_little, select, told_after
from seal_agent.consolidation.settling import begin, record_only, settle, settle_untaught, skip, verdict_known
from seal_agent.consolidation.snapshot import snapshot_of
from seal_agent.ledger.leases import Lease
from seal_agent.types import CycleReport, ProgressCallback, ReadingReport, ScopeId, TrainingResult

__all__ = ["Terms", "consolidate", "plan"]

LESSON = TypeAdapter(Lesson)
TRAINING = TypeAdapter(TrainingResult)
READING = TypeAdapter(tuple[ReadingReport, ...])
VERDICT = TypeAdapter(Verdict)
PASSES = "passes.bin"
"""Where training keeps how far it is; like all of the workplace it goes when the cycle ends, or something is forgotten."""


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
    terms: Terms = Terms(),
) -> CycleReport:
    """Run one cycle, or finish the one that was interrupted; its report is in the ledger too.

    Raise `CycleRunningError` when one of this scope is under way, `CycleInterruptedError` when it was stopped (the next call goes on from
    there), or what a step raised, after closing the cycle.
    """
    with leased(backends, scope, clock, terms.lease) as held:
        run = Run(scope=scope, backends=backends, progress=progress, should_stop=should_stop, clock=clock, lease=held.lease, lost=held.lost)
        work = unfinished(run) or choose(run, terms)
        return work if isinstance(work, CycleReport) else learn(work)


def choose(run: Run, terms: Terms) -> Work | CycleReport:
    """Begin a cycle on what there is to learn now, or record that there is nothing."""
    with stage(run, "select"):
        selection = select(run.backends, run.scope)
    with stage(run, "facts"):
        notes = read(run, selection.episodes)
        if notes is not None:  # that may have taken long: what was forgotten meanwhile is gone, and what came later waits
            selection = again(run.backends, run.scope, selection)
        reading = understood(run, notes, selection.episodes)
        run = replace(run, reading=reading.report)
        drafts = draw(run, selection, reading)
        told = told_after(selection, drafts)
    if not is_due(run.scope, selection, told):
        return recorded(run, record_only(run, selection, drafts))
    if is_too_little(run.scope, selection, told, terms.min_new_facts):
        return skip(run, f"fewer than {terms.min_new_facts} new facts (nights.min_new_facts); they wait")
    snapshot = snapshot_of(run.backends, [fact for fact, _ in told], selection.live)
    reason = verdict_known(run, snapshot)
    if reason is not None:
        return recorded(run, record_only(run, selection, drafts, reason))
    begin(run, selection, drafts, snapshot)
    close_notebook(run)
    return Work(run=run, told=told, live=selection.live)


def recorded(run: Run, report: CycleReport) -> CycleReport:
    close_notebook(run)
    return report


def learn(work: Work) -> CycleReport:
    """Work through the steps that this cycle has not finished yet."""
    run = work.run
    with running(run) as staged:
        done = Checkpoint(run)
        known = done.kept("reading", READING, lambda: () if work.run.reading is None else (work.run.reading,))
        run = replace(run, reading=known[0] if known else None)
        with stage(run, "self-edits"):
            lesson = done.kept("self-edits", LESSON, lambda: prepare(run, work.told))
        if not lesson.taught:
            return settle_untaught(run, lesson, work.live)
        with stage(run, "train"):
            training = done.kept("train", TRAINING, lambda: train(run, lesson, staged.folder), partial(weights_of, run))
        with stage(run, "evaluate"):
            verdict = done.kept("evaluate", VERDICT, lambda: examine(run, lesson, staged, work.live), partial(weights_of, run))
        with stage(run, "settle"):
            return settle(run, lesson, verdict, training, work.live)


def train(run: Run, lesson: Lesson, out: Path) -> TrainingResult:
    """Train one candidate from the frozen base on everything that holds."""
    shutil.rmtree(out, ignore_errors=True)  # of a process that died while it wrote
    result = run.backends.trainer.train(
        lesson.examples,
        probes=lesson.probes,
        out=out,
        seed=run.seed,
        progress=run.progress,
        should_stop=run.must_stop,
        checkpoint=run.workplace / PASSES,
    )
    return replace(result, path=Path(out.name))
