"""Generations: which build of the vector index is current, and per scope up to which entry it is filled.

Deliberately touches no folder: `retrieval/` builds, probes and deletes them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, insert, select, update

from seal_agent.errors import UnknownRecordError, UsageError
from seal_agent.ledger.schema import generation_scopes, generations

GenerationState = Literal["building", "current", "retired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One build of the vector index."""

    number: int
    embedder: str
    state: GenerationState

    @property
    def path(self) -> Path:
        """Its folder, within the brain directory."""
        return Path("index") / f"gen-{self.number}"


def current_generation(conn: Connection, embedder_id: str) -> Generation | None:
    """Return the generation of this embedder that is in use."""
    query = select(generations.c.number).where(generations.c.embedder == embedder_id, generations.c.state == "current")
    number = conn.execute(query.order_by(generations.c.number.desc()).limit(1)).scalar_one_or_none()
    return None if number is None else Generation(number=number, embedder=embedder_id, state="current")


def begin_generation(conn: Connection, embedder_id: str) -> Generation:
    """Take the next number, never used twice, for a generation to be built. The current one stays."""
    row = {"embedder": embedder_id, "state": "building"}
    number = conn.execute(insert(generations).values(**row).returning(generations.c.number)).scalar_one()
    return Generation(number=number, embedder=embedder_id, state="building")


def make_current(conn: Connection, number: int, marks: dict[str, int]) -> None:
    """Switch to a generation that is built, filled per scope key up to these entries; every other one is retired."""
    retire_others(conn, kept=number)
    conn.execute(update(generations).where(generations.c.number == number).values(state="current"))
    for scope_key, watermark in marks.items():
        advance(conn, number, scope_key, watermark)


def retire_others(conn: Connection, kept: int | None) -> None:
    """Take every generation but one out of use, of whatever embedder."""
    if kept is not None and conn.execute(select(generations.c.number).where(generations.c.number == kept)).first() is None:
        raise UnknownRecordError(f"No generation {kept} of the vector index.")
    query = update(generations).where(generations.c.state != "retired").values(state="retired")
    conn.execute(query if kept is None else query.where(generations.c.number != kept))


def watermarks(conn: Connection, number: int) -> dict[str, int]:
    """Return per scope key the last entry that is in this generation."""
    query = select(generation_scopes.c.scope_key, generation_scopes.c.watermark).where(generation_scopes.c.number == number)
    return {row.scope_key: row.watermark for row in conn.execute(query)}


def advance(conn: Connection, number: int, scope_key: str, watermark: int) -> None:
    """Say that entries of a scope up to `watermark` are in the index and on disk; raise `UsageError` for going back."""
    if conn.execute(select(generations.c.number).where(generations.c.number == number)).first() is None:
        raise UnknownRecordError(f"No generation {number} of the vector index.")
    of_scope = (generation_scopes.c.number == number) & (generation_scopes.c.scope_key == scope_key)
    before = conn.execute(select(generation_scopes.c.watermark).where(of_scope)).scalar_one_or_none()
    if before is None:
        conn.execute(insert(generation_scopes), {"number": number, "scope_key": scope_key, "watermark": watermark})
        return
    if watermark < before:
        raise UsageError(f"Generation {number} is at {before} in {scope_key!r} and can't go back to {watermark}; begin another.")
    conn.execute(update(generation_scopes).where(of_scope).values(watermark=watermark))
