"""A search keeps to its conditions, and refuses those that can't be meant."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from seal_agent.errors import UsageError
from seal_agent.memory import Memory
from seal_agent.scope import Scope
from seal_agent.types import MetadataValue, Turn
from tests.brains import open_brain

DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def ana(tmp_path: Path) -> Iterator[Scope]:
    with open_brain(tmp_path / "brain") as memory:
        yield fill(memory)


def fill(memory: Memory) -> Scope:
    ana = memory.scope(user="ana")
    by_mail: dict[str, MetadataValue] = {"channel": "email", "stars": 4, "paid": True}
    ana.add("parcel one", session="s1", at=DAY, source="web", metadata=by_mail)
    ana.add("parcel two", session="s2", at=DAY + timedelta(days=1), outcome="solved", metadata={"channel": "phone", "stars": 5})
    said = [Turn(role="user", content="parcel three", name="Bo"), Turn(role="assistant", content="parcel four")]
    ana.add(said, at=DAY + timedelta(days=2), source="web")
    memory.scope(user="ben").add("parcel of ben", session="s1")
    memory.scope().add("parcel for all", session="s1", at=DAY)
    return ana


HUGE = -(10**400)
CASES: list[tuple[dict[str, Any], set[str]]] = [
    ({"since": DAY + timedelta(days=1)}, {"two", "three", "four"}),
    ({"until": DAY + timedelta(days=1)}, {"one", "all"}),
    ({"since": DAY + timedelta(hours=1), "until": DAY + timedelta(days=2)}, {"two"}),
    ({"where": {"session": "s1"}}, {"one", "all"}),
    ({"where": {"session": ["s1", "s2"], "source": "web"}}, {"one"}),
    ({"where": {"author": "Bo"}}, {"three"}),
    ({"where": {"author": "ana"}}, {"one", "two"}),
    ({"where": {"role": "assistant"}}, {"four"}),
    ({"where": {"outcome": "solved"}}, {"two"}),
    ({"where": {"channel": "email"}}, {"one"}),
    ({"where": {"stars": [4, 5]}}, {"one", "two"}),
    ({"where": {"stars": "4"}}, set()),
    ({"where": {"stars": [10**19, HUGE, 4]}}, {"one"}),
    ({"where": {"stars": [0.5, "five", True, 4]}}, {"one"}),
    ({"where": {"stars": ["five", 4.0]}}, {"one"}),
    ({"where": {"paid": True}}, {"one"}),
    ({"where": {"nobody": "x"}}, set()),
    ({"where": {"session": "s1' OR 1=1 --"}}, set()),
    ({"where": {}}, {"one", "two", "three", "four", "all"}),
]


@pytest.mark.parametrize(("conditions", "expected"), CASES, ids=[str(case[0]) for case in CASES])
def test_a_search_keeps_to_its_conditions(ana: Scope, conditions: dict[str, Any], expected: set[str]) -> None:
    assert {hit.text.split()[-1] for hit in ana.search("parcel", 50, **conditions)} == expected


def test_facts_have_a_time_and_a_kind_but_no_session(ana: Scope) -> None:
    fact = ana.remember("Ana's parcel is blue.")
    assert [hit.fact_id for hit in ana.search("parcel", where={"kind": "fact"})] == [fact.id]
    assert fact.text not in {hit.text for hit in ana.search("parcel", 50, where={"kind": "turn"})}
    assert fact.text not in {hit.text for hit in ana.search("parcel", 50, where={"session": ["s1", "s2"]})}
    assert fact.text not in {hit.text for hit in ana.search("parcel", 50, until=fact.valid_from)}
    assert fact.text in {hit.text for hit in ana.search("parcel", 50, since=fact.valid_from)}


def test_what_meets_the_conditions_is_found_however_much_else_matches_better(ana: Scope) -> None:
    ana.add_many([f"parcel parcel {n}" for n in range(400)])
    assert [hit.text for hit in ana.search("parcel", 1, where={"author": "Bo"})] == ["parcel three"]


def test_a_context_keeps_to_the_conditions(ana: Scope) -> None:
    assert "parcel one" in ana.context("parcel").text
    only = ana.context("parcel", where={"session": "s2"}).text
    assert "parcel two" in only
    assert "parcel one" not in only


@pytest.mark.parametrize(
    "conditions",
    [
        {"since": datetime(2026, 1, 1)},
        {"until": "yesterday"},
        {"since": DAY, "until": DAY},
        {"where": "session"},
        {"where": {"session": 3}},
        {"where": {"session": []}},
        {"where": {"role": "boss"}},
        {"where": {"kind": "episode"}},
        {"where": {"channel": None}},
        {"where": {"channel": {"$ne": "x"}}},
        {"where": {"": "x"}},
        {"where": {'a"b': "x"}},
        {"where": {3: "x"}},
        {"where": {"session": "\ud800"}},
        {"where": {"channel": [str(n) for n in range(501)]}},
    ],
    ids=str,
)
def test_conditions_that_can_not_be_meant_are_refused(ana: Scope, conditions: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ana.search("parcel", **conditions)
