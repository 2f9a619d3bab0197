"""What a cycle writes to the ledger: its beginning, the candidate as an adapter, and its end, each in one transaction."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import Connection

from seal_agent import __version__
from seal_agent.adapters.artefact import (
    EvaluationFigures,
    Manifest,
    TrainingFigures,
    adapter_name,
    new_stage,
    publish,
    verify,
    weights_sha256,
)
from seal_agent.adapters.switch import promotion_reason, switch
from seal_agent.consolidation.examining import Verdict
from seal_agent.consolidation.facts import Draft
from seal_agent.consolidation.outcomes import outcomes_of
from seal_agent.consolidation.preparing import Lesson
from seal_agent.consolidation.run import QUEUED, Run, remove_unregistered
from seal_agent.consolidation.selection import Selection
from seal_agent.consolidation.snapshot import Snapshot
from seal_agent.errors import IntegrityError, TrainingError
from seal_agent.ledger import adapters, cycles, episodes, facts
from seal_agent.ledger.encoding import hash_text
from seal_agent.types import Adapter, CycleReport, CycleState, FactOutcome, FactState, TrainingResult

logger = logging.getLogger(__name__)

ACTIVE: frozenset[FactState] = frozenset({"active"})

_report = TypeAdapter(CycleReport)


def record_only(run: Run, selection: Selection, drafts: Sequence[Draft], reason: str = "nothing new to learn") -> CycleReport:
    """Nothing to train: the episodes count as read, and the cycle as skipped."""
    report = skipped(run, reason)
    with run.write() as conn:
        at = run.clock()
        cycles.start_cycle(conn, run.id, run.scope, run.seed, at)
        record(conn, run, selection, drafts, at)
        close(conn, report, at)
    return report


def skip(run: Run, reason: str) -> CycleReport:
    """Nothing to do tonight: everything waits as it is."""
    report = skipped(run, reason)
    with run.write() as conn:
        at = run.clock()
        cycles.start_cycle(conn, run.id, run.scope, run.seed, at)
        close(conn, report, at)
    return report


def skipped(run: Run, reason: str) -> CycleReport:
    return CycleReport(
        cycle_id=run.id, scope=run.scope, state="skipped", reason=reason, seconds=dict(run.seconds), seed=run.seed, reading=run.reading
    )


def verdict_known(run: Run, snapshot: Snapshot) -> str | None:
    """Why training on this would change nothing, or None: an earlier cycle did it, on the same facts, with the same result."""
    with run.backends.ledger.read() as conn:
        before = cycles.judged_before(conn, run.scope, snapshot.text)
        made = [adapter for adapter in adapters.list_adapters(conn, run.scope) if before and adapter.cycle_id == before.id]
    if before is None:
        return None
    if before.state == "promoted":
        return promoted_before(run, made[0]) if made else None
    if before.state == "skipped":
        return before.reason
    return f"nothing has changed since cycle {before.id} was rejected: {before.reason}"


def promoted_before(run: Run, adapter: Adapter) -> str | None:
    """What to say of an adapter that was taken back since: training would make it anew, byte for byte."""
    if adapter.state == "quarantined":
        return (
            f"nothing has changed since {adapter.name} was trained, which is quarantined: the same would come of it. Forget, correct or"
            " reject what is wrong in it, or change training.seed"
        )
    try:
        verify(run.backends.folder / adapter.path, run.backends.base_sha256)
    except IntegrityError:
        return None  # its files are lost: made anew they can serve again
    return (
        f"nothing has changed since {adapter.name} was trained, which was taken back; seal-agent adapters promote makes it live again, "
        "and whatever is learnt next gets a chance of its own"
    )


def begin(run: Run, selection: Selection, drafts: Sequence[Draft], snapshot: Snapshot) -> None:
    """Record the drawn facts, mark their episodes as read, queue everything that holds, and what the cycle works on."""
    with run.write() as conn:
        at = run.clock()
        cycles.start_cycle(conn, run.id, run.scope, run.seed, at, snapshot.text)
        record(conn, run, selection, drafts, at)
        for fact in facts.list_facts(conn, run.scope, states=ACTIVE):
            facts.set_fact_state(conn, fact.id, "queued")


def record(conn: Connection, run: Run, selection: Selection, drafts: Sequence[Draft], at: datetime) -> None:
    for draft in drafts:
        facts.add_fact(conn, draft.fact, draft.vector, run.backends.embedder.id)
        for old in draft.supersedes:
            facts.supersede(conn, old, draft.fact.id, draft.fact.valid_from)
    episodes.mark_extracted(conn, run.scope, [episode.id for episode in selection.episodes], at)


def register(
    conn: Connection, run: Run, lesson: Lesson, verdict: Verdict, training: TrainingResult, live: Adapter | None
) -> Adapter | None:
    """Publish a copy of the candidate's files under the next version's name, inside the transaction that makes it known.

    So nobody who was replaced publishes anything, and what is not settled can be published again. None for a rejected candidate that is
    too broken to be published: there is nothing worth keeping.
    """
    remove_unregistered(conn, run)  # of a process that was killed between publishing and settling: its name would be this one's
    version = adapters.next_version(conn, run.scope)
    candidate = run.workplace / verdict.path
    sha256 = weights_sha256(candidate)
    name = adapter_name(run.scope, version, sha256)
    at = run.clock()
    copy = new_stage(run.adapters)
    shutil.copytree(candidate, copy)
    promoted = verdict.decision.verdict == "promote"
    try:
        path = publish(copy, run.adapters, manifest_of(run, lesson, verdict, training, live, name, version, at))
    except IntegrityError as error:
        if promoted:
            raise
        logger.warning("the rejected candidate of cycle %s is not kept: %s", run.id, error)
        return None
    return Adapter(
        name=name,
        scope=run.scope,
        version=version,
        path=path.relative_to(run.backends.folder),
        sha256=sha256,
        base_id=run.backends.model.id,
        parent=live.name if live else None,
        state="promoted" if promoted else "rejected",
        created_at=at,
        cycle_id=run.id,
        fact_ids=lesson.taught,
    )


def manifest_of(
    run: Run, lesson: Lesson, verdict: Verdict, training: TrainingResult, live: Adapter | None, name: str, version: int, at: datetime
) -> Manifest:
    taught = set(lesson.taught)
    return Manifest(
        name=name,
        scope=run.scope.key,
        version=version,
        parent=live.name if live else None,
        base_id=run.backends.model.id,
        base_sha256=run.backends.base_sha256,
        tokenizer_sha256=run.backends.tokenizer_sha256,
        base_revision=run.backends.base_revision,
        facts={fact.id: hash_text(fact.text) for fact in lesson.facts if fact.id in taught},
        self_edits=lesson.material.counts(),
        seed=run.seed,
        hyper_parameters=run.backends.settings.training.model_dump(),
        code_version=__version__,
        created_at=at,
        training=TrainingFigures.of(training),
        evaluation=EvaluationFigures.of(verdict.evaluation),
        scale=verdict.evaluation.scale,
    )


def settle(run: Run, lesson: Lesson, verdict: Verdict, training: TrainingResult, live: Adapter | None) -> CycleReport:
    """One transaction, in force only while the lease is ours: the adapter, what it knows of each fact, the live pointer, the end."""
    promoted = verdict.decision.verdict == "promote"
    outcomes = outcomes_of(lesson, verdict.evaluation, promoted=promoted)
    with run.write() as conn:
        refuse_forgotten(conn, lesson)
        adapter = register(conn, run, lesson, verdict, training, live)
        report = report_of(run, lesson, verdict, training, adapter, outcomes)
        at = run.clock()
        known = {outcome.fact_id: outcome for outcome in outcomes if outcome.fact_id in set(lesson.taught)}
        if adapter is not None:
            adapters.register_adapter(conn, adapter)
            adapters.record_learning(conn, adapter.name, [(i, o.state == "learned", o.probability) for i, o in known.items()])
        for fact in facts.list_facts(conn, run.scope, states=QUEUED):
            facts.set_fact_state(conn, fact.id, "not_learned", probability=known[fact.id].probability if fact.id in known else None)
        if adapter is not None and promoted:
            switch(conn, run.scope, adapter.name, at, promotion_reason(run.id))
            for fact in facts.list_facts(conn, run.scope, states=ACTIVE):
                if any(fact.id == told.id for told in lesson.facts):  # no sound material: trying again with the same gives the same
                    facts.set_fact_state(conn, fact.id, "not_learned")
        close(conn, report, at)
    return report


def settle_untaught(run: Run, lesson: Lesson, live: Adapter | None) -> CycleReport:
    """Nothing is left to teach: what the live adapter tells and no longer holds must not be told on, so the base answers again."""
    stale = live is not None and not set(live.fact_ids) <= {fact.id for fact in lesson.facts}
    reason = (
        f"no fact of {run.scope.key!r} has enough sound study material (self_edit.min_documents_per_fact)"
        if lesson.facts
        else f"no fact of {run.scope.key!r} is left to teach"
    )
    report = skipped(run, f"{reason}; the base answers again" if stale else reason)
    with run.write() as conn:
        at = run.clock()
        for fact in facts.list_facts(conn, run.scope, states=QUEUED):
            facts.set_fact_state(conn, fact.id, "not_learned")
        if stale:
            switch(conn, run.scope, None, at, f"nothing left to teach, by {run.id}")
        close(conn, report, at)
    return report


def refuse_forgotten(conn: Connection, lesson: Lesson) -> None:
    """What was forgotten while it was being taught must not come back with the weights."""
    known = facts.known_ids(conn, lesson.taught)
    gone = sum(fact_id not in known for fact_id in lesson.taught)
    if gone:  # counted, not named: the reason is kept in the ledger
        raise TrainingError(f"{gone} of the facts being taught were forgotten meanwhile; nothing was promoted. Consolidate again.")


def report_of(
    run: Run, lesson: Lesson, verdict: Verdict, training: TrainingResult, adapter: Adapter | None, outcomes: tuple[FactOutcome, ...]
) -> CycleReport:
    state: CycleState = "promoted" if verdict.decision.verdict == "promote" else "rejected"
    learned = sum(outcome.state == "learned" for outcome in outcomes)
    reason = f"{learned} of {len(outcomes)} facts learned" if state == "promoted" else "; ".join(verdict.decision.reasons)
    if training.budget is not None:
        settings = run.backends.settings.training
        limit = settings.max_tokens if training.budget == "tokens" else f"{settings.max_minutes:g}"
        reason += (
            f"; training was stopped by training.max_{training.budget} = {limit} in pass {training.passes} of {settings.max_passes},"
            f" after {training.steps} steps"
        )
    return CycleReport(
        cycle_id=run.id,
        scope=run.scope,
        state=state,
        reason=reason,
        adapter=adapter.name if adapter else None,
        facts=outcomes,
        self_edits=lesson.material.counts(),
        training=replace(training, path=adapter.path if adapter else training.path),
        evaluation=verdict.evaluation,
        decision=verdict.decision,
        seconds=dict(run.seconds),
        seed=run.seed,
        reading=run.reading,
    )


def close(conn: Connection, report: CycleReport, at: datetime) -> None:
    cycles.end_cycle(conn, report.cycle_id, report.state, report.reason, _report.dump_json(report).decode(), at)
