"""How an adapter of a skill becomes known: published, registered and recorded with its verdict, in one transaction or not at all."""

import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import JsonValue, TypeAdapter
from sqlalchemy import Connection

from seal_agent import __version__
from seal_agent.adapters.artefact import Manifest, TrainingFigures, adapter_name, new_stage, publish, weights_sha256
from seal_agent.consolidation.backends import Backends
from seal_agent.ledger import adapters, cycles, skills
from seal_agent.ledger.encoding import hash_text
from seal_agent.ledger.skills import Skill, SkillKind
from seal_agent.types import Adapter, CycleReport, CycleState, Decision, Fact, ScopeId, TrainingResult

_report = TypeAdapter(CycleReport)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What was trained for a skill, and on what."""

    folder: Path
    """As the trainer left it; stays the caller's to remove."""
    training: TrainingResult
    hyper_parameters: Mapping[str, JsonValue]
    facts: Sequence[Fact] = ()
    """Forgetting one of them withdraws the adapter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is recorded of an attempt at a skill."""

    scope: ScopeId
    kind: SkillKind
    name: str
    decision: Decision
    reason: str
    record: str
    """JSON text, read by whoever learnt the skill."""
    seed: int


def register(backends: Backends, entry: Entry, candidate: Candidate | None, at: datetime) -> Skill:
    """Record the attempt; a promoted one is in force from now on. Raise `IntegrityError` or `StoreFullError`; then nothing was recorded."""
    cycle_id = f"c_{uuid.uuid4().hex[:16]}"
    promoted = entry.decision.verdict == "promote"
    state: CycleState = "promoted" if promoted else "rejected"
    with backends.ledger.write() as conn:
        adapter = published(conn, backends, entry, candidate, cycle_id, at) if candidate is not None and promoted else None
        report = CycleReport(
            cycle_id=cycle_id,
            scope=entry.scope,
            state=state,
            reason=entry.reason,
            adapter=adapter.name if adapter else None,
            training=candidate.training if candidate else None,
            decision=entry.decision,
            seed=entry.seed,
        )
        cycles.record_cycle(conn, cycle_id, entry.scope, entry.seed, state, entry.reason, _report.dump_json(report).decode(), at)
        if adapter is not None:
            adapters.register_adapter(conn, adapter)
        skill = Skill(
            scope=entry.scope,
            kind=entry.kind,
            name=entry.name,
            adapter=adapter.name if adapter else None,
            cycle_id=cycle_id,
            verdict=entry.decision.verdict,
            record=entry.record,
            at=at,
        )
        skills.record_skill(conn, skill)
    return skill


def published(conn: Connection, backends: Backends, entry: Entry, candidate: Candidate, cycle_id: str, at: datetime) -> Adapter:
    """Publish a copy of the candidate under the scope's next version, which nobody else can take meanwhile."""
    version = adapters.next_version(conn, entry.scope)
    sha256 = weights_sha256(candidate.folder)
    name = adapter_name(entry.scope, version, sha256)
    root = backends.folder / "adapters"
    manifest = Manifest(
        name=name,
        scope=entry.scope.key,
        version=version,
        parent=None,
        base_id=backends.model.id,
        base_sha256=backends.base_sha256,
        tokenizer_sha256=backends.tokenizer_sha256,
        base_revision=backends.base_revision,
        facts={fact.id: hash_text(fact.text) for fact in candidate.facts},
        self_edits={},
        seed=entry.seed,
        hyper_parameters=dict(candidate.hyper_parameters),
        code_version=__version__,
        created_at=at,
        training=TrainingFigures.of(candidate.training),
        evaluation=None,
    )
    copy = new_stage(root)
    shutil.copytree(candidate.folder, copy)
    path = publish(copy, root, manifest)
    return Adapter(
        name=name,
        scope=entry.scope,
        version=version,
        path=path.relative_to(backends.folder),
        sha256=sha256,
        base_id=backends.model.id,
        parent=None,
        state="promoted",
        created_at=at,
        cycle_id=cycle_id,
        fact_ids=tuple(fact.id for fact in candidate.facts),
    )
