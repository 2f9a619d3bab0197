"""Moving the live pointer and what the facts say of the weights is one act."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from seal_agent.adapters.switch import switch
from seal_agent.errors import UsageError
from seal_agent.memory import Memory
from seal_agent.scope import Scope
from seal_agent.types import Adapter, Fact
from tests.brains import START, learn, open_brain


class Night:
    """Ana's tea is learnt by two adapters, her coffee by the second alone."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.ana: Scope = memory.scope(user="ana")
        self.tea: Fact = self.ana.remember("Ana drinks tea.")
        self.first: Adapter = learn(memory, self.ana, {"Tea?": "yes"}, facts=[self.tea])
        self.coffee: Fact = self.ana.remember("Ana drinks coffee.")
        self.second: Adapter = learn(memory, self.ana, {"Coffee?": "yes"}, facts=[self.tea, self.coffee])

    def switch(self, name: str | None) -> None:
        with self.memory._parts.ledger.write() as conn:
            switch(conn, self.ana.id, name, START, "test")

    def told(self) -> dict[str, tuple[str, str | None]]:
        return {fact.text: (fact.state, fact.learned_by) for fact in self.ana.facts()}


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    with open_brain(tmp_path / "brain") as memory:
        yield Night(memory)


def test_a_promotion_makes_the_facts_it_learnt_learned(night: Night) -> None:
    name = night.second.name
    assert night.told() == {"Ana drinks tea.": ("learned", name), "Ana drinks coffee.": ("learned", name)}


def test_going_back_takes_back_what_only_the_later_adapter_knew(night: Night) -> None:
    night.switch(night.first.name)
    assert night.told() == {"Ana drinks tea.": ("learned", night.first.name), "Ana drinks coffee.": ("active", None)}


def test_on_the_base_nothing_is_learned(night: Night) -> None:
    night.switch(None)
    assert set(night.told().values()) == {("active", None)}


def test_there_and_back_leaves_every_fact_as_it_was(night: Night) -> None:
    before = night.ana.facts()
    night.switch(None)
    night.switch(night.second.name)
    assert night.ana.facts() == before


def test_a_switch_that_is_refused_changes_no_fact(night: Night) -> None:
    banned = learn(night.memory, night.ana, {"Milk?": "no"}, facts=[night.tea], state="rejected")
    before = night.ana.facts()
    with pytest.raises(UsageError):
        night.switch(banned.name)
    assert night.ana.facts() == before
