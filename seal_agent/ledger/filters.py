"""Which entries meet the conditions of a search, in SQL. Deliberately ranks nothing; what the conditions mean is said at `types.Where`."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, Connection, and_, func, literal, or_, select
from sqlalchemy.types import NullType

from seal_agent.ledger.encoding import encode_time
from seal_agent.ledger.entries import SAID_IN
from seal_agent.ledger.schema import entries, episodes
from seal_agent.types import MetadataValue, Where

Seqs = npt.NDArray[np.int64]


def matching(conn: Connection, scope_keys: Sequence[str], where: Where) -> Seqs:
    """Return the sequence numbers of the entries of these exact scopes that meet all conditions, ascending.

    A fact has a time and a kind; a condition on anything else, which only turns have, leaves facts out.
    """
    query = select(entries.c.seq).where(entries.c.scope_key.in_(scope_keys)).order_by(entries.c.seq)
    if where.since is not None:
        query = query.where(entries.c.at >= encode_time(where.since))
    if where.until is not None:
        query = query.where(entries.c.at < encode_time(where.until))
    conditions = [condition(name, values) for name, values in where.fields.items()]
    conditions += [
        func.json_extract(episodes.c.metadata, f'$."{key}"').in_([literal(plain(value), NullType()) for value in values])
        for key, values in where.metadata.items()
    ]
    if conditions:
        query = query.outerjoin_from(entries, episodes, SAID_IN).where(*conditions)
    return np.array(conn.execute(query).scalars().all(), dtype=np.int64)


def condition(name: str, values: Sequence[MetadataValue]) -> ColumnElement[bool]:
    if name in ("role", "kind"):
        return entries.c[name].in_(values)
    if name == "author":
        # Who said it: the name given with the turn; without one, the scope's user for a user's turn, or the role.
        unnamed = or_(entries.c.role.in_(values), and_(entries.c.role == "user", episodes.c.user.in_(values)))
        return or_(entries.c.name.in_(values), and_(entries.c.name.is_(None), unnamed))
    return episodes.c[name].in_(values)


def plain(value: MetadataValue) -> str | int | float:
    """As SQLite reads the value in JSON: true and false as 1 and 0, a whole number beyond 64 bits as a float."""
    if not isinstance(value, int):
        return value
    if -(2**63) <= value < 2**63:
        return int(value)
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
