"""Forgetting in the ledger: the text goes, a hash stays, so that what was forgotten is not learnt again from a copy.

Only rows are removed here. `Ledger.scrub` afterwards makes them unreadable on disk; index, weights, exports and the copies that
migrations keep (`migrations.BACKUP_PATTERN`) are for the caller to remove.
"""

from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from seal_agent.ledger.encoding import encode_time, hash_episode, hash_fact
from seal_agent.ledger.episodes import get_episode
from seal_agent.ledger.facts import get_fact, set_fact_state
from seal_agent.ledger.schema import episodes, fact_sources, tombstones
from seal_agent.types import Fact


def forget_fact(conn: Connection, fact_id: str, at: datetime) -> None:
    """Erase a fact's text, quote, sources and entry, and remember its hash. Idempotent; raise `UnknownRecordError`."""
    fact = get_fact(conn, fact_id)
    if fact.state == "forgotten":
        return
    _bury(conn, hash_fact(fact), at, "fact")
    set_fact_state(conn, fact_id, "forgotten")


def forget_episode(conn: Connection, episode_id: str, at: datetime) -> list[str]:
    """Delete an episode with its entries and forget every fact that rests on it, also in part; return those facts' ids."""
    episode = get_episode(conn, episode_id)
    resting = select(fact_sources.c.fact_id).where(fact_sources.c.episode_id == episode_id).distinct().order_by(fact_sources.c.fact_id)
    fact_ids = list(conn.execute(resting).scalars())
    for fact_id in fact_ids:
        forget_fact(conn, fact_id, at)
    _bury(conn, hash_episode(episode), at, "episode")
    conn.execute(delete(episodes).where(episodes.c.id == episode_id))
    return fact_ids


def is_forgotten(conn: Connection, fact: Fact) -> bool:
    """Tell whether the same statement of the same scope was forgotten once, under whatever id."""
    return conn.execute(select(tombstones.c.at).where(tombstones.c.sha256 == hash_fact(fact))).first() is not None


def _bury(conn: Connection, sha256: str, at: datetime, kind: str) -> None:
    if conn.execute(select(tombstones.c.at).where(tombstones.c.sha256 == sha256)).first() is None:
        conn.execute(insert(tombstones), {"sha256": sha256, "at": encode_time(at), "kind": kind})
