"""Importing: what an archive holds and this brain does not is added to it, in one transaction; what was forgotten here stays forgotten.

Episodes and facts are the same when their ids and contents are; an id that stands for another content here refuses the whole import.
Adapters come with their cycles, for scopes that have none here, and never one that was trained on something this brain does not hold.
Deliberately no settings, API keys or nights: those are this installation's.
"""

import contextlib
import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Table, func, insert, select

from seal_agent.errors import ArchiveError, ForgottenError, UsageError
from seal_agent.ledger.adapters import list_adapters, set_live
from seal_agent.ledger.encoding import Vectors, decode_vectors
from seal_agent.ledger.episodes import add_episode, list_episodes, mark_extracted, scopes
from seal_agent.ledger.facts import list_facts
from seal_agent.ledger.ledger import Ledger
from seal_agent.ledger.schema import adapter_facts, adapters, cycles, entries, episodes, fact_events, fact_sources, facts, skills
from seal_agent.ledger.skills import scopes_with_skills
from seal_agent.ledger.tombstones import is_forgotten, take_over
from seal_agent.types import Adapter, Episode, ScopeId

logger = logging.getLogger(__name__)

LEARNT = frozenset({"learned", "not_learned", "queued"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import added, what was there already, and what was left out and why."""

    archive: Path
    added: Mapping[str, int]
    """Episodes, facts, tombstones and adapters that are new here."""
    known: Mapping[str, int]
    """Those that were there already."""
    left_out: Mapping[str, int]
    """By reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    added: Counter[str] = field(default_factory=lambda: Counter({"episodes": 0, "facts": 0, "tombstones": 0, "adapters": 0}))
    known: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


def merge(source: Ledger, target: Ledger, archive: Path, at: datetime) -> ImportReport:
    """Add what `source`, the brain of a verified archive, holds to `target`: all of it in one transaction, or nothing.

    Raise `ArchiveError` when both brains use one id for different contents.
    """
    tally = Tally()
    with undoing() as copied:
        try:
            with source.read() as theirs, target.write() as ours:
                # What was forgotten there does not come back here either.
                tally.added["tombstones"] += take_over(theirs, ours)
                for scope in dict.fromkeys([*scopes(theirs), *scopes_with_skills(theirs)]):
                    add_episodes_of(theirs, ours, scope, tally)
                    taken = adapters_to_take(theirs, ours, scope, tally)
                    add_facts_of(theirs, ours, scope, {adapter.name for adapter in taken}, tally)
                    for adapter in taken:
                        copied.append(copy_folder(source, target, adapter))
                        add_adapter(theirs, ours, adapter)
                        if adapter.live:
                            set_live(ours, scope, adapter.name, at, f"imported from {archive.name}")
                    add_skills(theirs, ours, [adapter.name for adapter in taken])
                    tally.added["adapters"] += len(taken)
        except UsageError as error:
            raise ArchiveError(f"{archive} and the brain in {target.folder} contradict each other; nothing imported: {error}") from error
    return ImportReport(archive=archive, added=dict(tally.added), known=dict(tally.known), left_out=dict(tally.left_out))


@contextlib.contextmanager
def undoing() -> Iterator[list[Path]]:
    """Yield a list of folders that are removed again if the block raises."""
    copied: list[Path] = []
    try:
        yield copied
    except BaseException:
        for folder in copied:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def add_episodes_of(theirs: Connection, ours: Connection, scope: ScopeId, tally: Tally) -> None:
    query = select(episodes.c.id, episodes.c.extracted_at).where(episodes.c.scope_key == scope.key)
    extracted = {row.id: row.extracted_at for row in theirs.execute(query)}
    for episode in list_episodes(theirs, scope):
        try:
            added = add_episode(ours, episode, *vectors_of_turns(theirs, episode))
        except ForgottenError:
            tally.left_out["forgotten"] += 1
            continue
        if added:
            tally.added["episodes"] += 1
            if extracted[episode.id] is not None:
                mark_extracted(ours, scope, [episode.id], datetime.fromisoformat(extracted[episode.id]))
        else:
            tally.known["episodes"] += 1


def vectors_of_turns(theirs: Connection, episode: Episode) -> tuple[Vectors | None, str | None]:
    """The stored vectors of an episode's turns, if one embedder made all of them; else they are embedded anew by and by."""
    turns = (entries.c.scope_key == episode.scope.key, entries.c.episode_id == episode.id)
    rows = theirs.execute(select(entries.c.embedder, entries.c.vector).where(*turns).order_by(entries.c.turn)).all()
    embedders = {row.embedder for row in rows}
    if len(embedders) != 1 or None in embedders:
        return None, None
    return decode_vectors([row.vector for row in rows], episode.id), embedders.pop()


def add_facts_of(theirs: Connection, ours: Connection, scope: ScopeId, taken: set[str], tally: Tally) -> None:
    """Add a scope's facts with their sources and entries; those that an adapter learnt which stays behind are to be learnt anew."""
    known = set(ours.execute(select(facts.c.id)).scalars())
    new: dict[str, dict[str, Any]] = {}
    rows = {row.id: values(row) for row in theirs.execute(select(facts).where(facts.c.scope_key == scope.key).order_by(facts.c.seq))}
    for fact in list_facts(theirs, scope):
        if fact.id in known:
            tally.known["facts"] += 1
        elif is_forgotten(ours, fact) or not all_known(ours, episodes, [s.episode_id for s in fact.sources], scope):
            tally.left_out["forgotten"] += 1
        else:
            new[fact.id] = rows[fact.id]
    for row in new.values():
        if row["superseded_by"] not in new.keys() | known:
            row["superseded_by"] = None
        if row["learned_by"] not in taken:
            again = {"state": "active"} if row["state"] in LEARNT else {}
            row |= {"learned_by": None, "probability": None, **again}
    add_rows(ours, facts, list(new.values()))
    for table in (fact_sources, fact_events, entries):
        query = select(table).where(table.c.fact_id.in_(select(facts.c.id).where(facts.c.scope_key == scope.key)))
        add_rows(ours, table, [values(row) for row in theirs.execute(query) if row.fact_id in new])
    tally.added["facts"] += len(new)


def adapters_to_take(theirs: Connection, ours: Connection, scope: ScopeId, tally: Tally) -> Sequence[Adapter]:
    """A scope's adapters, if this brain has none of its own for it and holds all that they were trained on."""
    found = list_adapters(theirs, scope)
    if not found:
        return []
    if list_adapters(ours, scope) or ours.execute(select(func.count()).where(cycles.c.scope_key == scope.key)).scalar_one():
        tally.left_out["adapters of a scope that has its own"] += len(found)
        return []
    forgotten = {fact.id for seen in (scope, *scope.ancestors) for fact in list_facts(theirs, seen) if is_forgotten(ours, fact)}
    if any(forgotten & set(adapter.fact_ids) for adapter in found):
        tally.left_out["adapters trained on what was forgotten"] += len(found)
        return []
    return found


def add_adapter(theirs: Connection, ours: Connection, adapter: Adapter) -> None:
    """Add the adapter's rows, its cycle's first; facts that it names were added before, or are not of this scope."""
    if not all_known(ours, cycles, [adapter.cycle_id]):
        add_rows(ours, cycles, [values(row) for row in theirs.execute(select(cycles).where(cycles.c.id == adapter.cycle_id))])
    add_rows(ours, adapters, [values(row) for row in theirs.execute(select(adapters).where(adapters.c.name == adapter.name))])
    links = theirs.execute(select(adapter_facts).where(adapter_facts.c.adapter == adapter.name))
    add_rows(ours, adapter_facts, [values(row) for row in links if all_known(ours, facts, [row.fact_id])])


def add_skills(theirs: Connection, ours: Connection, taken: Sequence[str]) -> None:
    """Say of the adapters that were taken which of them do a task or write self-edits: without that they would pass for a night's."""
    add_rows(
        ours, skills, [values(row) for row in theirs.execute(select(skills).where(skills.c.adapter.in_(taken)).order_by(skills.c.seq))]
    )


def copy_folder(source: Ledger, target: Ledger, adapter: Adapter) -> Path:
    """Copy an adapter's files, verified when the archive was unpacked; raise `UsageError` for a name that is taken."""
    to = target.folder / adapter.path
    if to.exists():
        raise UsageError(f"adapter {adapter.name!r} has a folder here already")
    if (source.folder / adapter.path).is_dir():
        shutil.copytree(source.folder / adapter.path, to)
    return to


def all_known(conn: Connection, table: Table, ids: Sequence[str], scope: ScopeId | None = None) -> bool:
    """Whether the table holds all of these ids; those of one scope where ids are a scope's own."""
    wanted = set(ids)
    query = select(table.c.id).where(table.c.id.in_(wanted))
    if scope is not None:
        query = query.where(table.c.scope_key == scope.key)
    return not wanted or set(conn.execute(query).scalars()) == wanted


def add_rows(conn: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows under new sequence numbers."""
    if rows:
        conn.execute(insert(table), [{name: value for name, value in row.items() if name != "seq"} for row in rows])


def values(row: Row[Any]) -> dict[str, Any]:  # Any: the columns of whatever table
    return dict(row._mapping)
