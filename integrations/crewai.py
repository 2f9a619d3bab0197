"""CrewAI: a storage backend for its unified memory, in the brain of one scope.

CrewAI embeds, scores and summarises by itself; here its records are kept, found by their vectors, filtered and deleted. Deliberately no
facts: what a crew writes down is its own claim, so it is never trained on. Record what users say with `Scope.add`.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from seal_agent.errors import MissingDependencyError
from seal_agent.ledger.items import Address, Namespace, NewItem, StoredItem
from seal_agent.scope import Scope

try:
    from crewai.memory.types import MemoryRecord, ScopeInfo
except ImportError as error:
    raise MissingDependencyError("CrewAI is not installed: pip install 'crewai>=1.15,<2' (in an environment of its own)") from error

ROOT = "crewai"


class SealStorage:
    """`Memory(storage=SealStorage(memory.scope(agent="crew")), embedder=...)`: implements CrewAI's `StorageBackend`.

    CrewAI's scopes (`/project/alpha`) are namespaces within the one scope of the brain. Vectors of different length lie apart, so an
    embedder may be changed; what the former one embedded is then listed but not found by vector.
    """

    def __init__(self, scope: Scope) -> None:
        self._items = scope.items

    def save(self, records: list[MemoryRecord]) -> None:
        """Write the records; those of vectors of one length go in one transaction."""
        by_length: dict[int, dict[Address, NewItem | None]] = {}
        for record in records:
            new = to_item(record)
            vector = new.vectors.get("content")
            by_length.setdefault(0 if vector is None else len(vector), {})[new.namespace, new.key] = new
        for length, changes in by_length.items():
            self._items.write(changes, embedder_id(length))

    def search(
        self,
        query_embedding: list[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int = 10,
        min_score: float = 0.0,
    ) -> list[tuple[MemoryRecord, float]]:
        """Return the nearest records with their cosines, best first."""
        vector = np.asarray(query_embedding, dtype=np.float32)
        found = self._items.similar(namespace_of(scope_prefix), vector, embedder_id(len(vector)))
        stored = self._items.by_number([seq for seq, score in found if score >= min_score])
        hits = ((to_record(stored[seq]), score) for seq, score in found if seq in stored)
        return [(record, score) for record, score in hits if fits(record, categories, metadata_filter)][:limit]

    def delete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        """Delete the records that meet every condition given; return how many."""
        gone: dict[Address, NewItem | None] = {}
        for item in self._items.find(namespace_of(scope_prefix)):
            record = to_record(item)
            named = record_ids is None or record.id in record_ids
            old = older_than is None or comparable(record.created_at) < comparable(older_than)
            if named and old and fits(record, categories, metadata_filter):
                gone[item.namespace, item.key] = None
        self._items.write(gone)
        return len(gone)

    def update(self, record: MemoryRecord) -> None:
        """Replace the record of the same id, wherever it was."""
        moved: dict[Address, NewItem | None] = dict.fromkeys(self._addresses(record.id))
        new = to_item(record)
        vector = new.vectors.get("content")
        self._items.write(moved | {(new.namespace, new.key): new}, embedder_id(0 if vector is None else len(vector)))

    def get_record(self, record_id: str) -> MemoryRecord | None:
        """Return one record; None if there is none of this id."""
        found = self._items.get(self._addresses(record_id))
        return next((to_record(item) for item in found.values()), None)

    def list_records(self, scope_prefix: str | None = None, limit: int = 200, offset: int = 0) -> list[MemoryRecord]:
        """Return records, newest first."""
        return self._records(scope_prefix)[offset : offset + limit]

    def get_scope_info(self, scope: str) -> ScopeInfo:
        """Describe a scope and what lies under it."""
        records = self._records(scope)
        times = [record.created_at for record in records]
        return ScopeInfo(
            path=scope,
            record_count=len(records),
            categories=sorted({category for record in records for category in record.categories}),
            oldest_record=min(times, default=None),
            newest_record=max(times, default=None),
            child_scopes=self.list_scopes(scope),
        )

    def list_scopes(self, parent: str = "/") -> list[str]:
        """Return the scopes right below one."""
        above = namespace_of(parent)
        depth = len(above)
        children = {
            namespace[: depth + 1] for namespace in self._items.namespaces() if namespace[:depth] == above and len(namespace) > depth
        }
        return sorted(path_of(child) for child in children)

    def list_categories(self, scope_prefix: str | None = None) -> dict[str, int]:
        """Count records by category."""
        return dict(Counter(category for record in self._records(scope_prefix) for category in record.categories))

    def count(self, scope_prefix: str | None = None) -> int:
        """Count records in a scope and below."""
        return len(self._items.find(namespace_of(scope_prefix)))

    def reset(self, scope_prefix: str | None = None) -> None:
        """Delete every record in a scope and below."""
        self.delete(scope_prefix)

    async def asave(self, records: list[MemoryRecord]) -> None:
        """`save` in a thread."""
        await asyncio.to_thread(self.save, records)

    async def asearch(self, query_embedding: list[float], *arguments: Any, **options: Any) -> list[tuple[MemoryRecord, float]]:
        """`search` in a thread."""
        return await asyncio.to_thread(self.search, query_embedding, *arguments, **options)

    async def adelete(self, *arguments: Any, **options: Any) -> int:
        """`delete` in a thread."""
        return await asyncio.to_thread(self.delete, *arguments, **options)

    def _records(self, prefix: str | None) -> list[MemoryRecord]:
        records = [to_record(item) for item in self._items.find(namespace_of(prefix))]
        return sorted(records, key=lambda record: comparable(record.created_at), reverse=True)

    def _addresses(self, record_id: str) -> list[Address]:
        found = self._items.get([(namespace, record_id) for namespace in self._items.namespaces() if namespace[:1] == (ROOT,)])
        return list(found)


def embedder_id(length: int) -> str:
    """CrewAI does not say what made a vector; its length is all that is known of it."""
    return f"{ROOT}:{length}"


def namespace_of(path: str | None) -> Namespace:
    """A path of CrewAI's as labels; they may hold no dot, so it is written as its code."""
    return (ROOT, *(label.replace("%", "%25").replace(".", "%2E") for label in (path or "/").split("/") if label))


def path_of(namespace: Namespace) -> str:
    return "/" + "/".join(label.replace("%2E", ".").replace("%25", "%") for label in namespace[1:])


def to_item(record: MemoryRecord) -> NewItem:
    vectors = {} if not record.embedding else {"content": np.asarray(record.embedding, dtype=np.float32)}
    value = json.dumps(record.model_dump(mode="json"), ensure_ascii=False)
    return NewItem(namespace=namespace_of(record.scope), key=record.id, value=value, texts="[]", ttl=None, vectors=vectors)


def to_record(item: StoredItem) -> MemoryRecord:
    return MemoryRecord.model_validate_json(item.value)


def fits(record: MemoryRecord, categories: Sequence[str] | None, metadata: dict[str, Any] | None) -> bool:
    """Whether it has one of the categories and all of the metadata."""
    in_one = not categories or bool(set(categories) & set(record.categories))
    return in_one and all(record.metadata.get(key) == value for key, value in (metadata or {}).items())


def comparable(at: datetime) -> datetime:
    """CrewAI's times are naive and in UTC, a caller's may not be."""
    return at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
