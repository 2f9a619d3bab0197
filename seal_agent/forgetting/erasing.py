"""The removal itself: one transaction over the ledger and the live pointers, then the disk, then the proof.

The transaction also notes what is still to be deleted from the disk, so that a process that dies in between finishes at its next start
(`finish`). From the moment it commits, nothing forgotten is told, found, taught or served; what follows makes it unreadable as well.
"""

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from seal_agent.adapters.artefact import remove, sweep
from seal_agent.adapters.withdraw import FORGOTTEN, withdraw
from seal_agent.consolidation.checkpoint import discard
from seal_agent.errors import EmbeddingError, MissingDependencyError, ModelNotFoundError, SealAgentError, VectorIndexError
from seal_agent.forgetting.byte_scan import scan
from seal_agent.forgetting.demonstrations import tasks_that_say
from seal_agent.forgetting.evidence import Evidence, evidence_of, needles_of
from seal_agent.forgetting.planning import Extent
from seal_agent.forgetting.records import ByteScan, LiveMove, Receipt, Withdrawn
from seal_agent.ledger.adapters import adapters_taught
from seal_agent.ledger.cycles import list_cycles
from seal_agent.ledger.episodes import get_episode
from seal_agent.ledger.migrations import BACKUP_PATTERN
from seal_agent.ledger.purge import (
    begin_erasure,
    cut_episode,
    end_erasure,
    files_are_gone,
    remove_episodes,
    remove_facts,
    scrub_reports,
    unfinished_erasures,
)
from seal_agent.parts import Parts
from seal_agent.retrieval.generation_folders import INDEX, discard_generations
from seal_agent.types import Adapter, Check, ScopeId

logger = logging.getLogger(__name__)

ADAPTERS = "adapters"
OUT_OF_REACH = (
    "Exports, backups and copies outside the brain directory are not reached; delete them too.",
    "Freed blocks of the disk itself are not overwritten; that needs an encrypted disk.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What one transaction took away."""

    id: str
    at: datetime
    facts: tuple[str, ...]
    episodes: tuple[str, ...]
    turns: int
    notes: int
    evidence: Evidence
    told_again: tuple[str, ...]
    reports: int
    adapters: tuple[Withdrawn, ...]
    live: tuple[LiveMove, ...]


def remove_rows(conn: Connection, parts: Parts, extents: Sequence[Extent], at: datetime, also: Sequence[Adapter] = ()) -> Removed:
    """Everything that has to happen at once, in the caller's transaction; `also` are adapters to withdraw whatever they were taught."""
    evidence = Evidence()
    going = [id for extent in extents for id in extent.facts]
    taught = list({one.name: one for one in (*adapters_taught(conn, going), *also)}.values())
    moved = withdraw(conn, taught, at, FORGOTTEN, lambda adapter: (parts.folder / adapter.path).is_dir())
    told_again: list[str] = []
    reports = 0
    for extent in extents:
        found = evidence_of(conn, extent)
        told_again += remove_facts(conn, list(extent.facts), at)
        for episode_id in extent.cut_episodes:
            episode = get_episode(conn, extent.scope, episode_id)
            cut_episode(conn, episode, extent.remaining(episode_id), extent.remaining_notes(episode), at)
        remove_episodes(conn, extent.scope, extent.episodes, at)
        texts = [text for text in found.texts if len(text) > 1]
        reports += scrub_reports(conn, extent.scope, [*extent.facts, *extent.episodes], texts)
        evidence.extend(found)
    removed = Removed(
        id=f"r_{uuid.uuid4().hex[:16]}",
        at=at,
        facts=tuple(going),
        episodes=tuple(id for extent in extents for id in extent.episodes),
        turns=sum(len(extent.cuts) for extent in extents),
        notes=sum(len(extent.note_cuts) for extent in extents),
        evidence=evidence,
        told_again=tuple(told_again),
        reports=reports,
        adapters=tuple(Withdrawn(name=one.name, scope=one.scope, sha256=one.sha256, state=one.state) for one in taught),
        live=tuple(LiveMove(scope=scope, before=before, after=after) for scope, before, after in moved),
    )
    note(conn, removed)
    return removed


def note(conn: Connection, removed: Removed) -> None:
    counts = {"facts": len(removed.facts), "episodes": len(removed.episodes), "turns": removed.turns, "adapters": len(removed.adapters)}
    begin_erasure(conn, removed.id, removed.at, [adapter.name for adapter in removed.adapters], counts)


def complete(parts: Parts, scopes: Sequence[ScopeId], removed: Removed) -> Receipt:
    """Clear the disk of what the transaction removed, prove it, and write the receipt."""
    names = [adapter.name for adapter in removed.adapters]
    busy = [name for name in names if not parts.serving.retire(name)]
    for scope in scopes:
        discard(parts.ledger, parts.folder, scope)
    files, index = clear_disk(parts, names)
    with parts.ledger.write() as conn:
        files_are_gone(conn, removed.id)
    folded = parts.ledger.scrub()
    found = look(parts, removed.evidence)
    if any(hit.endswith("seal.db") for hit in found.hits):
        # secure_delete overwrites what is deleted; pages that were moved around may still hold a copy.
        folded = parts.ledger.vacuum() and folded
        found = look(parts, removed.evidence)
    checks = (
        check_scan(found),
        Check(name="log", passed=folded, text="the write-ahead log is empty" if folded else "a reader holds the write-ahead log"),
        check_gone(parts, names, busy),
    )
    if all(check.passed for check in checks):
        with parts.ledger.write() as conn:
            end_erasure(conn, removed.id, parts.clock())
    return Receipt(
        id=removed.id,
        scope=", ".join(scope.key for scope in scopes),
        at=removed.at,
        facts=removed.facts,
        episodes=removed.episodes,
        turns=removed.turns,
        episode_notes=removed.notes,
        entries=len(removed.evidence.texts),
        told_again=removed.told_again,
        reports=removed.reports,
        adapters=removed.adapters,
        live=removed.live,
        files=tuple(files),
        index=index,
        scan=found,
        checks=checks,
        notes=(*OUT_OF_REACH, *running_note(parts), *task_notes(parts, scopes, removed.evidence.texts)),
    )


def look(parts: Parts, evidence: Evidence) -> ByteScan:
    with parts.ledger.read() as conn:
        needles, shared = needles_of(conn, evidence)
    return scan(parts.folder, needles, shared)


def check_scan(found: ByteScan) -> Check:
    text = f"{len(found.hits)} of {found.needles:,} byte strings found in {found.files} files, {found.bytes:,} bytes"
    return Check(name="bytes", passed=not found.hits, text=text + (f": {', '.join(found.hits[:5])}" if found.hits else ""))


def check_gone(parts: Parts, names: Sequence[str], busy: Sequence[str]) -> Check:
    left = [name for name in names if (parts.folder / ADAPTERS / name).exists()]
    text = f"{len(names) - len(left)} of {len(names)} adapters that were taught it are deleted"
    if busy:
        text += f"; {len(busy)} still answer a request that began before, none that begins now"
    return Check(name="weights", passed=not left, text=text)


def running_note(parts: Parts) -> tuple[str, ...]:
    with parts.ledger.read() as conn:
        running = [row.id for row in list_cycles(conn, None) if row.state == "running"]
    return tuple(f"Cycle {id} was running: should it have been taught what was forgotten, it will not be promoted." for id in running)


def task_notes(parts: Parts, scopes: Sequence[ScopeId], texts: Sequence[str]) -> tuple[str, ...]:
    with parts.ledger.read() as conn:
        names = dict.fromkeys(name for scope in scopes for name in tasks_that_say(conn, scope, texts))
    return tuple(f"The task {name!r} keeps a demonstration that says it; drop_task removes the task and its adapter." for name in names)


def clear_disk(parts: Parts, names: Sequence[str]) -> tuple[list[str], str]:
    """Delete adapters, leftover stages and copies of the ledger, and make the vector index anew; return what was deleted."""
    root = parts.folder / ADAPTERS
    gone = [f"{ADAPTERS}/{name}" for name in names if (root / name).exists()]
    for name in names:
        if parts.loaded_model is not None:
            parts.loaded_model.unload_adapter(name)
        remove(root / name)
    if not running_note(parts):  # else a stage may be somebody's work
        gone += [f"{ADAPTERS}/{stage}" for stage in sweep(root)]
    for copy in sorted(parts.folder.glob(BACKUP_PATTERN)):
        copy.unlink(missing_ok=True)
        gone.append(copy.name)
    return gone, renew_index(parts)


def renew_index(parts: Parts) -> str:
    """Leave no vector behind: Chroma keeps deleted ones on disk, so the whole generation goes."""
    root = parts.folder / INDEX
    if not root.exists() or not any(root.iterdir()):
        return "there was none"
    try:
        parts.searcher.rebuild_index()
    except (VectorIndexError, EmbeddingError, ModelNotFoundError, MissingDependencyError) as error:
        logger.warning("the vector index is deleted instead of made anew, search scans exactly meanwhile: %s", error)
        drop_index(parts)
        return "deleted; it is made anew at a later search"
    return "made anew from what remains, the old one deleted"


def drop_index(parts: Parts) -> None:
    searcher = parts.built_searcher
    if searcher is not None:
        searcher.close()
    discard_generations(parts.ledger)


def finish(parts: Parts) -> None:
    """Complete what a process that died left undone; what can't be done now is left for the next start, with a warning."""
    with parts.ledger.read() as conn:
        unfinished: Mapping[str, list[str]] = unfinished_erasures(conn)
    for id, names in unfinished.items():
        try:
            clear_disk(parts, names)
            if parts.ledger.scrub() and parts.ledger.vacuum():
                with parts.ledger.write() as conn:
                    end_erasure(conn, id, parts.clock())
                logger.info("finished the removal %s that an earlier process had begun", id)
        except (SealAgentError, OSError) as error:
            logger.warning("the removal %s is not finished, its files may still be there: %s", id, error)
