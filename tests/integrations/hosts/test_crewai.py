"""The storage: CrewAI's protocol, and its real memory on top."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from seal_agent.memory import Memory as Brain
from seal_agent.testing import HashEmbedder
from tests.integrations.hosts.host import needs

needs("crewai")

from crewai.memory.storage.backend import StorageBackend  # noqa: E402  # only where it is installed
from crewai.memory.types import MemoryRecord  # noqa: E402
from crewai.memory.unified_memory import Memory  # noqa: E402
from seal_agent.integrations.crewai import SealStorage  # noqa: E402


def embed(texts: list[str]) -> list[list[float]]:
    vectors: list[list[float]] = HashEmbedder().embed(texts).tolist()
    return vectors


def record(content: str, scope: str = "/", **more: Any) -> MemoryRecord:
    return MemoryRecord(content=content, scope=scope, embedding=embed([content])[0], **more)


def test_it_is_a_storage_backend_of_crewai(memory: Brain) -> None:
    assert isinstance(SealStorage(memory.scope()), StorageBackend)


def test_records_are_saved_found_filtered_changed_and_deleted(memory: Brain) -> None:
    storage = SealStorage(memory.scope(agent="crew"))
    old = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=9)
    tea, milk, lamp = (
        record("Ana likes tea", "/ana/food", categories=["taste"], metadata={"by": "x"}, created_at=old),
        record("Bruno likes milk", "/bruno.b/food", categories=["taste", "cold"]),
        record("The lamp is broken", "/ana"),
    )
    storage.save([tea, milk, lamp])
    (best, score), *rest = storage.search(embed(["likes tea"])[0])
    assert (best.id, best.content, len(rest)) == (tea.id, "Ana likes tea", 2)
    assert score > rest[0][1]
    assert [found.id for found, _ in storage.search(embed(["likes"])[0], scope_prefix="/bruno.b")] == [milk.id]
    assert [found.id for found, _ in storage.search(embed(["likes"])[0], categories=["cold"])] == [milk.id]
    assert [found.id for found, _ in storage.search(embed(["likes"])[0], metadata_filter={"by": "x"})] == [tea.id]
    assert storage.search(embed(["likes tea"])[0], min_score=2.0) == []
    assert (storage.count(), storage.count("/ana"), storage.list_scopes(), storage.list_scopes("/ana")) == (
        3,
        2,
        ["/ana", "/bruno.b"],
        ["/ana/food"],
    )
    assert storage.list_categories() == {"taste": 2, "cold": 1}
    info = storage.get_scope_info("/ana")
    assert (info.record_count, info.categories, info.child_scopes, info.oldest_record) == (2, ["taste"], ["/ana/food"], tea.created_at)
    assert [found.id for found in storage.list_records(limit=1, offset=2)] == [tea.id]
    storage.update(tea.model_copy(update={"content": "Ana likes coffee", "scope": "/ana/drinks"}))
    found = storage.get_record(tea.id)
    assert found is not None
    assert (found.content, found.scope, storage.count()) == ("Ana likes coffee", "/ana/drinks", 3)
    assert storage.get_record("nobody") is None
    assert storage.delete(older_than=datetime.now(UTC) - timedelta(days=1)) == 1
    assert storage.delete(record_ids=[lamp.id]) == 1
    storage.reset()
    assert storage.count() == 0


def test_the_asynchronous_methods_do_the_same(memory: Brain) -> None:
    storage = SealStorage(memory.scope())

    async def run() -> tuple[int, int]:
        await storage.asave([record("tea")])
        return len(await storage.asearch(embed(["tea"])[0], limit=5)), await storage.adelete(scope_prefix="/")

    assert asyncio.run(run()) == (1, 1)


def test_crewai_s_own_memory_remembers_and_recalls_through_it(memory: Brain) -> None:
    crew = Memory(storage=SealStorage(memory.scope(agent="crew")), embedder=embed)
    crew.remember("Ana likes tea.", scope="/ana", categories=["taste"], importance=0.5)
    crew.drain_writes()
    found = crew.recall("tea", scope="/ana", depth="shallow")
    assert [match.record.content for match in found] == ["Ana likes tea."]
    assert memory.scope(agent="crew").facts() == []
