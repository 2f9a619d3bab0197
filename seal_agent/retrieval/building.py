"""Opening, filling and building a generation of the vector index: each step a function over an open one.

A generation is a folder, `index/gen-N/`, with a copy of the ledger's vectors of large scopes; the ledger records which one is current and,
per scope, the watermark up to which it is filled. Deliberately no threads (`vector_index.py`) and no Chroma (`projection.py`).
"""

import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from seal_agent.errors import VectorIndexError
from seal_agent.ledger.entries import scope_vectors_after, vectors_of
from seal_agent.ledger.generations import advance, begin_generation, current_generation, make_current, watermarks
from seal_agent.ledger.ledger import Ledger
from seal_agent.protocols import Vectors
from seal_agent.retrieval.generation_folders import delete_others
from seal_agent.retrieval.probe import Expected

logger = logging.getLogger(__name__)

Found = list[tuple[str, float]]

PAGE = 1_000
"""Vectors taken in at once by a generation that is not in use yet, about half a second."""
SERVING_PAGE = 100
"""The same while queries take turns with that, some 50 milliseconds."""
SAMPLE = 2_000
"""Vectors of a scope that the probe looks up, evenly over all of them."""
NEWEST = 1_000
"""The newest ones are looked up as well: what was being written when a process died is what tears."""


class Projection(Protocol):
    """A folder that is open (`projection.ChromaProjection`). Raises `VectorIndexError`."""

    def fill(self, scope_key: str, ids: Sequence[str], vectors: Vectors) -> None: ...

    def query(self, scope_key: str, vector: Vectors, k: int) -> Found: ...

    def count(self, scope_key: str) -> int: ...

    def close(self) -> None: ...


Probe = Callable[[Path, Sequence[Expected], Callable[[], bool]], None]
"""Raises `VectorIndexError` for a folder that must not be opened, or once it is told to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """How folders are opened, and tried out first."""

    connect: Callable[[Path], Projection]
    probe: Probe


@dataclass(slots=True, kw_only=True)
class Opened:
    """A generation that is open."""

    projection: Projection
    number: int
    folder: Path
    marks: dict[str, int] = field(default_factory=dict)
    """Per scope key, the last entry known to be in it."""
    held: dict[str, int] = field(default_factory=dict)
    """Per scope key, the number of vectors in it."""


def open_current(ledger: Ledger, embedder_id: str, backend: Backend, should_stop: Callable[[], bool]) -> Opened | None:
    """Probe the current generation and open it; None when there is none. Raise `VectorIndexError` for one that must not be used."""
    found = probe_current(ledger, embedder_id, backend.probe, should_stop)
    if found is None:
        return None
    opened = Opened(projection=backend.connect(found.folder), number=found.number, folder=found.folder, marks=found.marks)
    try:
        opened.held = {scope_key: opened.projection.count(scope_key) for scope_key in found.marks}
    except VectorIndexError:
        opened.projection.close()
        raise
    return opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """A generation that a child process has opened and found whole."""

    number: int
    folder: Path
    marks: dict[str, int]


def probe_current(ledger: Ledger, embedder_id: str, probe: Probe, should_stop: Callable[[], bool]) -> Probed | None:
    """Probe the current generation, which nobody may have open; None when there is none. Raise `VectorIndexError` for a broken one."""
    with ledger.read() as connection:
        generation = current_generation(connection, embedder_id)
        marks = {} if generation is None else watermarks(connection, generation.number)
    if generation is None:
        return None
    folder = ledger.folder / generation.path
    if not folder.is_dir():
        raise VectorIndexError(f"{folder} is gone.")
    probe(folder, [expected(ledger, embedder_id, scope_key, mark) for scope_key, mark in marks.items()], should_stop)
    return Probed(number=generation.number, folder=folder, marks=marks)


def expected(ledger: Ledger, embedder_id: str, scope_key: str, mark: int) -> Expected:
    """What the ledger holds of a scope up to the watermark, with a sample of the vectors."""
    ids: list[str] = []
    pages: list[Vectors] = []
    seq = 0
    while seq < mark:
        with ledger.read() as connection:
            seqs, page_ids, vectors = scope_vectors_after(connection, scope_key, embedder_id, seq, PAGE, up_to=mark)
        if not seqs:
            break
        seq = seqs[-1]
        ids.extend(page_ids)
        pages.append(vectors)
    if not pages:
        return Expected(scope_key=scope_key, ids=(), sample=np.empty((0, 0), dtype=np.float32))
    everything = np.concatenate(pages)
    evenly = np.linspace(0, len(ids) - 1, min(SAMPLE, len(ids)), dtype=np.intp)
    newest = np.arange(max(0, len(ids) - NEWEST), len(ids))
    return Expected(scope_key=scope_key, ids=ids, sample=everything[np.union1d(evenly, newest)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """What filling a generation takes."""

    ledger: Ledger
    embedder_id: str
    turn: AbstractContextManager[object]
    """Held for each use of the projection, and for nothing else, so that queries are not kept waiting."""
    should_stop: Callable[[], bool]


def fill(filling: Filling, opened: Opened, scope_key: str) -> None:
    """Take in all that the ledger has of a scope beyond the watermark, and note each page in the ledger.

    What is interrupted is repeated later: it does no harm.
    """
    while not filling.should_stop():
        if not fill_page(filling, opened, scope_key, SERVING_PAGE if scope_key in opened.marks else PAGE):
            return
        with filling.ledger.write() as connection:
            advance(connection, opened.number, scope_key, opened.marks[scope_key])


def fill_page(filling: Filling, opened: Opened, scope_key: str, limit: int) -> int:
    """Take in the next vectors of a scope; return how many they were."""
    mark = opened.marks.get(scope_key, 0)
    with filling.ledger.read() as connection:
        seqs, ids, vectors = scope_vectors_after(connection, scope_key, filling.embedder_id, mark, limit)
    if ids:
        take_in(filling, opened, scope_key, ids, vectors)
        opened.marks[scope_key] = seqs[-1]
    return len(ids)


def fill_late(filling: Filling, opened: Opened, scope_key: str, ids: Sequence[str]) -> None:
    """Take in these entries wherever the watermark is."""
    if scope_key not in opened.marks:
        return
    with filling.ledger.read() as connection:
        found, vectors = vectors_of(connection, scope_key, ids, filling.embedder_id)
    if found:
        take_in(filling, opened, scope_key, found, vectors)


def take_in(filling: Filling, opened: Opened, scope_key: str, ids: Sequence[str], vectors: Vectors) -> None:
    with filling.turn:
        opened.projection.fill(scope_key, ids, vectors)
        opened.held[scope_key] = opened.projection.count(scope_key)


def build(ledger: Ledger, embedder_id: str, backend: Backend, scope_keys: Iterable[str], should_stop: Callable[[], bool]) -> Opened:
    """Make a new generation from the vectors in the ledger. Needs no model. Nothing uses it before `switch_to`.

    Raise `VectorIndexError` when it can't be made or once `should_stop()` is true; then its folder is gone again.
    """
    with ledger.write() as connection:
        generation = begin_generation(connection, embedder_id)
    folder = ledger.folder / generation.path
    shutil.rmtree(folder, ignore_errors=True)  # left by a ledger that was later replaced with an older copy
    opened: Opened | None = None
    try:
        opened = Opened(projection=backend.connect(folder), number=generation.number, folder=folder)
        alone = Filling(ledger=ledger, embedder_id=embedder_id, turn=nullcontext(), should_stop=should_stop)
        for scope_key in scope_keys:
            while fill_page(alone, opened, scope_key, PAGE):
                if should_stop():
                    raise VectorIndexError(f"Building {folder} was interrupted.")
    except BaseException:
        if opened is not None:
            opened.projection.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return opened


def switch_to(ledger: Ledger, fresh: Opened) -> None:
    """Make it the current generation, in one transaction."""
    with ledger.write() as connection:
        make_current(connection, fresh.number, fresh.marks)
    logger.info("vector index generation %d is current: %d scopes, %d vectors", fresh.number, len(fresh.marks), sum(fresh.held.values()))


def delete_old(ledger: Ledger, kept: Path) -> None:
    """Delete the folders of former generations; one that resists is left for the next time, for it serves nobody."""
    try:
        delete_others(ledger.folder, kept)
    except VectorIndexError as error:
        logger.warning("%s", error)
