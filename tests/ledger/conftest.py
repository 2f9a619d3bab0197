"""A ledger in a fresh folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from seal_agent.ledger.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "brain") as opened:
        yield opened


@pytest.fixture
def conn(ledger: Ledger) -> Iterator[Connection]:
    """One write transaction for the whole test."""
    with ledger.write() as connection:
        yield connection
