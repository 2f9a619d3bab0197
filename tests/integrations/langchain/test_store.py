"""SealStore: what LangGraph promises of a store, and what is ours: scopes apart, a brain without an embedder, time to live."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from langgraph.store.base import InvalidNamespaceError, PutOp, SearchOp
from seal_agent.integrations.langchain import SealStore
from seal_agent.integrations.langchain.store_writes import GroupedWrites

from seal_agent.errors import EmbeddingError, UsageError
from seal_agent.memory import Memory
from seal_agent.scope import Scope
from seal_agent.testing import HashEmbedder
from tests.brains import BrokenEmbedder, open_brain
from tests.waiting import LONG, wait_until


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 2, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)


def keys(found: Sequence[Any]) -> list[str]:
    return [item.key for item in found]


def test_what_was_put_is_there_after_the_brain_was_closed(tmp_path: Path) -> None:
    with open_brain(tmp_path) as memory:
        SealStore(memory.scope()).put(("ana", "notes"), "diet", {"text": "vegetarian", "since": 2019, "tags": ["food", None]})
    with open_brain(tmp_path) as memory:
        item = SealStore(memory.scope()).get(("ana", "notes"), "diet")
        assert item.value == {"text": "vegetarian", "since": 2019, "tags": ["food", None]}


def test_a_put_again_keeps_the_time_of_creation(ana: Scope) -> None:
    store = SealStore(ana)
    store.put(("notes",), "diet", {"text": "vegan"})
    first = store.get(("notes",), "diet")
    store.put(("notes",), "diet", {"text": "vegetarian"})
    again = store.get(("notes",), "diet")
    assert again.created_at == first.created_at < again.updated_at
    assert [item.value["text"] for item in store.search(("notes",), query="vegetarian")] == ["vegetarian"]


def test_scopes_see_nothing_of_one_another(memory: Memory) -> None:
    ana, bruno, shared = (SealStore(memory.scope(user=user, agent="support")) for user in ("ana", "bruno", None))
    for store, text in ((ana, "tea"), (bruno, "coffee"), (shared, "water")):
        store.put(("drinks",), "likes", {"text": text})
    assert [store.get(("drinks",), "likes").value["text"] for store in (ana, bruno, shared)] == ["tea", "coffee", "water"]
    assert [item.value["text"] for item in ana.search((), query="coffee")] == ["tea"]
    bruno.delete(("drinks",), "likes")
    assert ana.list_namespaces() == [("drinks",)]
    assert bruno.list_namespaces() == []


def test_nothing_that_is_put_becomes_a_fact_or_is_found_by_the_memory(ana: Scope) -> None:
    SealStore(ana).put(("notes",), "diet", {"text": "Ana is vegetarian."})
    assert ana.facts() == []
    assert ana.search("vegetarian") == []


def test_search_finds_by_meaning_with_the_embedder_of_the_brain(ana: Scope) -> None:
    store = SealStore(ana)
    for key, text in (("diet", "Ana is vegetarian"), ("phone", "never call, text instead"), ("pet", "a parrot called Figo")):
        store.put(("notes",), key, {"text": text})
    store.put(("notes",), "secret", {"text": "a parrot called Figo"}, index=False)
    found = store.search(("notes",), query="the parrot", limit=2)
    assert found[0].key == "pet"
    assert found[0].score > found[1].score
    assert keys(store.search(("notes",), query="the parrot"))[-1] == "secret"  # not embedded, so last


def test_an_index_of_ones_own_embeds_the_fields_it_names(ana: Scope) -> None:
    def embed(texts: list[str]) -> list[list[float]]:
        return [[float(text.count("a")), float(text.count("b"))] for text in texts]

    store = SealStore(ana, index={"dims": 2, "embed": embed, "fields": ["title", "parts[*].name"]})
    store.put(("n",), "one", {"title": "aaa", "parts": [{"name": "bb"}, {"name": "ab"}], "text": "bbb"})
    store.put(("n",), "two", {"title": "ab", "text": "bbbb"})
    assert [(item.key, round(item.score, 3)) for item in store.search(("n",), query="b")] == [("one", 1.0), ("two", 0.707)]


async def test_embeddings_that_are_only_asynchronous_serve_the_asynchronous_methods(ana: Scope) -> None:
    async def embed(texts: Sequence[str]) -> list[list[float]]:
        return [[float(len(text)), 1.0] for text in texts]

    store = SealStore(ana, index={"dims": 2, "embed": embed})
    await store.aput(("n",), "one", {"text": "a"})
    assert (await store.asearch(("n",), query="a"))[0].score > 0.5


def test_without_an_embedder_items_are_kept_and_embedded_at_a_later_search(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    embedder = BrokenEmbedder()
    with open_brain(tmp_path, embedder=embedder) as memory, caplog.at_level(logging.WARNING):
        store = SealStore(memory.scope())
        store.put(("notes",), "diet", {"text": "vegetarian"})
        store.put(("notes",), "pet", {"text": "parrot"})
        assert keys(store.search(("notes",), query="vegetarian")) == ["pet", "diet"]  # the last written first
        assert "without vectors" in caplog.text
        embedder.broken = False
        assert keys(store.search(("notes",), query="vegetarian")) == ["diet", "pet"]


def test_another_embedder_embeds_anew_what_the_first_had_embedded(tmp_path: Path) -> None:
    with open_brain(tmp_path, embedder=HashEmbedder(16)) as memory:
        SealStore(memory.scope()).put(("notes",), "diet", {"text": "vegetarian"})
    with open_brain(tmp_path, embedder=HashEmbedder(32)) as memory:
        assert SealStore(memory.scope()).search(("notes",), query="vegetarian")[0].score > 0.5


def test_vectors_of_another_length_under_the_same_name_are_refused_and_nothing_is_written(ana: Scope) -> None:
    def embeds(numbers: int) -> Any:
        return {"dims": 0, "embed": lambda texts: [[1.0] * numbers for _ in texts]}

    SealStore(ana, index=embeds(3)).put(("n",), "one", {"text": "x"})
    with pytest.raises(EmbeddingError, match="name it anew"):
        SealStore(ana, index=embeds(4)).put(("n",), "two", {"text": "x"})
    assert SealStore(ana, index=False).get(("n",), "two") is None


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({"price": 10}, ["cheap"]),
        ({"price": {"$gt": 15}}, ["dear"]),
        ({"price": {"$gte": 10, "$lt": 20}}, ["cheap"]),
        ({"price": {"$ne": 10}}, ["odd", "dear"]),
        ({"from": {"country": "NL"}}, ["dear"]),
        ({"from.country": {"$eq": "NL"}}, ["dear"]),
        ({"since": {"$gte": "2026-01-01"}}, ["dear"]),
        ({"tags": ["a", "b"]}, ["cheap"]),
        ({"price": {"$lt": 5}}, []),
        ({"missing": None}, ["odd", "dear", "cheap"]),
    ],
)
def test_filters_compare_what_can_be_compared_and_match_nothing_else(ana: Scope, condition: dict[str, Any], found: list[str]) -> None:
    store = SealStore(ana, index=False)
    store.put(("n",), "cheap", {"price": 10, "tags": ["a", "b"], "since": "2025-05-01"})
    store.put(("n",), "dear", {"price": 20, "from": {"country": "NL", "city": "Delft"}, "since": "2026-05-01"})
    store.put(("n",), "odd", {"price": "on request"})
    assert keys(store.search(("n",), filter=condition)) == found


def test_an_unknown_operator_is_refused_by_name(ana: Scope) -> None:
    store = SealStore(ana, index=False)
    store.put(("n",), "one", {"price": 10})
    with pytest.raises(ValueError, match=r"\$near"):
        store.search(("n",), filter={"price": {"$near": 1}})


def test_items_expire_are_kept_alive_by_reading_and_are_swept(tmp_path: Path) -> None:
    watch = Watch()
    with open_brain(tmp_path, clock=watch) as memory:
        store = SealStore(memory.scope(), ttl={"default_ttl": 10, "refresh_on_read": True}, index=False)
        store.put(("n",), "default", {"x": 1})
        store.put(("n",), "brief", {"x": 2}, ttl=2)
        store.put(("n",), "for ever", {"x": 3}, ttl=None)
        watch.forward(3)
        assert store.get(("n",), "brief") is None
        assert keys(store.search(("n",), refresh_ttl=False)) == ["for ever", "default"]
        watch.forward(6)
        assert store.get(("n",), "default") is not None  # lives for ten more minutes from here
        watch.forward(9)
        assert store.get(("n",), "default", refresh_ttl=False) is not None
        watch.forward(2)
        assert store.get(("n",), "default") is None
        assert store.sweep_ttl() == 2
        assert store.list_namespaces() == [("n",)]


def test_expired_items_stay_visible_until_swept_where_that_was_asked_for(tmp_path: Path) -> None:
    watch = Watch()
    with open_brain(tmp_path, clock=watch) as memory:
        store = SealStore(memory.scope(), ttl={"default_ttl": 1, "omit_expired": False, "refresh_on_read": False})
        store.put(("n",), "old", {"text": "milk"})
        watch.forward(5)
        assert keys(store.search(("n",), query="milk")) == ["old"]
        assert store.get(("n",), "old") is not None
        store.sweep_ttl()
        assert store.search(("n",)) == []


def test_the_sweeper_sweeps_until_it_is_stopped(tmp_path: Path) -> None:
    with Memory.open(tmp_path, embedder=HashEmbedder()) as memory:
        store = SealStore(memory.scope(), ttl={"omit_expired": False, "sweep_interval_minutes": 1})
        store.put(("n",), "old", {"x": 1}, ttl=0)
        store.start_ttl_sweeper(0.01 / 60)
        wait_until(lambda: store.get(("n",), "old") is None)
        assert store.stop_ttl_sweeper(LONG) is True
        assert store.stop_ttl_sweeper() is True


def test_values_are_stored_as_json_and_what_json_can_not_hold_is_refused(ana: Scope) -> None:
    store = SealStore(ana, index=False)
    put = {"day": date(2026, 11, 2), "id": UUID(int=1), "kinds": {"one"}, "text": "a\x00b", "nested": {"deep": [{"er": "ö"}]}}
    store.put(("n",), "one", put)
    assert store.get(("n",), "one").value == put | {"day": "2026-11-02", "id": str(UUID(int=1)), "kinds": ["one"]}
    for bad in (object(), "\ud800"):
        with pytest.raises(UsageError, match="'two'"):
            store.put(("n",), "two", {"bad": bad})


@pytest.mark.parametrize("namespace", [("a.b",), ("",), ("a", "b\x00"), (7,)])
def test_labels_that_could_be_taken_for_others_are_refused_in_batches_too(ana: Scope, namespace: tuple[Any, ...]) -> None:
    store = SealStore(ana)
    with pytest.raises(InvalidNamespaceError):
        store.batch([PutOp(("fine",), "k", {"x": 1}), PutOp(namespace, "k", {"x": 1})])
    assert store.search(()) == []


def test_what_is_no_operation_index_or_ttl_is_refused(ana: Scope) -> None:
    with pytest.raises(UsageError, match="no operation"):
        SealStore(ana).batch(["put"])
    with pytest.raises(UsageError, match="no index"):
        SealStore(ana, index={"dims": 3})
    for page in ({"limit": -1}, {"offset": -1}):
        with pytest.raises(UsageError, match="page"):
            SealStore(ana).search(("n",), **page)
    with pytest.raises(UsageError, match="ttl=-1"):
        SealStore(ana).put(("n",), "k", {"x": 1}, ttl=-1)


async def test_a_hundred_concurrent_puts_are_all_there(ana: Scope) -> None:
    store = SealStore(ana, index=False)
    await asyncio.gather(*(store.aput(("n", str(number % 7)), str(number), {"x": number}) for number in range(100)))
    assert len(await store.asearch(("n",), limit=2000)) == 100
    assert len(await store.alist_namespaces(prefix=("n",))) == 7


def test_writes_that_wait_go_to_disk_together_and_one_bad_one_fails_alone() -> None:
    written: list[dict[Any, Any]] = []
    begun, go_on = threading.Event(), threading.Event()

    def write(changes: dict[Any, Any]) -> None:
        begun.set()
        assert go_on.wait(LONG)
        if "bad" in changes:
            raise UsageError("bad")
        written.append(changes)

    grouped = GroupedWrites(write)
    failed: list[Exception] = []

    def put(name: str) -> None:
        try:
            grouped({name: name})
        except UsageError as error:
            failed.append(error)

    threads = [threading.Thread(target=put, args=("first",))]
    threads[0].start()
    assert begun.wait(LONG)
    for name in ("second", "third", "bad"):
        threads.append(threading.Thread(target=put, args=(name,)))
        threads[-1].start()
    wait_until(lambda: len(grouped._waiting) == 3)
    go_on.set()
    for thread in threads:
        thread.join(LONG)
    assert sorted(name for changes in written for name in changes) == ["first", "second", "third"]
    assert len(failed) == 1

    go_on.set()
    grouped({"good": 1})
    assert written[-1] == {"good": 1}


def test_reads_of_a_batch_see_what_was_there_before_it(ana: Scope) -> None:
    store = SealStore(ana, index=False)
    store.put(("n",), "k", {"x": 1})
    (found, *_) = store.batch([SearchOp(("n",)), PutOp(("n",), "k", {"x": 2}), PutOp(("n",), "k", None)])
    assert [item.value for item in found] == [{"x": 1}]
    assert store.get(("n",), "k") is None
