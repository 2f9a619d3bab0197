"""Which recipes are tried for a task, who writes them, and what each is worth. Trains no task's adapter; that is `learning.py`."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import TypeAdapter

from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.editor import RECIPES, editor_of, loaded_editor
from seal_agent.consolidation.kept import kept_json
from seal_agent.errors import TrainingError, UsageError
from seal_agent.few_shot.recipe import Recipe, by_hand, written
from seal_agent.few_shot.records import RECORD, Trial
from seal_agent.few_shot.reward import Lab, count_parts, count_steps, kept_at, reward
from seal_agent.ledger.skills import list_skills
from seal_agent.protocols import TextWriter
from seal_agent.types import ScopeId

logger = logging.getLogger(__name__)

WRITTEN = TypeAdapter(tuple[list[Recipe], dict[str, int]])


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeWriter:
    """Who is asked for recipes, and how."""

    model: TextWriter
    adapter: str | None = None
    """Name to ask the model for; None is the base."""
    editor: str | None = None
    """Name of the adapter in the ledger."""


@contextmanager
def writing_recipes(backends: Backends, scope: ScopeId) -> Iterator[RecipeWriter]:
    """Yield who writes recipes in a scope: the writer passed in, else the model with the editor that practice came to, else the base."""
    if backends.writer is not None:
        yield RecipeWriter(model=backends.writer)
        return
    editor = editor_of(backends, scope, RECIPES)
    with loaded_editor(backends, editor) as name:
        yield RecipeWriter(model=backends.model, adapter=name, editor=editor.name if editor else None)


def recipes_for(lab: Lab, scope: ScopeId) -> tuple[list[tuple[Recipe, str]], dict[str, int]]:
    """(recipe, who wrote it) to be tried: those that won for other tasks here, those by hand, those that the model writes."""
    found: dict[Recipe, str] = {}
    with lab.backends.ledger.read() as conn:
        records = [RECORD.validate_json(skill.record) for skill in list_skills(conn, scope, "task")]
    for record in records:
        if record.kind == lab.task.kind:
            found.setdefault(record.recipe, "won")
    for one in by_hand(lab.task.kind):
        found.setdefault(one, "hand")
    with writing_recipes(lab.backends, scope) as writer:
        more, refused = written_once(lab, writer, list(found))
    found |= dict.fromkeys(more, writer.model.id)
    return affordable(lab, found.items(), refused), refused


def affordable(lab: Lab, found: Iterable[tuple[Recipe, str]], refused: dict[str, int]) -> list[tuple[Recipe, str]]:
    """Those that take no more steps than allowed, the others counted as refused; raise `UsageError` where none is left."""
    tried = list(found)
    kept = [(one, by) for one, by in tried if is_affordable(lab, one)]
    if len(kept) < len(tried):
        refused["too many steps"] = len(tried) - len(kept)
    if not kept:
        most = lab.backends.settings.few_shot.max_steps
        raise UsageError(f"Every recipe for {lab.task.name!r} takes more than few_shot.max_steps={most:,} steps; raise it.")
    return kept


def is_affordable(lab: Lab, how: Recipe) -> bool:
    return count_steps(lab, how) <= lab.backends.settings.few_shot.max_steps


def written_once(lab: Lab, writer: RecipeWriter, known: Sequence[Recipe]) -> tuple[list[Recipe], dict[str, int]]:
    """What the writer wrote, kept: asked again after an interruption, one that is far away would write others."""
    settings = lab.backends.settings.few_shot

    def ask() -> tuple[list[Recipe], dict[str, int]]:
        return written(lab.task, writer.model, settings.written, settings.temperature, lab.seed, known, writer.adapter)

    what = chr(31).join(["written by", writer.model.id, str(writer.editor), *(one.text for one in known)])
    return kept_json(kept_at(lab, what, (), lab.seed), WRITTEN, ask, lambda _: True)


def try_all(lab: Lab, candidates: Sequence[tuple[Recipe, str]], refused: dict[str, int]) -> list[Trial]:
    """Every recipe with its reward, best first; of equals the one that was tried first. One that can't be trained is refused."""
    trials: list[Trial] = []
    errors: list[TrainingError] = []
    parts = count_parts(lab)
    for place, (how, by) in enumerate(candidates):

        def told(done: int, place: int = place, how: Recipe = how) -> None:
            lab.say("recipes", place * parts + done, len(candidates) * parts, f"{place + 1} of {len(candidates)}: {how.text}")

        told(0)
        try:
            trials.append(Trial(recipe=how, writer=by, figures=reward(lab, how, lab.seed, told)))
        except TrainingError as error:  # of its rate, say: no figure, and no reason to learn nothing from the others
            logger.warning("the recipe %s can't be trained: %s", how.text, error)
            errors.append(error)
            refused["training failed"] = refused.get("training failed", 0) + 1
    if not trials:
        raise TrainingError(f"None of {len(candidates)} recipes for {lab.task.name!r} could be trained: {errors[0]}") from errors[0]
    return sorted(trials, key=lambda trial: -trial.figures.probability)
