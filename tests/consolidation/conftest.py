"""A brain in a fresh folder; the vectors of the bundled texts are made once for all tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from seal_agent.consolidation.asking import Topics
from seal_agent.consolidation.durability import Durability
from seal_agent.ledger.ledger import Ledger
from tests.consolidation.brains import HASHED, Brain, open_brain


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the bundled texts, embedded by the fake."""
    cache = tmp_path_factory.mktemp("vectors")
    Topics(HASHED, cache)
    Durability(HASHED, cache)
    return cache


@pytest.fixture
def brain(tmp_path: Path, vectors: Path) -> Iterator[Brain]:
    folder = tmp_path / "brain"
    shutil.copytree(vectors, folder / "cache")
    with Ledger.open(folder) as ledger:
        yield open_brain(folder, ledger)


@pytest.fixture(scope="session")
def topics(vectors: Path) -> Topics:
    return Topics(HASHED, vectors)


@pytest.fixture(scope="session")
def judge(vectors: Path) -> Durability:
    return Durability(HASHED, vectors)
