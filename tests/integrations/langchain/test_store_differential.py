"""SealStore against LangGraph's in-memory store: the same operations, drawn at random, give the same answers."""

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from langgraph.store.base import GetOp, ListNamespacesOp, MatchCondition, Op, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore
from seal_agent.integrations.langchain import SealStore

from seal_agent.memory import Memory
from seal_agent.testing import HashEmbedder
from tests.brains import open_brain

EVERYTHING = 1000
SHRINKLESS = (Phase.explicit, Phase.generate)
"""Shrinking takes minutes here, as each example is a store on disk; the operation that differs is in the message."""
LABEL = st.sampled_from(["a", "b", "a-b", "ü", "A"])
NAMESPACE = st.lists(LABEL, min_size=1, max_size=3).map(tuple)
KEY = st.sampled_from(["k", "K", "", "a.b", "%", "_", "'"])
SCALAR = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["x", "tea and milk", "Ana's parrot", "5"]))
VALUE = st.dictionaries(
    st.sampled_from(["n", "text", "deep"]), st.one_of(SCALAR, st.lists(SCALAR, max_size=2), st.dictionaries(st.just("n"), SCALAR))
)
CONDITION = st.one_of(SCALAR, st.builds(lambda name, value: {name: value}, st.sampled_from(["$eq", "$ne"]), SCALAR))
FILTER = st.one_of(st.none(), st.dictionaries(st.sampled_from(["n", "text"]), CONDITION, max_size=2))
PATH = st.lists(st.one_of(LABEL, st.just("*")), min_size=1, max_size=3).map(tuple)
MATCH = st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), PATH)
PUT = st.builds(PutOp, NAMESPACE, KEY, st.one_of(st.none(), VALUE), st.one_of(st.none(), st.just(False), st.just(["text"])), st.none())
GET = st.builds(GetOp, NAMESPACE, KEY, st.just(False))
SEARCH = st.builds(
    SearchOp,
    st.lists(LABEL, max_size=2).map(tuple),
    FILTER,
    st.just(EVERYTHING),
    st.just(0),
    st.one_of(st.none(), st.sampled_from(["parrot", "milk"])),
    st.just(False),
)
DEPTH = st.one_of(st.none(), st.integers(1, 2))
LIST = st.builds(ListNamespacesOp, st.one_of(st.none(), st.lists(MATCH, max_size=2).map(tuple)), DEPTH, st.just(EVERYTHING), st.just(0))
BATCHES = st.lists(st.lists(st.one_of(PUT, PUT, GET, SEARCH, LIST), max_size=5), max_size=8)


@pytest.fixture(scope="module")
def brain() -> Iterator[Memory]:
    with tempfile.TemporaryDirectory() as folder, open_brain(Path(folder)) as memory:
        yield memory


def comparable(op: Op, result: Any) -> Any:
    """What both stores promise: which items, with which scores; not the order of equals, nor times."""
    if isinstance(op, GetOp):
        return result and (result.namespace, result.key, result.value)
    if isinstance(op, SearchOp):
        return sorted(((item.namespace, item.key, repr(item.value), item.score and round(item.score, 4)) for item in result), key=repr)
    return result


def in_score_order(op: Op, result: Any) -> bool:
    scores = [item.score for item in result if item.score is not None] if isinstance(op, SearchOp) else []
    return scores == sorted(scores, reverse=True)


def without_empty(store: InMemoryStore) -> None:
    """The in-memory store lists namespaces that it was only asked about, or that hold nothing any more; ours does not."""
    for namespace in [namespace for namespace, items in store._data.items() if not items]:
        del store._data[namespace]


@settings(max_examples=25, deadline=None, phases=SHRINKLESS, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=BATCHES, indexed=st.booleans())
def test_the_same_operations_give_the_same_answers_as_the_in_memory_store(brain: Memory, batches: list[list[Op]], indexed: bool) -> None:
    embedder = HashEmbedder()
    index: Any = {"dims": embedder.dim, "embed": lambda texts: embedder.embed(texts).tolist()} if indexed else None
    ours = SealStore(brain.scope(user=uuid.uuid4().hex), index=index or False)
    theirs = InMemoryStore(index=index)
    for batch in batches:
        without_empty(theirs)
        # In one batch theirs embeds a value put twice under both texts, and a deleted one too; ours embeds what is stored.
        ops = list({(op.namespace, op.key) if isinstance(op, PutOp) else number: op for number, op in enumerate(batch)}.values())
        ops.sort(key=lambda op: isinstance(op, GetOp))  # theirs lists what a get before it asked for
        for op, our, their in zip(ops, ours.batch(ops), theirs.batch(ops), strict=True):
            assert comparable(op, our) == comparable(op, their), op
            assert in_score_order(op, our), op
