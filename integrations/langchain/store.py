"""SealStore: a LangGraph `BaseStore` in the brain of one scope.

Namespaces, filters, time to live, semantic search, batches in one transaction. What is put here is the application's own note: it is
searched when asked for, and deliberately never becomes a fact, never enters a context block and is never trained on.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, cast
from uuid import UUID

from seal_agent.errors import MissingDependencyError, UsageError
from seal_agent.ledger.items import Address, Namespace, NewItem, StoredItem
from seal_agent.protocols import Vectors
from seal_agent.scope import Scope

try:
    from langgraph.store.base import (
        BaseStore,
        GetOp,
        IndexConfig,
        Item,
        ListNamespacesOp,
        MatchCondition,
        Op,
        PutOp,
        Result,
        SearchItem,
        SearchOp,
        TTLConfig,
        validate_op_namespace,
    )
except ImportError as error:
    raise MissingDependencyError("LangGraph is not installed: pip install 'langgraph>=1.2,<2'") from error

from .store_filter import matches
from .store_index import StoreIndex, check_index, decode_paths, encode_paths, texts_of
from .store_sweeper import Sweeper
from .store_writes import GroupedWrites

BACKLOG = 256
"""Most items that one search embeds because they were stored without vectors, or with those of another embedder."""

MAX_TTL_MINUTES = 100 * 366 * 24 * 60
"""A century: longer is for ever, and would leave the calendar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One batch, checked: what is to be done and which texts are to be embedded for it."""

    ops: tuple[Op, ...]
    puts: dict[Address, PutOp]
    """The last put of each address: it wins."""
    texts: dict[Address, dict[str, str]]
    """Texts of the values put, by path."""
    backlog: list[tuple[StoredItem, dict[str, str]]]
    """Stored items that have no vectors yet, with their texts by path."""
    queries: tuple[str, ...]

    @property
    def documents(self) -> list[str]:
        """Every text to embed, once."""
        groups = (*self.texts.values(), *(texts for _, texts in self.backlog))
        return list(dict.fromkeys(text for by_path in groups for text in by_path.values()))


class SealStore(BaseStore):
    """A store of one scope: pass a user's scope for that user's store, an agent's for one with namespaces per user.

    `index` as in LangGraph; None, the default, embeds whole values with the brain's own embedder, False embeds nothing. Reads of a batch
    see what was there before it; of several puts to one address the last wins. Expired items are never shown (`omit_expired`, on unless
    `ttl` says otherwise) and are deleted by `sweep_ttl`, or regularly by `start_ttl_sweeper`. Safe to use from several threads; the
    asynchronous methods work in threads and never block the event loop.

    >>> import tempfile
    >>> from seal_agent import Memory
    >>> from seal_agent.testing import HashEmbedder
    >>> with tempfile.TemporaryDirectory() as folder, Memory.open(folder, embedder=HashEmbedder()) as memory:
    ...     store = SealStore(memory.scope(agent="support"))
    ...     store.put(("ana", "notes"), "diet", {"text": "Ana is vegetarian."})
    ...     store.search(("ana",), query="vegetarian")[0].key
    'diet'
    """

    supports_ttl = True
    __slots__ = ("_index", "_items", "_omit_expired", "_sweeper", "_write", "index_config", "ttl_config")

    def __init__(self, scope: Scope, *, index: IndexConfig | Literal[False] | None = None, ttl: TTLConfig | None = None) -> None:
        """Raise `UsageError` for an index that is none."""
        check_index(index)
        self._items = scope.items
        self._index = None if index is False else StoreIndex(scope, index)
        self.index_config = cast(IndexConfig, dict(index)) if index else None
        self.ttl_config = ttl
        self._omit_expired = (ttl or {}).get("omit_expired", True)
        self._sweeper = Sweeper(self.sweep_ttl)
        self._write = GroupedWrites(lambda changes: self._items.write(changes, self._index.embedder_id if self._index else ""))

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Execute operations: reads first, then all writes in one transaction.

        Raise `InvalidNamespaceError`, `UsageError` for values that are no JSON, `StoreError`.
        """
        plan = self._plan(ops)
        vectors, queries = self._index.embed(plan.documents, plan.queries) if self._index else ({}, {})
        return self._execute(plan, vectors, queries)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Execute the same without blocking the event loop."""
        plan = await asyncio.to_thread(self._plan, ops)
        vectors, queries = await self._index.aembed(plan.documents, plan.queries) if self._index else ({}, {})
        return await asyncio.to_thread(self._execute, plan, vectors, queries)

    def sweep_ttl(self) -> int:
        """Delete what has expired; return how many items that were."""
        return self._items.sweep()

    def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> None:
        """Sweep regularly in a daemon thread, at the interval given or that of `ttl`, every five minutes by default. Idempotent."""
        configured = (self.ttl_config or {}).get("sweep_interval_minutes")
        self._sweeper.start(sweep_interval_minutes or configured or 5.0)

    def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """End the sweeping; return whether it has ended within `timeout` seconds."""
        return self._sweeper.stop(timeout)

    def _plan(self, ops: Iterable[Op]) -> Plan:
        checked = tuple(ops)
        for op in checked:
            if not isinstance(op, GetOp | SearchOp | PutOp | ListNamespacesOp):
                raise UsageError(f"{op!r} is no operation of a store.")
            validate_op_namespace(op)
            if isinstance(op, SearchOp | ListNamespacesOp) and min(op.limit, op.offset) < 0:
                raise UsageError(f"limit={op.limit}, offset={op.offset} is no page: give 0 or more.")
        puts = {(op.namespace, op.key): op for op in checked if isinstance(op, PutOp)}
        searches = [op for op in checked if isinstance(op, SearchOp) and op.query]
        if self._index is None:
            return Plan(ops=checked, puts=puts, texts={}, backlog=[], queries=())
        texts = {address: texts_of(dict(op.value), self._index.paths(op.index)) for address, op in puts.items() if op.value is not None}
        prefixes = dict.fromkeys(op.namespace_prefix for op in searches)
        waiting = [item for prefix in prefixes for item in self._items.not_embedded(prefix, self._index.embedder_id, BACKLOG)]
        backlog = [(item, texts_of(json.loads(item.value), decode_paths(item.texts))) for item in {i.seq: i for i in waiting}.values()]
        queries = tuple(dict.fromkeys(op.query for op in searches if op.query))
        return Plan(ops=checked, puts=puts, texts=texts, backlog=backlog, queries=queries)

    def _execute(self, plan: Plan, vectors: dict[str, Vectors], queries: dict[str, Vectors]) -> list[Result]:
        if self._index and plan.backlog and vectors:
            found = [(item, {path: vectors[text] for path, text in texts.items()}) for item, texts in plan.backlog]
            self._items.embedded(found, self._index.embedder_id)
        results = [self._read(op, queries) for op in plan.ops]
        if plan.puts:
            self._write({address: self._new(op, plan.texts.get(address, {}), vectors) for address, op in plan.puts.items()})
        return results

    def _new(self, op: PutOp, texts: Mapping[str, str], vectors: Mapping[str, Vectors]) -> NewItem | None:
        if op.value is None:
            return None
        if op.ttl is not None and not 0 <= op.ttl <= MAX_TTL_MINUTES:
            raise UsageError(f"ttl={op.ttl!r} is no time to live: give minutes, 0 to {MAX_TTL_MINUTES:,}, or None for ever.")
        return NewItem(
            namespace=op.namespace,
            key=op.key,
            value=encode_value(op),
            texts=encode_paths(self._index.paths(op.index) if self._index else ()),
            ttl=None if op.ttl is None else timedelta(minutes=op.ttl),
            vectors={path: vectors[text] for path, text in texts.items() if text in vectors},
        )

    def _read(self, op: Op, queries: Mapping[str, Vectors]) -> Result:
        if isinstance(op, GetOp):
            return self._get(op)
        if isinstance(op, SearchOp):
            return self._search(op, queries.get(op.query or ""))
        return self._list_namespaces(op) if isinstance(op, ListNamespacesOp) else None

    def _get(self, op: GetOp) -> Item | None:
        stored = self._items.get([(op.namespace, op.key)], expired=not self._omit_expired).get((op.namespace, op.key))
        if stored is None:
            return None
        if op.refresh_ttl:
            self._items.refresh([stored])
        return Item(
            value=json.loads(stored.value),
            key=stored.key,
            namespace=stored.namespace,
            created_at=stored.created_at,
            updated_at=stored.updated_at,
        )

    def _search(self, op: SearchOp, vector: Vectors | None) -> list[SearchItem]:
        shown = not self._omit_expired
        if vector is None and not op.filter:
            page = self._items.find(op.namespace_prefix, page=(op.offset, op.limit), expired=shown)
            return self._shown(op, [(item, None) for item in page])
        found = {item.seq: item for item in self._items.find(op.namespace_prefix, expired=shown)}
        kept = {seq: item for seq, item in found.items() if not op.filter or matches(json.loads(item.value), op.filter)}
        scores: dict[int, float] = {}
        if vector is not None and self._index is not None:
            scores = dict(self._items.similar(op.namespace_prefix, vector, self._index.embedder_id, expired=shown))
        # Best first; what has no vector comes last, so that a search for many still shows everything.
        ranked = [(kept[seq], score) for seq, score in scores.items() if seq in kept]
        unscored: list[tuple[StoredItem, float | None]] = [(item, None) for seq, item in kept.items() if seq not in scores]
        return self._shown(op, [*ranked, *unscored][op.offset : op.offset + op.limit])

    def _shown(self, op: SearchOp, page: Sequence[tuple[StoredItem, float | None]]) -> list[SearchItem]:
        if op.refresh_ttl:
            self._items.refresh([item for item, _ in page])
        return [
            SearchItem(
                namespace=item.namespace,
                key=item.key,
                value=json.loads(item.value),
                created_at=item.created_at,
                updated_at=item.updated_at,
                score=score,
            )
            for item, score in page
        ]

    def _list_namespaces(self, op: ListNamespacesOp) -> list[Namespace]:
        found = [
            namespace
            for namespace in self._items.namespaces(expired=not self._omit_expired)
            if all(fits(condition, namespace) for condition in op.match_conditions or ())
        ]
        if op.max_depth is not None:
            found = sorted({namespace[: op.max_depth] for namespace in found})
        return found[op.offset : op.offset + op.limit]


def fits(condition: MatchCondition, namespace: Namespace) -> bool:
    """Whether a namespace begins or ends as the condition says; `*` stands for any one label."""
    path = tuple(condition.path)
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for wanted, label in zip(path, part, strict=True))


def encode_value(op: PutOp) -> str:
    """The value as JSON; raise `UsageError` naming the item for what JSON can't hold."""
    try:
        text = json.dumps(dict(op.value or {}), ensure_ascii=False, default=encode_other)
        text.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise UsageError(f"The value of {op.key!r} in {op.namespace!r} can't be stored as JSON: {error}.") from error
    return text


def encode_other(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
