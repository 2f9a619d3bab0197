"""A vector index on a fake projection whose folders outlive it, as on disk, and which can be told to fail, to lie or to be slow."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from seal_agent.errors import VectorIndexError
from seal_agent.ledger.ledger import Ledger
from seal_agent.protocols import Vectors
from seal_agent.retrieval.building import Backend, Found
from seal_agent.retrieval.probe import Expected
from seal_agent.retrieval.vector_index import VectorIndex
from tests.waiting import LONG


@dataclass
class Disk:
    """What is on disk, folder by folder, and what shall go wrong with it."""

    folders: dict[Path, dict[str, dict[str, Vectors]]] = field(default_factory=dict)
    broken: set[Path] = field(default_factory=set)
    """Folders that fail their probe and every use."""
    silent: bool = False
    """Queries find nothing."""
    full: bool = False
    """Nothing can be taken in."""
    slow: threading.Event | None = None
    """Taking in waits for it."""
    probed: list[Path] = field(default_factory=list)
    opened: list[Path] = field(default_factory=list)
    closed: list[Path] = field(default_factory=list)

    def index(self, ledger: Ledger, embedder_id: str) -> VectorIndex:
        return VectorIndex(ledger, embedder_id, Backend(connect=lambda folder: FakeProjection(self, folder), probe=self.probe))

    def probe(self, folder: Path, expected: Sequence[Expected], should_stop: Callable[[], bool]) -> None:
        self.probed.append(folder)
        if should_stop():
            raise VectorIndexError("interrupted")
        held = self.folders.get(folder, {})
        if folder in self.broken or any(set(scope.ids) - set(held.get(scope.scope_key, {})) for scope in expected):
            raise VectorIndexError(f"{folder} is broken")


class FakeProjection:
    def __init__(self, disk: Disk, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        disk.opened.append(folder)
        self._disk = disk
        self._folder = folder
        self._held = disk.folders.setdefault(folder, {})

    def fill(self, scope_key: str, ids: Sequence[str], vectors: Vectors) -> None:
        if self._disk.slow is not None:
            assert self._disk.slow.wait(LONG)
        if self._disk.full:
            raise VectorIndexError("no space left on device")
        self._held.setdefault(scope_key, {}).update(zip(ids, vectors, strict=True))

    def query(self, scope_key: str, vector: Vectors, k: int) -> Found:
        if self._folder in self._disk.broken:
            raise VectorIndexError(f"{self._folder} is broken")
        held = self._held[scope_key]
        scores = np.stack(list(held.values())) @ vector
        ranked = sorted(zip(held, scores.tolist(), strict=True), key=lambda pair: -pair[1])
        return [] if self._disk.silent else ranked[:k]

    def count(self, scope_key: str) -> int:
        return len(self._held[scope_key])

    def close(self) -> None:
        self._disk.closed.append(self._folder)
