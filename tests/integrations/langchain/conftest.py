"""Brains on the fakes for the tests of the LangChain package."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture
def benchmark() -> Callable[..., Any]:  # Any: whatever the timed function returns
    """What langchain-tests expects of pytest-benchmark, without the timing."""
    return lambda function, *arguments, **options: function(*arguments, **options)


@pytest.fixture
def vcr() -> None:
    """What langchain-tests expects of pytest-recording: nothing is recorded, as nothing speaks to a network."""
