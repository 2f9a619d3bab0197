"""Skills: what a scope can do beside answering from facts, each with the adapter that does it and what is known of it.

A task learnt from demonstrations, the editor that writes self-edits, and the edit policy that won (which has no adapter). Every attempt
is a row, the rejected ones too; in force is the newest that was promoted and whose adapter was not taken back since. An adapter of a
skill is registered like any other, so that erasing, forgetting and verifying find it; it is never the one that a scope answers with.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import Connection, Row, insert, select, update

from seal_agent.ledger.adapters import get_adapter
from seal_agent.ledger.encoding import check_text, decode_time, encode_time, key_columns, scope_columns, scope_of
from seal_agent.ledger.schema import adapters, skills
from seal_agent.types import Adapter, ScopeId

SkillKind = Literal["task", "editor", "policy"]
KINDS: tuple[SkillKind, ...] = get_args(SkillKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """One attempt at one skill; `record` is JSON text, what it means is known to whoever learnt it."""

    scope: ScopeId
    kind: SkillKind
    name: str
    adapter: str | None
    cycle_id: str
    verdict: Literal["promote", "reject"]
    record: str
    at: datetime


def record_skill(conn: Connection, skill: Skill) -> None:
    """Record an attempt; its cycle and its adapter are recorded in the same transaction."""
    row = {
        **scope_columns(skill.scope),
        "kind": skill.kind,
        "name": check_text("A skill's name", skill.name),
        "adapter": skill.adapter,
        "cycle_id": skill.cycle_id,
        "verdict": skill.verdict,
        "record": check_text(f"The record of {skill.name!r}", skill.record),
        "at": encode_time(skill.at),
    }
    conn.execute(insert(skills), row)


def list_skills(conn: Connection, scope: ScopeId, kind: SkillKind) -> list[Skill]:
    """Return this exact scope's skills that are in force, by name."""
    usable = adapters.c.state.is_(None) | (adapters.c.state == "promoted")
    query = (
        _skills()
        .join(adapters, adapters.c.name == skills.c.adapter, isouter=True)
        .where(skills.c.scope_key == scope.key, skills.c.kind == kind, skills.c.verdict == "promote", usable)
        .order_by(skills.c.seq)
    )
    newest = {row.name: row for row in conn.execute(query)}
    return [_build(newest[name]) for name in sorted(newest)]


def find_skill(conn: Connection, scope: ScopeId, kind: SkillKind, name: str) -> Skill | None:
    """Return what is in force under this name in this scope, else in the nearest shared one."""
    for visible in (scope, *scope.ancestors):
        found = next((skill for skill in list_skills(conn, visible, kind) if skill.name == name), None)
        if found is not None:
            return found
    return None


def attempts_of(conn: Connection, scope: ScopeId, kind: SkillKind, name: str) -> list[Skill]:
    """Return every attempt of this exact scope, the oldest first."""
    mine = (skills.c.scope_key == scope.key) & (skills.c.kind == kind) & (skills.c.name == name)
    return [_build(row) for row in conn.execute(_skills().where(mine).order_by(skills.c.seq))]


def adapter_of(conn: Connection, skill: Skill) -> Adapter | None:
    return None if skill.adapter is None else get_adapter(conn, skill.adapter)


def skill_adapters(conn: Connection, scope: ScopeId) -> set[str]:
    """Return the names of this scope's adapters that belong to skills, whatever became of them: none of them answers from facts."""
    mine = (skills.c.scope_key == scope.key) & skills.c.adapter.is_not(None)
    return {str(name) for name in conn.execute(select(skills.c.adapter).where(mine)).scalars()}


def scopes_with_skills(conn: Connection) -> list[ScopeId]:
    """List all scopes that ever learnt a skill, by key; some of them may hold neither episodes nor facts."""
    return [scope_of(row) for row in conn.execute(select(*key_columns(skills)).distinct().order_by(skills.c.scope_key))]


def attempted_tasks(conn: Connection, scope: ScopeId) -> list[Skill]:
    """Return every attempt at a task of this exact scope, the oldest first, for whoever has to look through or prove gone what it held."""
    mine = (skills.c.scope_key == scope.key) & (skills.c.kind == "task")
    return [_build(row) for row in conn.execute(_skills().where(mine).order_by(skills.c.seq))]


def demonstrations_in(task: Skill) -> list[tuple[str, str]]:
    """Return (input, output) of each demonstration that a task's record holds; none where it was emptied."""
    return [(one["input"], one["output"]) for one in json.loads(task.record).get("demonstrations", ())]


def drop_skill(conn: Connection, scope: ScopeId, kind: SkillKind, name: str) -> None:
    """Empty every attempt's record, and let none be in force any more; that there was one stays known, for the cycles' sake."""
    mine = (skills.c.scope_key == scope.key) & (skills.c.kind == kind) & (skills.c.name == name)
    conn.execute(update(skills).where(mine).values(verdict="reject", record="{}"))


def _skills() -> Any:  # Any: SQLAlchemy types a select by its columns; `_build` reads rows by name
    names = ("kind", "name", "adapter", "cycle_id", "verdict", "record", "at")
    return select(*[skills.c[name] for name in names], *key_columns(skills))


def _build(row: Row[Any]) -> Skill:  # Any: the columns of `_skills`
    return Skill(
        scope=scope_of(row),
        kind=row.kind,
        name=row.name,
        adapter=row.adapter,
        cycle_id=row.cycle_id,
        verdict=row.verdict,
        record=row.record,
        at=decode_time(row.at),
    )
