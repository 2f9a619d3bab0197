"""Generations: one current projection per embedder, filled forward only."""

from pathlib import Path

import pytest
from sqlalchemy import Connection

from seal_agent.errors import UnknownRecordError, UsageError
from seal_agent.ledger.generations import advance, create_generation, current_generation, retire
from tests.ledger.records import EMBEDDER


def test_the_current_generation_is_the_newest_of_its_embedder_that_is_not_retired(conn: Connection) -> None:
    assert current_generation(conn, EMBEDDER) is None
    first = create_generation(conn, EMBEDDER, Path("index/gen-1"))
    second = create_generation(conn, EMBEDDER, Path("index/gen-2"))
    create_generation(conn, "another", Path("index/gen-3"))
    assert current_generation(conn, EMBEDDER) == second
    retire(conn, second.number)
    retire(conn, second.number)
    assert current_generation(conn, EMBEDDER) == first
    retire(conn, first.number)
    assert current_generation(conn, EMBEDDER) is None
    assert create_generation(conn, EMBEDDER, Path("index/gen-4")).number == 4


def test_a_watermark_only_goes_forward(conn: Connection) -> None:
    number = create_generation(conn, EMBEDDER, Path("index/gen-1")).number
    advance(conn, number, 5)
    advance(conn, number, 5)
    with pytest.raises(UsageError, match="is at 5 and can't go back to 4"):
        advance(conn, number, 4)
    current = current_generation(conn, EMBEDDER)
    assert current is not None
    assert (current.watermark, current.path) == (5, Path("index/gen-1"))


def test_an_unknown_generation_is_named(conn: Connection) -> None:
    with pytest.raises(UnknownRecordError, match="generation 9"):
        advance(conn, 9, 1)
    with pytest.raises(UnknownRecordError, match="generation 9"):
        retire(conn, 9)
