"""A brain on the fakes for the tests of hosts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from seal_agent.memory import Memory
from seal_agent.testing import HashEmbedder, ScriptedModel


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "brain", model=ScriptedModel({}), embedder=HashEmbedder()) as opened:
        yield opened
