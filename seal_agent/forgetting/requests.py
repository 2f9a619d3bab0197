"""What a caller asks for: preview, forget, erase, rebuild. Puts planning, erasing and the proof in their order."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from sqlalchemy import Connection

from seal_agent.errors import EmbeddingError, MissingDependencyError, ModelNotFoundError, SealAgentError, UsageError
from seal_agent.forgetting.demonstrations import tasks_that_say
from seal_agent.forgetting.erasing import complete, remove_rows
from seal_agent.forgetting.evidence import item_evidence, skill_evidence
from seal_agent.forgetting.exposure import expose, probes_of
from seal_agent.forgetting.matching import similar_to, targets_matching
from seal_agent.forgetting.planning import Extent, entry_rows, everything_of, extent_of, extent_of_all, first_turns, targets_by, targets_of
from seal_agent.forgetting.records import ForgetPlan, Rebuilt, Receipt, Targets
from seal_agent.ledger.adapters import get_adapter, list_adapters
from seal_agent.ledger.facts import TOLD, get_fact, list_facts
from seal_agent.ledger.migrations import BACKUP_PATTERN
from seal_agent.ledger.purge import remove_scope
from seal_agent.parts import Parts
from seal_agent.protocols import Vectors
from seal_agent.types import Check, CycleReport, Question, ScopeId

logger = logging.getLogger(__name__)

Consolidate = Callable[[ScopeId], CycleReport]


def resolve(parts: Parts, scope: ScopeId, ids: Sequence[str], *, query: str | None, author: str | None, everything: bool) -> Targets:
    """Turn one way of saying what is meant into exact ids; raise `UsageError` unless it is exactly one."""
    if sum((bool(ids), query is not None, author is not None, everything)) != 1:
        raise UsageError("Say what to forget in exactly one way: ids, query=, author= or everything=True.")
    for name, value in (("query", query), ("author", author)):
        if value is not None and not (isinstance(value, str) and value.strip()):
            raise UsageError(f"{name}={value!r} says nothing of what to forget: give a non-empty string.")
    vector = embedded(parts, query) if query is not None else None
    with parts.ledger.read() as conn:
        if everything:
            return everything_of(conn, scope)
        if author is not None:
            return targets_by(conn, scope, author)
        if query is not None:
            return targets_matching(conn, scope, query, vector, parts.embedder_id)
        return targets_of(conn, scope, ids)


def embedded(parts: Parts, query: str) -> Vectors | None:
    try:
        (vector,) = parts.embedder.embed([query])
    except (EmbeddingError, ModelNotFoundError, MissingDependencyError) as error:
        logger.warning("what to forget is matched by words alone: %s", error)
        return None
    return np.asarray(vector, dtype=np.float32)


def preview(parts: Parts, scope: ScopeId, targets: Targets, query: str | None = None) -> ForgetPlan:
    """Do all of it in a transaction that is undone: so the preview is what would happen, not a second opinion of it.

    `query` is what the targets were found by, if they were; tasks are looked through for it too.
    """
    with parts.ledger.write() as conn:
        extent = extent_for(conn, scope, targets)
        similar = similar_to(conn, scope, entry_rows(conn, extent), [f"{id}:{turn}" for id, turn in extent.cuts], parts.embedder_id)
        said = first_turns(conn, scope, extent.episodes)
        undone = conn.begin_nested()
        removed = remove_rows(conn, parts, [extent], parts.clock())  # an error undoes the whole transaction
        undone.rollback()
        told_again = [get_fact(conn, id) for id in removed.told_again]
        tasks = tasks_that_say(conn, scope, removed.evidence.texts, query)
    return ForgetPlan(
        scope=scope,
        targets=targets,
        facts=tuple(extent.facts.values()),
        episodes=tuple(extent.episodes),
        beginnings=tuple(said.get(id, "") for id in extent.episodes),
        cuts=tuple(extent.cuts.values()),
        note_cuts=tuple(extent.note_cuts.values()),
        told_again=tuple(told_again),
        similar=similar,
        adapters=tuple(adapter.name for adapter in removed.adapters),
        live=removed.live,
        backups=tuple(copy.name for copy in sorted(parts.folder.glob(BACKUP_PATTERN))),
        tasks=tasks,
    )


def extent_for(conn: Connection, scope: ScopeId, targets: Targets) -> Extent:
    """Following each of many targets is not needed where all of the scope is meant."""
    return extent_of_all(conn, scope) if targets == everything_of(conn, scope) else extent_of(conn, scope, targets)


def forget(parts: Parts, scope: ScopeId, targets: Targets, consolidate: Consolidate | None) -> Receipt:
    """Remove, prove and, with `consolidate`, rebuild now every scope whose live adapter was withdrawn."""
    probes: list[Question] = []
    if consolidate is not None:
        with parts.ledger.read() as conn:
            doomed = extent_for(conn, scope, targets).facts.values()
        probes = probes_of(doomed)
    with parts.ledger.write() as conn:
        removed = remove_rows(conn, parts, [extent_for(conn, scope, targets)], parts.clock())
    receipt = complete(parts, [scope], removed)
    if consolidate is None or not receipt.adapters:
        return receipt
    affected = dict.fromkeys(adapter.scope for adapter in receipt.adapters)
    return with_rebuilt(receipt, [rebuild(parts, one, consolidate, probes) for one in affected])


def rebuild(parts: Parts, scope: ScopeId, consolidate: Consolidate, probes: Sequence[Question]) -> Rebuilt:
    """Train a scope anew on what remains, and ask it about what does not. A night that fails leaves the scope without the adapter."""
    with parts.ledger.read() as conn:
        remains = bool(list_facts(conn, scope, states=TOLD, inherit=True))
    if not remains:
        return Rebuilt(scope=scope, state="skipped", reason="nothing is left to learn", adapter=None, sha256=None, exposure=None)
    try:
        report = consolidate(scope)
    except SealAgentError as error:
        logger.warning("the rebuild of %s failed, it answers without the adapter: %s", scope.key, error)
        return Rebuilt(scope=scope, state="failed", reason=str(error), adapter=None, sha256=None, exposure=None)
    sha256 = None
    if report.adapter is not None:
        with parts.ledger.read() as conn:
            sha256 = get_adapter(conn, report.adapter).sha256
    return Rebuilt(
        scope=scope,
        state=report.state,
        reason=report.reason,
        adapter=report.adapter,
        sha256=sha256,
        exposure=expose(parts, scope, probes),
    )


def with_rebuilt(receipt: Receipt, rebuilt: Sequence[Rebuilt]) -> Receipt:
    """The receipt with what the rebuild came to, and the check that the weights know no more than a model that was never told."""
    asked = [(one.scope.key, one.exposure) for one in rebuilt if one.exposure is not None]
    exposed = [key for key, exposure in asked if exposure.exposed]
    words = [f"{key}: {e.adapter_right} of {e.asked} right, the base {e.base_right}" for key, e in asked]
    check = Check(name="exposure", passed=not exposed, text="; ".join(words) or "no adapter is live, so the base answers")
    return replace(receipt, rebuilt=tuple(rebuilt), checks=(*receipt.checks, check))


def erase(parts: Parts, scopes: Sequence[ScopeId]) -> Receipt:
    """Remove everything of these scopes, their items, nights and adapters included, and prove it."""
    with parts.ledger.write() as conn:
        at = parts.clock()
        theirs = [adapter for scope in scopes for adapter in list_adapters(conn, scope)]
        kept = [found for scope in scopes for found in (item_evidence(conn, scope), skill_evidence(conn, scope))]
        removed = remove_rows(conn, parts, [extent_of_all(conn, scope) for scope in scopes], at, also=theirs)
        for scope in scopes:
            remove_scope(conn, scope)
    for found in kept:
        removed.evidence.extend(found)
    removed.evidence.ids += [scope.key for scope in scopes] + [adapter.name for adapter in removed.adapters]
    return complete(parts, scopes, removed)
