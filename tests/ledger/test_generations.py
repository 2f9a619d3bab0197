"""Generations: one is current, numbers are used once, and each scope in it is filled forward only."""

from pathlib import Path

import pytest
from sqlalchemy import Connection

from seal_agent.errors import UnknownRecordError, UsageError
from seal_agent.ledger.generations import advance, begin_generation, current_generation, make_current, retire_others, watermarks
from tests.ledger.records import ANA, EMBEDDER


def current_number(conn: Connection, embedder: str = EMBEDDER) -> int | None:
    found = current_generation(conn, embedder)
    return None if found is None else found.number


def test_a_generation_is_current_once_it_is_made_so_and_its_predecessors_retire(conn: Connection) -> None:
    first = begin_generation(conn, EMBEDDER)
    assert current_number(conn) is None
    make_current(conn, first.number, {ANA.key: 5})
    second = begin_generation(conn, EMBEDDER)
    assert current_number(conn) == first.number
    make_current(conn, second.number, {})
    assert current_number(conn) == second.number
    assert (second.path, watermarks(conn, first.number)) == (Path("index/gen-2"), {ANA.key: 5})


def test_one_of_another_embedder_retires_the_former_one_too(conn: Connection) -> None:
    make_current(conn, begin_generation(conn, EMBEDDER).number, {})
    make_current(conn, begin_generation(conn, "another").number, {})
    assert (current_number(conn), current_number(conn, "another")) == (None, 2)


def test_numbers_are_used_once(conn: Connection) -> None:
    make_current(conn, begin_generation(conn, EMBEDDER).number, {})
    retire_others(conn, kept=None)
    assert current_number(conn) is None
    assert begin_generation(conn, EMBEDDER).number == 2


def test_a_watermark_only_goes_forward(conn: Connection) -> None:
    number = begin_generation(conn, EMBEDDER).number
    advance(conn, number, ANA.key, 5)
    advance(conn, number, ANA.key, 5)
    advance(conn, number, "default/default/ben", 2)
    with pytest.raises(UsageError, match=r"is at 5 in .* and can't go back to 4"):
        advance(conn, number, ANA.key, 4)
    assert watermarks(conn, number) == {ANA.key: 5, "default/default/ben": 2}


def test_an_unknown_generation_is_named(conn: Connection) -> None:
    with pytest.raises(UnknownRecordError, match="generation 9"):
        advance(conn, 9, ANA.key, 1)
    with pytest.raises(UnknownRecordError, match="generation 9"):
        make_current(conn, 9, {})
