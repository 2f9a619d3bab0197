"""A learnt task: asked as its adapter was trained, listed, and dropped.

Deliberately has no second-best answer: a task whose adapter can't be used is an error, because what the base says to it means nothing.
"""

import json
from collections.abc import Sequence

from seal_agent.adapters.artefact import remove
from seal_agent.config import Settings
from seal_agent.consolidation.editor import RECIPES
from seal_agent.errors import InvalidTaskError, UnknownRecordError
from seal_agent.few_shot.augment import prompt_for, to_show
from seal_agent.few_shot.records import RECORD, KnownTask, TaskAnswer, TaskRecord
from seal_agent.few_shot.reward import answer_tokens
from seal_agent.few_shot.task import Task, Value, check_name, checked, kind_of, read_grid, same, short
from seal_agent.ledger.adapters import get_adapter, withdraw_adapters
from seal_agent.ledger.ledger import Ledger
from seal_agent.ledger.skills import attempts_of, drop_skill, find_skill, list_skills
from seal_agent.protocols import Model
from seal_agent.types import Adapter, ScopeId


def find(ledger: Ledger, scope: ScopeId, name: str) -> tuple[Adapter, TaskRecord]:
    """Return what answers a task in this scope, or the nearest that shares it; raise `UnknownRecordError` naming those there are."""
    check_name(name)
    with ledger.read() as conn:
        skill = find_skill(conn, scope, "task", name)
        if skill is None or skill.adapter is None:
            known = sorted({one.name for seen in (scope, *scope.ancestors) for one in list_skills(conn, seen, "task")})
            there = f"known are {', '.join(map(repr, known))}" if known else "none was learnt yet"
            raise UnknownRecordError(f"No task {name!r} in {scope.key!r}: {there}. Teach it with learn.")
        return get_adapter(conn, skill.adapter), RECORD.validate_json(skill.record)


def known_tasks(ledger: Ledger, scope: ScopeId) -> list[KnownTask]:
    """Return the tasks that `run` finds in this scope, by name: its own, and the shared ones that none of its own hides."""
    found: dict[str, KnownTask] = {}
    with ledger.read() as conn:
        visible = [skill for seen in (scope, *scope.ancestors) for skill in list_skills(conn, seen, "task")]
    for skill in visible:
        record = RECORD.validate_json(skill.record)
        task = KnownTask(
            name=skill.name,
            scope=skill.scope,
            kind=record.kind,
            recipe=record.recipe,
            demonstrations=record.demonstrations,
            held_out=record.held_out,
            adapter=skill.adapter or "",
            at=skill.at,
        )
        found.setdefault(skill.name, task)
    return [found[name] for name in sorted(found)]


def spelt(record: TaskRecord, given: Sequence[Value], name: str) -> list[str]:
    """Return the inputs as texts; raise `InvalidTaskError` for one that is empty, or of the other kind."""
    texts = []
    for place, value in enumerate(given, start=1):
        text = checked(value, f"Input {place} of {name!r}")
        if kind_of(value) != record.kind:
            raise InvalidTaskError(
                f"Input {place} of {name!r} is a {kind_of(value)} ({short(text)!r}); the task was learnt from {record.kind}s."
            )
        texts.append(text)
    return texts


def run(model: Model, settings: Settings, record: TaskRecord, name: str, texts: Sequence[str], adapter: str) -> list[TaskAnswer]:
    """Ask a loaded adapter for each text, in one batch."""
    task = Task(name=name, kind=record.kind, demonstrations=record.demonstrations)
    shown = to_show(task.demonstrations, task.kind, settings.few_shot.shown) if record.recipe.shows else []
    prompts = [prompt_for(settings.model.system_prompt, text, shown) for text in texts]
    replies = model.generate(prompts, adapter=adapter, max_tokens=answer_tokens(model, settings.few_shot, task))
    return [
        TaskAnswer(
            text=reply.text.strip(),
            grid=read_grid(reply.text) if task.kind == "grid" else None,
            task=name,
            adapter=adapter,
            shown_before=any(same(reply.text, output) for output in task.outputs),
            finished=reply.finished,
        )
        for reply in replies
    ]


def drop(ledger: Ledger, scope: ScopeId, name: str) -> list[Adapter]:
    """Take a task away with its demonstrations, and return the adapters that held it; raise `UnknownRecordError`.

    With it go all editors of recipes if one of them was trained on it: each later one learnt from what an earlier one wrote.
    """
    check_name(name)
    with ledger.write() as conn:
        attempts = attempts_of(conn, scope, "task", name)
        if not any(attempt.record != "{}" for attempt in attempts):
            raise UnknownRecordError(f"No task {name!r} was learnt in {scope.key!r}; seal-agent tasks lists those that were.")
        editors = attempts_of(conn, scope, "editor", RECIPES)
        if any(name in json.loads(editor.record).get("tasks", ()) for editor in editors):
            attempts += editors
            drop_skill(conn, scope, "editor", RECIPES)
        held = [get_adapter(conn, attempt.adapter) for attempt in attempts if attempt.adapter is not None]
        withdraw_adapters(conn, [adapter.name for adapter in held])
        drop_skill(conn, scope, "task", name)
    for adapter in held:
        remove(ledger.folder / adapter.path)
    ledger.scrub()
    return held
