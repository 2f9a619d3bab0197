"""Episodes: what was said, append-only. The text of their turns lives in `entries` alone, beside its vectors.

Deliberately judges nothing: what is worth learning is `consolidation/`'s business, what is too large is the caller's.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, union, update

from seal_agent.errors import EmbeddingError, IntegrityError, InvalidTurnError, UnknownRecordError
from seal_agent.ledger.encoding import (
    Columns,
    Vectors,
    batches,
    check_episode_text,
    decode_metadata,
    decode_time,
    encode_metadata,
    encode_time,
    hash_episode,
    hash_text,
    key_columns,
    scope_columns,
    scope_of,
)
from seal_agent.ledger.entries import add_entries, embedding_columns
from seal_agent.ledger.schema import entries, episodes, facts
from seal_agent.ledger.tombstones import admit, tombstone_keys, was_cut
from seal_agent.types import Episode, ScopeId, Turn

# Built once: putting a statement together costs as much as running it.
HASHES = select(episodes.c.id, episodes.c.sha256).where(
    episodes.c.scope_key == bindparam("scope_key"), episodes.c.id.in_(bindparam("ids", expanding=True))
)
NEW_EPISODE = insert(episodes)


def add_episode(conn: Connection, episode: Episode, vectors: Vectors | None, embedder_id: str | None) -> bool:
    """Record one episode; return False when it is there already. See `add_episodes`."""
    return add_episodes(conn, [(episode, vectors)], embedder_id)[0] is not None


def add_episodes(conn: Connection, given: Sequence[tuple[Episode, Vectors | None]], embedder_id: str | None) -> list[Episode | None]:
    """Record episodes with one entry per turn; return each as it is recorded now, None for one that is there already.

    Vectors have one row per turn; without, the entries wait in `missing_vectors`. The time is not part of what makes two episodes the
    same. Turns that were forgotten in their scope are withheld. Raise `InvalidTurnError` when an id is taken by another content or a text
    can't be stored, `ForgottenError` when nothing of an episode remains or it was forgotten as a whole; then undo the whole transaction.
    """
    for episode, _ in given:
        check_episode_text(episode)
    known = _hashes(conn, [episode for episode, _ in given])
    keys = tombstone_keys(conn)
    new: list[Columns] = []
    turns: list[Columns] = []
    added: list[Episode | None] = []
    for episode, vectors in given:
        place = (episode.scope.key, episode.id)
        if known.get(place) == hash_episode(episode) or (place in known and was_cut(conn, episode)):
            added.append(None)
            continue
        whole, episode = episode, admit(conn, episode, keys)
        digest = hash_episode(episode)
        added.append(None if place in known else episode)
        if known.setdefault(place, digest) != digest:
            raise InvalidTurnError(f"Episode id {episode.id!r} is taken by another content; use a new id for a new interaction.")
        if vectors is not None and len(vectors) != len(episode.turns):
            raise EmbeddingError(f"Episode {episode.id!r} has {len(episode.turns)} turns but {len(vectors)} vectors; embed each turn once.")
        if added[-1] is not None:
            new.append(_episode_row(episode, digest))
            for position, turn in enumerate(episode.turns):
                # The vector of a withheld turn would hold what its text no longer does.
                vector = vectors[position] if vectors is not None and turn == whole.turns[position] else None
                turns.append(turn_entry(episode, position, embedding_columns(vector, embedder_id)))
    if new:
        conn.execute(NEW_EPISODE, new)
        add_entries(conn, turns)
    return added


def _hashes(conn: Connection, given: Sequence[Episode]) -> dict[tuple[str, str], str]:
    """The hashes of the episodes that are there, by scope and id."""
    known: dict[tuple[str, str], str] = {}
    for scope_key in dict.fromkeys(episode.scope.key for episode in given):
        for batch in batches([episode.id for episode in given if episode.scope.key == scope_key]):
            rows = conn.execute(HASHES, {"scope_key": scope_key, "ids": batch})
            known.update(((scope_key, id), sha256) for id, sha256 in rows)
    return known


def _episode_row(episode: Episode, digest: str) -> Columns:
    return {
        "id": episode.id,
        **scope_columns(episode.scope),
        "session": episode.session,
        "at": encode_time(episode.at),
        "source": episode.source,
        "outcome": episode.outcome,
        "sha256": digest,
        "metadata": encode_metadata(episode.metadata),
    }


def turn_entry(episode: Episode, position: int, embedding: Columns) -> Columns:
    """The searchable row of one turn."""
    turn = episode.turns[position]
    return {
        "id": f"{episode.id}:{position}",
        "kind": "turn",
        "scope_key": episode.scope.key,
        "episode_id": episode.id,
        "turn": position,
        "role": turn.role,
        "name": turn.name,
        "at": encode_time(episode.at),
        "text": turn.content,
        "sha256": hash_text(turn.content),
        **embedding,
    }


def get_episode(conn: Connection, scope: ScopeId, id: str) -> Episode:
    """Raise `UnknownRecordError` for an id unknown in exactly this scope, `IntegrityError` when the content is not what was recorded."""
    row = conn.execute(select(episodes).where(episodes.c.scope_key == scope.key, episodes.c.id == id)).one_or_none()
    if row is None:
        raise UnknownRecordError(f"No episode {id!r} in {scope.key!r}.")
    return _build(conn, scope, [row])[0]


def list_episodes(conn: Connection, scope: ScopeId, *, unextracted_only: bool = False) -> list[Episode]:
    """List this exact scope's episodes, oldest first; `unextracted_only` leaves out those that facts were drawn from."""
    query = select(episodes).where(episodes.c.scope_key == scope.key).order_by(episodes.c.at, episodes.c.seq)
    if unextracted_only:
        query = query.where(episodes.c.extracted_at.is_(None))
    return _build(conn, scope, conn.execute(query).all())


def unextracted_ids(conn: Connection, scope: ScopeId) -> list[str]:
    """The ids of `list_episodes(unextracted_only=True)`, in its order, without reading what was said: for each question, not each night."""
    query = select(episodes.c.id).where(episodes.c.scope_key == scope.key, episodes.c.extracted_at.is_(None))
    return list(conn.execute(query.order_by(episodes.c.at, episodes.c.seq)).scalars())


def _build(conn: Connection, scope: ScopeId, rows: Sequence[Row[Any]]) -> list[Episode]:  # Any: every column of `episodes`
    turns: dict[str, list[Turn]] = {row.id: [] for row in rows}
    columns = (entries.c.episode_id, entries.c.role, entries.c.text, entries.c.name)
    for ids in batches(list(turns)):
        query = select(*columns).where(entries.c.scope_key == scope.key, entries.c.episode_id.in_(ids))
        query = query.order_by(entries.c.episode_id, entries.c.turn)
        for episode_id, role, text, name in conn.execute(query):
            turns[episode_id].append(Turn(role=role, content=text, name=name))
    return [_checked(row, turns[row.id]) for row in rows]


def _checked(row: Row[Any], turns: list[Turn]) -> Episode:  # Any: every column of `episodes`
    episode = Episode(
        id=row.id,
        scope=scope_of(row),
        session=row.session,
        at=decode_time(row.at),
        turns=tuple(turns),
        source=row.source,
        outcome=row.outcome,
        metadata=decode_metadata(row.metadata),
    )
    if hash_episode(episode) != row.sha256:
        raise IntegrityError(f"Episode {row.id!r} is not what was recorded; restore a backup, or forget the episode.")
    return episode


def mark_extracted(conn: Connection, scope: ScopeId, episode_ids: Iterable[str], at: datetime) -> None:
    """Say that facts were drawn from these episodes of a scope; the first time counts. Raise `UnknownRecordError` for an unknown id."""
    ids = list(dict.fromkeys(episode_ids))
    time = encode_time(at)
    for batch in batches(ids):
        theirs = (episodes.c.scope_key == scope.key, episodes.c.id.in_(batch))
        known = set(conn.execute(select(episodes.c.id).where(*theirs)).scalars())
        if len(known) != len(batch):
            raise UnknownRecordError(f"No episode {next(i for i in batch if i not in known)!r} in {scope.key!r}.")
        conn.execute(update(episodes).where(*theirs, episodes.c.extracted_at.is_(None)).values(extracted_at=time))


def count_episodes(conn: Connection, scope: ScopeId | None) -> int:
    """Count this exact scope's episodes, or everybody's."""
    query = select(func.count()).select_from(episodes)
    if scope is not None:
        query = query.where(episodes.c.scope_key == scope.key)
    return int(conn.execute(query).scalar_one())


def scopes(conn: Connection) -> list[ScopeId]:
    """List all scopes that hold episodes or facts, by key."""
    both = union(select(*key_columns(episodes)), select(*key_columns(facts))).subquery()
    return [scope_of(row) for row in conn.execute(select(both).order_by(both.c.scope_key))]
