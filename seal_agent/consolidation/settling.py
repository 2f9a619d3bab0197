"""What a cycle writes to the ledger: its beginning, the candidate as an adapter, and its end, each in one transaction."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import Connection

from seal_agent import __version__
from seal_agent.adapters.artefact import EvaluationFigures, Manifest, TrainingFigures, adapter_name, publish, weights_sha256
from seal_agent.adapters.switch import switch
from seal_agent.consolidation.examining import Verdict
from seal_agent.consolidation.facts import Draft
from seal_agent.consolidation.outcomes import outcomes_of
from seal_agent.consolidation.preparing import Lesson
from seal_agent.consolidation.run import QUEUED, Run, remove_unregistered
from seal_agent.consolidation.selection import Selection
from seal_agent.errors import TrainingError
from seal_agent.ledger import adapters, cycles, episodes, facts
from seal_agent.ledger.encoding import hash_text
from seal_agent.types import Adapter, CycleReport, CycleState, FactOutcome, FactState, TrainingResult

ACTIVE: frozenset[FactState] = frozenset({"active"})

_report = TypeAdapter(CycleReport)


def record_only(run: Run, selection: Selection, drafts: Sequence[Draft]) -> CycleReport:
    """Nothing to train: the episodes count as read, and the cycle as skipped."""
    report = CycleReport(
        cycle_id=run.id, scope=run.scope, state="skipped", reason="nothing new to learn", seconds=run.seconds, seed=run.seed
    )
    with run.write() as conn:
        at = run.clock()
        cycles.start_cycle(conn, run.id, run.scope, run.seed, at)
        record(conn, run, selection, drafts, at)
        close(conn, report, at)
    return report


def begin(run: Run, selection: Selection, drafts: Sequence[Draft]) -> None:
    """Record the drawn facts, mark their episodes as read, and queue everything that holds."""
    with run.write() as conn:
        at = run.clock()
        cycles.start_cycle(conn, run.id, run.scope, run.seed, at)
        record(conn, run, selection, drafts, at)
        for fact in facts.list_facts(conn, run.scope, states=ACTIVE):
            facts.set_fact_state(conn, fact.id, "queued")


def record(conn: Connection, run: Run, selection: Selection, drafts: Sequence[Draft], at: datetime) -> None:
    for draft in drafts:
        facts.add_fact(conn, draft.fact, draft.vector, run.backends.embedder.id)
        for old in draft.supersedes:
            facts.supersede(conn, old, draft.fact.id, draft.fact.valid_from)
    episodes.mark_extracted(conn, [episode.id for episode in selection.episodes], at)


def register(run: Run, lesson: Lesson, verdict: Verdict, training: TrainingResult, live: Adapter | None) -> Adapter:
    """Publish the candidate's files under the next version's name; the ledger learns of it when the cycle settles."""
    remove_unregistered(run)  # of a process that was killed between publishing and settling: its name would be this one's
    with run.backends.ledger.read() as conn:
        version = adapters.next_version(conn, run.scope)
    sha256 = weights_sha256(verdict.folder)
    name = adapter_name(run.scope, version, sha256)
    at = run.clock()
    path = publish(verdict.folder, run.adapters, manifest_of(run, lesson, verdict, training, live, name, version, at))
    return Adapter(
        name=name,
        scope=run.scope,
        version=version,
        path=path.relative_to(run.backends.folder),
        sha256=sha256,
        base_id=run.backends.model.id,
        parent=live.name if live else None,
        state="promoted" if verdict.decision.verdict == "promote" else "rejected",
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


def settle(run: Run, lesson: Lesson, verdict: Verdict, training: TrainingResult, adapter: Adapter) -> CycleReport:
    """One transaction: the adapter, what it knows of each fact, the live pointer, the end of the cycle."""
    promoted = adapter.state == "promoted"
    outcomes = outcomes_of(lesson, verdict.evaluation, promoted=promoted)
    report = report_of(run, lesson, verdict, training, adapter, outcomes)
    at = run.clock()
    with run.write() as conn:
        refuse_forgotten(conn, lesson)
        adapters.register_adapter(conn, adapter)
        known = {outcome.fact_id: outcome for outcome in outcomes if outcome.fact_id in set(lesson.taught)}
        adapters.record_learning(conn, adapter.name, [(i, o.state == "learned", o.probability) for i, o in known.items()])
        for fact in facts.list_facts(conn, run.scope, states=QUEUED):
            facts.set_fact_state(conn, fact.id, "not_learned", probability=known[fact.id].probability if fact.id in known else None)
        if promoted:
            switch(conn, run.scope, adapter.name, at, f"promoted by {run.id}")
        close(conn, report, at)
    return report


def refuse_forgotten(conn: Connection, lesson: Lesson) -> None:
    """What was forgotten while it was being taught must not come back with the weights."""
    for fact_id in lesson.taught:
        if facts.get_fact(conn, fact_id).state == "forgotten":
            raise TrainingError(f"Fact {fact_id!r} was forgotten while it was being taught; nothing was promoted. Consolidate again.")


def report_of(
    run: Run, lesson: Lesson, verdict: Verdict, training: TrainingResult, adapter: Adapter, outcomes: tuple[FactOutcome, ...]
) -> CycleReport:
    state: CycleState = "promoted" if adapter.state == "promoted" else "rejected"
    learned = sum(outcome.state == "learned" for outcome in outcomes)
    reason = f"{learned} of {len(outcomes)} facts learned" if state == "promoted" else "; ".join(verdict.decision.reasons)
    return CycleReport(
        cycle_id=run.id,
        scope=run.scope,
        state=state,
        reason=reason,
        adapter=adapter.name,
        facts=outcomes,
        self_edits=lesson.material.counts(),
        training=training,
        evaluation=verdict.evaluation,
        decision=verdict.decision,
        seconds=dict(run.seconds),
        seed=run.seed,
    )


def close(conn: Connection, report: CycleReport, at: datetime) -> None:
    cycles.end_cycle(conn, report.cycle_id, report.state, report.reason, _report.dump_json(report).decode(), at)
