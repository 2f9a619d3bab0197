"""The items of one scope: what a host's own code keeps under namespaces and keys (a LangGraph store, for one).

Each call is one transaction. Deliberately gives values no meaning and calls no embedder: vectors come from the caller, named by what made
them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from seal_agent.ledger import items
from seal_agent.ledger.items import Address, Namespace, NewItem, StoredItem
from seal_agent.parts import Parts
from seal_agent.privacy.screen import screened_json
from seal_agent.protocols import Embedder, Vectors
from seal_agent.types import ScopeId


class ScopeItems:
    """Made by `Scope.items`. Safe to use from several threads.

    `expired=True` shows items whose time to live has passed but which were not swept yet.
    """

    __slots__ = ("_parts", "_scope")

    def __init__(self, parts: Parts, scope: ScopeId) -> None:
        self._parts = parts
        self._scope = scope

    @property
    def embedder(self) -> Embedder:
        """What this brain turns texts into vectors with, loaded at the first call; raise `ModelNotFoundError`."""
        return self._parts.embedder

    @property
    def embedder_id(self) -> str:
        """What its vectors are; known without loading anything."""
        return self._parts.embedder_id

    def get(self, addresses: Sequence[Address], *, expired: bool = False) -> dict[Address, StoredItem]:
        """Return the items that exist."""
        with self._parts.ledger.read() as connection:
            return items.get_items(connection, self._scope, addresses, self._alive_at(expired))

    def write(self, changes: Mapping[Address, NewItem | None], embedder_id: str = "") -> None:
        """Put items, and delete those at addresses with None, in one transaction; values are screened by the privacy policy.

        Where something was taken out of a value, the vectors of what was given go with it: it waits to be embedded. Raise
        `EmbeddingError` for vectors that can't be compared with those stored, `BlockedContentError` for what the policy keeps out.
        """
        put = [self._screened(item) for item in changes.values() if item is not None]
        with self._parts.ledger.write() as connection:
            for dimension in {len(vector) for item in put for vector in item.vectors.values()}:
                items.check_dimension(connection, embedder_id, dimension)
            items.delete_items(connection, self._scope, [address for address, item in changes.items() if item is None])
            items.put_items(connection, self._scope, put, embedder_id, self._parts.clock())

    def find(self, prefix: Namespace, *, page: tuple[int, int] | None = None, expired: bool = False) -> list[StoredItem]:
        """Return the items under a prefix of labels, last written first; `page` is (offset, limit)."""
        with self._parts.ledger.read() as connection:
            return list(items.find_items(connection, self._scope, prefix, self._alive_at(expired), page))

    def similar(self, prefix: Namespace, vector: Vectors, embedder_id: str, *, expired: bool = False) -> list[tuple[int, float]]:
        """Return (number, cosine) of the embedded items under a prefix, nearest first, each by its nearest text.

        An exact scan: some 20 ms for 10,000 vectors of 384 numbers.
        """
        with self._parts.ledger.read() as connection:
            seqs, vectors = items.scan_items(connection, self._scope, prefix, self._alive_at(expired), embedder_id)
        if not seqs:
            return []
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(vector)
        cosines = np.divide(vectors @ vector, lengths, out=np.zeros(len(seqs), dtype=np.float32), where=lengths > 0)
        best: dict[int, float] = {}
        for place in np.argsort(-cosines, kind="stable"):
            best.setdefault(seqs[place], float(cosines[place]))
        return list(best.items())

    def by_number(self, seqs: Sequence[int]) -> dict[int, StoredItem]:
        """Return items by the numbers that `similar` gave."""
        with self._parts.ledger.read() as connection:
            return items.get_by_seq(connection, seqs)

    def not_embedded(self, prefix: Namespace, embedder_id: str, limit: int) -> list[StoredItem]:
        """Return items that are to be embedded and have no vector of this embedder."""
        with self._parts.ledger.read() as connection:
            return items.without_vectors(connection, self._scope, prefix, embedder_id, limit)

    def embedded(self, vectors: Sequence[tuple[StoredItem, dict[str, Vectors]]], embedder_id: str) -> None:
        """Record vectors, by path, of items that had none; items that were written again meanwhile are left alone."""
        with self._parts.ledger.write() as connection:
            now = items.get_by_seq(connection, [item.seq for item, _ in vectors])
            for item, by_path in vectors:
                if now.get(item.seq) == item:
                    items.set_item_vectors(connection, item.seq, by_path, embedder_id)

    def namespaces(self, *, expired: bool = False) -> list[Namespace]:
        """Return every namespace that holds an item."""
        with self._parts.ledger.read() as connection:
            return items.namespaces(connection, self._scope, self._alive_at(expired))

    def refresh(self, read: Sequence[StoredItem]) -> None:
        """Let these live their time to live from now on."""
        alive = [item for item in read if item.ttl is not None]
        if alive:
            with self._parts.ledger.write() as connection:
                items.refresh_items(connection, alive, self._parts.clock())

    def sweep(self) -> int:
        """Delete what has expired; return how many items that were."""
        with self._parts.ledger.write() as connection:
            return items.sweep_items(connection, self._scope, self._parts.clock())

    def _screened(self, item: NewItem) -> NewItem:
        value = screened_json(item.value, self._parts.settings.privacy, f"The item {item.key!r}")
        return item if value == item.value else replace(item, value=value, vectors={})

    def _alive_at(self, expired: bool) -> datetime | None:
        return None if expired else self._parts.clock()
