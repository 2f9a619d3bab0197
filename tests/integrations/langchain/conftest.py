"""Brains on the fakes for the tests of the LangChain package."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from seal_agent.memory import Memory
from seal_agent.scope import Scope
from tests.brains import open_brain


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with open_brain(tmp_path / "brain") as opened:
        yield opened


@pytest.fixture
def ana(memory: Memory) -> Scope:
    return memory.scope(user="ana", agent="support")
