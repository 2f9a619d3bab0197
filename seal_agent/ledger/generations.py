"""Generations: which folder holds the projection of the vectors, and up to which entry it is filled.

Deliberately touches no folder: `retrieval/` builds, probes and deletes them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, insert, select, update

from seal_agent.errors import UnknownRecordError, UsageError
from seal_agent.ledger.schema import generations


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One build of the vector index. Entries with a seq up to `watermark` are in it."""

    number: int
    embedder: str
    path: Path
    watermark: int
    state: Literal["current", "retired"]


def current_generation(conn: Connection, embedder_id: str) -> Generation | None:
    """Return the newest generation of this embedder that is not retired."""
    query = select(generations).where(generations.c.embedder == embedder_id, generations.c.state == "current")
    row = conn.execute(query.order_by(generations.c.number.desc()).limit(1)).one_or_none()
    if row is None:
        return None
    return Generation(number=row.number, embedder=row.embedder, path=Path(row.path), watermark=row.watermark, state=row.state)


def create_generation(conn: Connection, embedder_id: str, path: Path | str) -> Generation:
    """Start an empty generation; numbers are never used twice. The one before stays until it is retired."""
    row = {"embedder": embedder_id, "path": str(path), "watermark": 0, "state": "current"}
    number = conn.execute(insert(generations).values(**row).returning(generations.c.number)).scalar_one()
    return Generation(number=number, embedder=embedder_id, path=Path(path), watermark=0, state="current")


def advance(conn: Connection, number: int, watermark: int) -> None:
    """Say that entries up to `watermark` are in the index and on disk; raise `UsageError` for going back."""
    before = conn.execute(select(generations.c.watermark).where(generations.c.number == number)).scalar_one_or_none()
    if before is None:
        raise UnknownRecordError(f"No generation {number} of the vector index.")
    if watermark < before:
        raise UsageError(f"Generation {number} is at {before} and can't go back to {watermark}; retire it and create another.")
    conn.execute(update(generations).where(generations.c.number == number).values(watermark=watermark))


def retire(conn: Connection, number: int) -> None:
    """Take a generation out of use. Idempotent; raise `UnknownRecordError` for an unknown number."""
    if conn.execute(update(generations).where(generations.c.number == number).values(state="retired")).rowcount == 0:
        raise UnknownRecordError(f"No generation {number} of the vector index.")
