"""What `doctor --repair` mends: everything that can be made anew from the ledger's own records, and nothing else.

Deliberately touches no record: a ledger or an adapter that is damaged is for a backup to restore.
"""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from seal_agent.adapters.artefact import sweep
from seal_agent.doctor import Finding, fine, problem
from seal_agent.errors import IntegrityError, SealAgentError, StoreError
from seal_agent.ledger.entries import count_missing_vectors, large_scopes
from seal_agent.parts import Parts
from seal_agent.retrieval.backlog import embed_backlog

logger = logging.getLogger(__name__)

LEFTOVERS = (".archive-*", "*.backup.part")


def repair(parts: Parts) -> list[Finding]:
    """Make anew what can be; return what was done, a problem for each thing that could not be."""
    steps: dict[str, Callable[[Parts], str]] = {
        "lexical index": mend_words,
        "embeddings": embed_waiting,
        "index": mend_index,
        "leftovers": remove_leftovers,
    }
    found: list[Finding] = []
    for name, step in steps.items():
        try:
            found.append(fine(name, step(parts)))
        except SealAgentError as error:
            found.append(problem(name, f"not repaired: {error}", "see the message", error.exit_code))
    return found


def mend_words(parts: Parts) -> str:
    """Make the full-text index anew from the entries; raise `IntegrityError` when the entries themselves are damaged."""
    with parts.ledger.write() as connection:
        faults = [row[0] for row in connection.exec_driver_sql("PRAGMA quick_check(3)") if row[0] != "ok"]
        if faults:
            raise IntegrityError(f"the ledger is damaged ({'; '.join(faults)}); restore a backup")
        connection.exec_driver_sql("INSERT INTO entries_fts(entries_fts) VALUES ('rebuild')")
    return "made anew"


def embed_waiting(parts: Parts) -> str:
    done = 0
    with parts.ledger.read() as connection:
        waiting = count_missing_vectors(connection, parts.embedder_id)
    while waiting and (late := embed_backlog(parts.ledger, parts.embedder)):
        done += sum(len(ids) for ids in late.values())
    return f"{done} texts embedded" if done else "none waited"


def mend_index(parts: Parts) -> str:
    """Throw every generation away and make the index of the large scopes anew, without a model if no scope is large."""
    parts.discard_index()
    with parts.ledger.read() as connection:
        large = large_scopes(connection, parts.embedder_id, max(1, parts.settings.retrieval.exact_scan_below))
    if not large:
        return f"none needed: scopes below {parts.settings.retrieval.exact_scan_below} texts are scanned exactly"
    parts.searcher.rebuild_index()
    return f"made anew for {len(large)} scopes"


def remove_leftovers(parts: Parts) -> str:
    """Remove what processes left that died: half-written adapters, archives and copies."""
    removed = 0
    for pattern in LEFTOVERS:
        for path in parts.folder.glob(pattern):
            remove(path)
            removed += 1
    root = parts.folder / "adapters"
    removed += len(sweep(root)) if root.is_dir() else 0
    return f"{removed} removed" if removed else "none"


def remove(path: Path) -> None:
    try:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    except OSError as error:
        raise StoreError(f"{path} can't be removed ({error}); remove it by hand.") from error
