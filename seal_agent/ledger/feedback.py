"""Feedback: what people said of answers, and by which adapter these were given. Counts; judges nothing (`seal_agent/watch.py`)."""

from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select

from seal_agent.ledger.encoding import check_text, decode_time, encode_time
from seal_agent.ledger.schema import feedback
from seal_agent.types import Feedback, ScopeId


def record_feedback(conn: Connection, scope: ScopeId, given: Feedback) -> None:
    """Record a verdict; a later one on the same answer takes its place."""
    row = {
        "answer_id": check_text("The answer's id", given.answer_id),
        "scope_key": scope.key,
        "adapter": given.adapter,
        "verdict": given.verdict,
        "note": check_text("The note", given.note),
        "at": encode_time(given.at),
    }
    conn.execute(delete(feedback).where(feedback.c.answer_id == given.answer_id, feedback.c.scope_key == scope.key))
    conn.execute(insert(feedback), row)


def list_feedback(conn: Connection, scope: ScopeId, limit: int | None = None) -> list[Feedback]:
    """List what was said of this scope's answers, the newest first."""
    query = select(feedback).where(feedback.c.scope_key == scope.key).order_by(feedback.c.seq.desc()).limit(limit)
    return [
        Feedback(answer_id=row.answer_id, adapter=row.adapter, verdict=row.verdict, note=row.note, at=decode_time(row.at))
        for row in conn.execute(query)
    ]


def count_feedback(conn: Connection, adapter: str, since: datetime | None, per_giver: int | None) -> tuple[int, int]:
    """Return (verdicts, bad ones) on an adapter's answers; with `per_giver`, at most so many of each scope count, the newest."""
    place = func.row_number().over(partition_by=feedback.c.scope_key, order_by=feedback.c.seq.desc()).label("place")
    query = select(feedback.c.verdict, place).where(feedback.c.adapter == adapter)
    ranked = (query if since is None else query.where(feedback.c.at >= encode_time(since))).subquery()
    counted = select(ranked.c.verdict) if per_giver is None else select(ranked.c.verdict).where(ranked.c.place <= per_giver)
    verdicts = list(conn.execute(counted).scalars())
    return len(verdicts), verdicts.count("bad")
