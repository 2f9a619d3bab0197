"""Scopes with ids that are easily confused never see each other's rows, whatever is done in whatever order."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from benchmarks import isolation
from benchmarks.isolation import FORGED, SCOPES, SUBJECTS, World
from seal_agent.memory import Memory
from seal_agent.retrieval.search import Searcher
from seal_agent.types import ScopeId

NUMBERS = st.integers(0, len(SCOPES) - 1)
TOPICS = st.sampled_from(SUBJECTS)


class Scopes(RuleBasedStateMachine):
    """Work in eight scopes of one brain, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.world = World(self.folder)

    @rule(number=NUMBERS, subject=TOPICS)
    def add(self, number: int, subject: str) -> None:
        self.world.add(number, subject)

    @rule(number=NUMBERS, subject=TOPICS)
    def add_several(self, number: int, subject: str) -> None:
        self.world.add_several(number, subject)

    @rule(number=NUMBERS, subject=TOPICS)
    def remember(self, number: int, subject: str) -> None:
        self.world.remember(number, subject)

    @rule(number=NUMBERS, subject=TOPICS)
    def search(self, number: int, subject: str) -> None:
        self.world.search(number, subject)

    @rule(number=NUMBERS, subject=TOPICS)
    def context(self, number: int, subject: str) -> None:
        self.world.context(number, subject)

    @rule(number=NUMBERS, subject=TOPICS)
    def facts(self, number: int, subject: str) -> None:
        self.world.facts(number, subject)

    @rule(number=NUMBERS, subject=TOPICS)
    def open_again(self, number: int, subject: str) -> None:
        self.world.open_again(number, subject)

    @rule(number=st.integers(0, len(FORGED) - 1))
    def forge(self, number: int) -> None:
        self.world.forge(number, "")

    @invariant()
    def nobody_saw_what_is_anothers(self) -> None:
        assert self.world.foreign == []

    def teardown(self) -> None:
        self.world.memory.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class TestScopes(Scopes.TestCase):  # type: ignore[misc, valid-type]  # hypothesis makes the class
    settings = settings(max_examples=3, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.slow
def test_some_hundred_steps_with_nights_show_nobody_what_is_anothers(tmp_path: Path) -> None:
    world = isolation.run(tmp_path, steps=850, seed=3)
    assert (world.foreign, world.rows_seen > 500, world.refused > 0) == ([], True, True)


def test_the_search_would_be_caught_if_it_showed_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    world.add(0, SUBJECTS[0])
    hits = world.scope(0).search(SUBJECTS[0])
    monkeypatch.setattr(Searcher, "search", lambda *_, **__: hits)
    world.search(5, SUBJECTS[0])
    world.memory.close()
    assert len(world.foreign) == 2  # by its word and by its scope


@pytest.mark.parametrize("one", SCOPES, ids=lambda one: one.key)
def test_each_of_the_scopes_sees_its_own(tmp_path: Path, one: ScopeId) -> None:
    world = World(tmp_path)
    number = SCOPES.index(one)
    world.add(number, SUBJECTS[0])
    world.search(number, SUBJECTS[0])
    world.memory.close()
    assert (world.rows_seen, world.foreign) == (1, [])


def test_the_scopes_are_eight_and_none_is_another(tmp_path: Path) -> None:
    with Memory.open(tmp_path) as memory:
        assert len({memory.scope(user=one.user, agent=one.agent, tenant=one.tenant).id.key for one in SCOPES}) == 8
