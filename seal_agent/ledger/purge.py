"""Removal of rows for good: facts, turns and episodes with everything in the ledger that quotes or names them.

Everything here happens in the caller's one transaction, the tombstones included. `Ledger.scrub` afterwards makes the removed bytes
unreadable on disk. Deliberately chooses nothing (`forgetting/` does) and touches no file.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, union, update

from seal_agent.ledger.encoding import batches, encode_metadata, encode_time, hash_episode, key_columns, scope_of
from seal_agent.ledger.entries import add_entries, embedding_columns
from seal_agent.ledger.episodes import get_episode, turn_entry
from seal_agent.ledger.fact_history import tell_again
from seal_agent.ledger.facts import TOLD, get_fact, update_fact
from seal_agent.ledger.schema import (
    adapter_facts,
    cycles,
    entries,
    episodes,
    erasures,
    fact_sources,
    facts,
    feedback,
    metadata,
    night_events,
    nights,
)
from seal_agent.ledger.tombstones import FORGOTTEN_TURN, bury, bury_episode, bury_original, is_telling
from seal_agent.types import Episode, Fact, MetadataValue, ScopeId, Turn

DROPPED = object()

Notes = tuple[str | None, Mapping[str, MetadataValue]]
"""Outcome and metadata of an episode."""


def remove_facts(conn: Connection, fact_ids: Sequence[str], at: datetime) -> list[str]:
    """Delete facts with their entries, sources and history; return the ids of those that are told again without them.

    What a removed fact had superseded is superseded by its successor, or told again where there is none: as if it had never been said.
    """
    removed = [get_fact(conn, id) for id in dict.fromkeys(fact_ids)]
    told_again = relink(conn, removed, at)
    for fact in removed:
        bury(conn, fact.scope, (fact.text, fact.quote), at)
        conn.execute(delete(adapter_facts).where(adapter_facts.c.fact_id == fact.id))
    for fact in removed:
        conn.execute(delete(facts).where(facts.c.id == fact.id))
    return told_again


def relink(conn: Connection, removed: Sequence[Fact], at: datetime) -> list[str]:
    """Let the predecessors of facts that are about to go follow their successors, or be told again."""
    going = {fact.id: fact for fact in removed}
    told_again: list[str] = []
    for fact in removed:
        heir: Fact | None = fact
        while heir is not None and heir.id in going:
            last, heir = heir, None if heir.superseded_by is None else get_fact(conn, heir.superseded_by)
        for id in conn.execute(select(facts.c.id).where(facts.c.superseded_by == fact.id)).scalars().all():
            if id in going:
                update_fact(conn, id, {"superseded_by": None})
            elif heir is not None:
                update_fact(conn, id, {"superseded_by": heir.id})
            elif last.state in TOLD:
                tell_again(conn, id, at)
                told_again.append(id)
            else:
                update_fact(conn, id, {"superseded_by": None})
        if fact.superseded_by is not None:
            update_fact(conn, fact.id, {"superseded_by": None})
    return told_again


def cut_episode(conn: Connection, before: Episode, remaining: Mapping[int, str], notes: Notes, at: datetime) -> None:
    """Put other words, what remains of them, in the place of some turns, which wait for their vectors then, and of its notes."""
    turns = [replace(turn, content=remaining.get(place, turn.content)) for place, turn in enumerate(before.turns)]
    # Somebody's name beside words that are gone would still say that they were there.
    turns = [Turn(role=t.role, content=t.content) if remaining.get(p) == FORGOTTEN_TURN else t for p, t in enumerate(turns)]
    outcome, metadata = notes
    after = replace(before, turns=tuple(turns), outcome=outcome, metadata=metadata)
    bury_original(conn, before, at)
    bury(conn, before.scope, [text for text in notes_of(before) if text not in notes_of(after) and is_telling(text)], at)
    bury(conn, before.scope, [before.turns[place].content for place in remaining if is_telling(before.turns[place].content)], at)
    theirs = (entries.c.scope_key == before.scope.key, entries.c.episode_id == before.id)
    conn.execute(delete(entries).where(*theirs, entries.c.turn.in_(list(remaining))))
    if remaining:
        # New rows, so that nothing in memory or in an index takes them for the old ones.
        add_entries(conn, [turn_entry(after, place, embedding_columns(None, None)) for place in sorted(remaining)])
    values = {"sha256": hash_episode(after), "outcome": after.outcome, "metadata": encode_metadata(after.metadata)}
    conn.execute(update(episodes).where(episodes.c.scope_key == before.scope.key, episodes.c.id == before.id).values(**values))


def notes_of(episode: Episode) -> list[str]:
    """The texts beside the turns: outcome and metadata."""
    return [text for text in (episode.outcome, *episode.metadata.values()) if isinstance(text, str)]


def remove_episodes(conn: Connection, scope: ScopeId, episode_ids: Iterable[str], at: datetime) -> None:
    """Delete a scope's episodes with their entries. The facts that rest on them must be gone already."""
    for episode_id in dict.fromkeys(episode_ids):
        episode = get_episode(conn, scope, episode_id)
        bury_episode(conn, episode, at)
        conn.execute(delete(fact_sources).where(fact_sources.c.scope_key == scope.key, fact_sources.c.episode_id == episode_id))
        conn.execute(delete(episodes).where(episodes.c.scope_key == scope.key, episodes.c.id == episode_id))


def facts_resting_on(conn: Connection, scope: ScopeId, episode_ids: Collection[str]) -> list[str]:
    """Return the ids of facts that were drawn from these episodes of a scope, also in part."""
    found: dict[str, None] = {}
    for batch in batches(list(episode_ids)):
        query = select(fact_sources.c.fact_id).where(fact_sources.c.scope_key == scope.key, fact_sources.c.episode_id.in_(batch))
        found.update(dict.fromkeys(conn.execute(query.order_by(fact_sources.c.fact_id)).scalars()))
    return list(found)


def scrub_reports(conn: Connection, scope: ScopeId, names: Collection[str], texts: Collection[str]) -> int:
    """Take every trace of a scope's ids and texts out of what the cycles that saw it reported; return how many cycles were touched.

    Replies are taken out of a touched report altogether: a model that knew a fact may have told it in answer to anything.
    """
    touched = 0
    columns = (cycles.c.id, cycles.c.reason, cycles.c.report, cycles.c.snapshot)
    for id, reason, report, snapshot in conn.execute(select(*columns).where(sees(cycles, scope))).all():
        written = "\n".join(text for text in (reason, report, snapshot) if text)
        needles = [needle for needle in (*names, *texts) if needle in written or _in_json(needle) in written]
        if needles:
            clean = None if report is None else json.dumps(_scrubbed(json.loads(report), set(names), needles), ensure_ascii=False)
            # Without its snapshot a cycle is not taken up again, nor taken for the same work as one on what remains.
            values = {"report": clean, "snapshot": None, "reason": _without(reason, needles)}
            conn.execute(update(cycles).where(cycles.c.id == id).values(**values))
            touched += 1
    for column in (nights.c.reason, feedback.c.note, night_events.c.text):
        for needle in (*names, *texts):
            replaced = {column.name: func.replace(column, needle, FORGOTTEN_TURN)}
            conn.execute(update(column.table).where(sees(column.table, scope), func.instr(column, needle) > 0).values(**replaced))
    return touched


def sees(table: Any, scope: ScopeId) -> ColumnElement[bool]:  # Any: a column's table is typed as any selectable
    """The rows of the scopes that see what is in this one: itself and those that inherit from it."""
    below = f"{scope.key}/"
    # Not LIKE, to which "A" and "a" are one.
    return or_(table.c.scope_key == scope.key, func.substr(table.c.scope_key, 1, len(below)) == below)


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _scrubbed(value: Any, ids: set[str], needles: Sequence[str]) -> Any:  # Any: parsed JSON
    if isinstance(value, dict):
        question = value.get("question")
        if value.get("fact_id") in ids or (isinstance(question, dict) and question.get("fact_id") in ids):
            return DROPPED
        kept = {key: "" if key == "reply" else _scrubbed(item, ids, needles) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not DROPPED}
    if isinstance(value, list):
        whole = [item for item in value if not (isinstance(item, str) and item in ids)]
        return [kept for item in whole if (kept := _scrubbed(item, ids, needles)) is not DROPPED]
    return _without(value, needles) if isinstance(value, str) else value


def _without(text: str | None, needles: Sequence[str]) -> str | None:
    for needle in needles if text else ():
        text = text.replace(needle, FORGOTTEN_TURN) if text else text
    return text


def scopes_of_anything(conn: Connection) -> list[ScopeId]:
    """List all scopes that hold a row of any kind, by key: also those with nothing but items, keys or nights."""
    tables = [table for table in metadata.sorted_tables if {"tenant", "agent", "user", "scope_key"} <= set(table.c.keys())]
    found = union(*(select(*key_columns(table)) for table in tables)).subquery()
    return [scope_of(row) for row in conn.execute(select(found).order_by(found.c.scope_key))]


def remove_scope(conn: Connection, scope: ScopeId) -> None:
    """Delete every row of exactly this scope, whatever the table; its facts and episodes must have been removed before."""
    # Adapters, cycles and live pointers refer to one another in circles; all of them go, and the commit checks that nothing dangles.
    conn.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
    for table in metadata.tables.values():
        if "scope_key" in table.c:
            conn.execute(delete(table).where(table.c.scope_key == scope.key))


def begin_erasure(conn: Connection, id: str, at: datetime, adapters: Sequence[str], counts: Mapping[str, int]) -> None:
    """Note what still has to go from the disk, in the transaction that removed the rows."""
    row = {"id": id, "at": encode_time(at), "done_at": None, "adapters": json.dumps(list(adapters)), "counts": json.dumps(dict(counts))}
    conn.execute(insert(erasures), row)


def unfinished_erasures(conn: Connection) -> dict[str, list[str]]:
    """Return the erasures whose files are not known to be gone, with the names of the adapters to delete."""
    rows = conn.execute(select(erasures.c.id, erasures.c.adapters).where(erasures.c.done_at.is_(None)).order_by(erasures.c.seq))
    return {id: list(json.loads(names)) for id, names in rows}


def files_are_gone(conn: Connection, id: str) -> None:
    """The names of the deleted adapters are not needed any more, and may name somebody."""
    conn.execute(update(erasures).where(erasures.c.id == id).values(adapters="[]"))


def end_erasure(conn: Connection, id: str, at: datetime) -> None:
    """Say that nothing is left."""
    conn.execute(update(erasures).where(erasures.c.id == id).values(done_at=encode_time(at), adapters="[]"))
