"""The pytest plugin of `store_conformance.py`: LangGraph's own store tests meet `SealStore` under the names they import.

`InMemoryStore`, `SqliteStore` and `AsyncSqliteStore` become a `SealStore` in a scope of its own, all in one brain, so that the tests also
see whether scopes stay apart. Deliberately changes no test: those of the replaced classes' internals are left out by name.
"""

import contextlib
import hashlib
import json
import os
import sys
import tempfile
import types
import uuid
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import langgraph.store.memory
import pytest
from seal_agent.integrations.langchain import SealStore

from seal_agent import Memory
from seal_agent.testing import HashEmbedder

OUTCOMES = "SEAL_STORE_OUTCOMES"
"""Environment variable: the file that the outcomes go to."""


@cache
def brain() -> Memory:
    folder = tempfile.TemporaryDirectory()
    _KEPT.append(folder)
    return Memory.open(folder.name, embedder=HashEmbedder())


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


class OpenedStore(SealStore):  # type: ignore[misc]  # a type checker can't follow the installed name
    """Opens a scope of its own, as `InMemoryStore()` is a store of its own."""

    def __init__(self, *, index: Any = None, ttl: Any = None, scope: str | None = None) -> None:  # Any: what the replaced classes take
        super().__init__(brain().scope(user=scope or uuid.uuid4().hex), index=index or False, ttl=ttl)

    @classmethod
    @contextlib.contextmanager
    def from_conn_string(cls, conn_string: str, **options: Any) -> Iterator["OpenedStore"]:
        scope = None if conn_string == ":memory:" else hashlib.sha256(conn_string.encode()).hexdigest()
        store = cls(scope=scope, **options)
        yield store
        SealStore.stop_ttl_sweeper(store)

    def setup(self) -> None:
        """Nothing to set up: the ledger has its tables."""


class AsyncOpenedStore(OpenedStore):
    @classmethod
    @contextlib.asynccontextmanager
    async def from_conn_string(  # type: ignore[override]  # as the classes that it stands for: one is not the other
        cls, conn_string: str, **options: Any
    ) -> AsyncIterator["AsyncOpenedStore"]:
        with super().from_conn_string(conn_string, **options) as store:
            yield store

    async def setup(self) -> None:  # type: ignore[override]  # as above
        """Nothing to set up."""

    async def start_ttl_sweeper(self) -> None:
        super().start_ttl_sweeper()

    async def stop_ttl_sweeper(self) -> bool:
        return super().stop_ttl_sweeper()  # type: ignore[no-any-return]  # as above


def stand_in_for_sqlite() -> None:
    """The sqlite package is not installed: its names lead to ours, those of its internals to nothing."""
    package, base, aio = (types.ModuleType(f"langgraph.store.sqlite{part}") for part in ("", ".base", ".aio"))
    for module in (package, base, aio):
        module.SqliteStore, module.AsyncSqliteStore = OpenedStore, AsyncOpenedStore  # type: ignore[attr-defined]
        sys.modules[module.__name__] = module
    base.SqliteIndexConfig = dict  # type: ignore[attr-defined]
    for internal in ("NS_MATCH_FUNCTION", "BaseSqliteStore", "_escape_glob_literal", "_namespace_match_pattern"):
        setattr(base, internal, None)


outcomes: dict[str, str] = {}


def pytest_configure() -> None:
    """Before any test is imported; importing this module alone changes nothing."""
    langgraph.store.memory.InMemoryStore = OpenedStore  # type: ignore[misc]
    stand_in_for_sqlite()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        outcomes[report.nodeid] = "failed" if outcomes.get(report.nodeid) == "failed" else report.outcome


def pytest_sessionfinish() -> None:
    Path(os.environ[OUTCOMES]).write_text(json.dumps(outcomes), encoding="utf-8")
    if brain.cache_info().currsize:
        brain().close()
    for folder in _KEPT:
        folder.cleanup()
