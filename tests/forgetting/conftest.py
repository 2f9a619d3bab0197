"""A brain on the fakes that remembers, and a look at every byte of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from seal_agent.memory import Memory
from seal_agent.testing import HashEmbedder
from tests.brains import open_brain

EMBEDDER = HashEmbedder(256)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with open_brain(tmp_path / "brain", embedder=EMBEDDER) as opened:
        yield opened
