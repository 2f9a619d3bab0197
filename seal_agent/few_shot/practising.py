"""The outer loop for recipes, one ReST-EM round over the tasks of a scope: what won on some teaches the writer, the others judge it.

After SEAL's few-shot part (arXiv 2506.10943): sample recipes, reward each by its inner loop, train the writer on the winners. Rewards are
those that `learn` measured and kept. People's recipes count as samples, because a small model writes no sound one untaught. The writer is
judged by the mean reward of all that it writes for tasks it was not trained on, and what is no recipe is worth nothing there.
"""

import json
import logging
import random
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Literal

from seal_agent.adapters.artefact import new_stage
from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.editor import RECIPES, editor_of, loaded_editor
from seal_agent.consolidation.inner_loop import anchor_count, anchors
from seal_agent.consolidation.practising import examiner_of
from seal_agent.consolidation.registering import Candidate, Entry, register
from seal_agent.consolidation.round_report import FEWEST_JUDGED, interval
from seal_agent.errors import CycleInterruptedError, TrainingError, UsageError
from seal_agent.few_shot.choosing import affordable, is_affordable, try_all
from seal_agent.few_shot.recipe import Recipe, asking_for_one, by_hand, sampled, written
from seal_agent.few_shot.records import RECORD, RecipeJudgement, RecipeRound, Trial
from seal_agent.few_shot.reward import Lab, reward
from seal_agent.few_shot.task import Task
from seal_agent.ledger.skills import attempts_of, list_skills
from seal_agent.types import Check, Decision, Example, ProgressCallback, ScopeId, TrainingResult

logger = logging.getLogger(__name__)

FEWEST = 4
"""Tasks: two to practise on and two to judge on."""
JUDGED_SHARE = 3
"""One task in so many is kept apart, and never fewer than two."""
VIEWS = 4
"""Orders of the demonstrations in which the writer is shown each winner's task: it sees the first few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round under way."""

    backends: Backends
    scope: ScopeId
    progress: ProgressCallback
    should_stop: Callable[[], bool]
    started: float

    @property
    def seed(self) -> int:
        return self.backends.settings.training.seed

    def is_spent(self) -> bool:
        return time.monotonic() - self.started > self.backends.settings.practice.max_minutes * 60

    def must_stop(self) -> bool:
        return self.should_stop() or self.is_spent()

    def lab(self, task: Task) -> Lab:
        return Lab(task=task, backends=self.backends, progress=self.progress, should_stop=self.must_stop, seed=self.seed)


def practise_recipes(
    backends: Backends,
    scope: ScopeId,
    *,
    progress: ProgressCallback,
    should_stop: Callable[[], bool],
    clock: Callable[[], datetime],
) -> RecipeRound:
    """Hold one round; what was measured before is not measured again, so an interrupted one goes on where it stopped.

    Raise `UsageError` where too few tasks were learnt, `CycleInterruptedError` when it was stopped or its budget is used up,
    `TrainingError`.
    """
    current = Round(backends=backends, scope=scope, progress=progress, should_stop=should_stop, started=time.monotonic())
    seen, unseen = tasks_of(backends, scope, current.seed)
    before = editor_of(backends, scope, RECIPES)
    try:
        with loaded_editor(backends, before) as writer:
            winners = [(task, winner_of(current.lab(task), writer)) for task in seen]
            with candidate(current, [(task, trial.recipe) for task, trial in winners]) as (folder, name, training):
                judged = [judge(current.lab(task), writer, name) for task in unseen]
                return settle(current, winners, judged, folder, training, before.name if before else None, clock())
    except CycleInterruptedError as error:
        most = backends.settings.practice.max_minutes
        why = f"used up practice.max_minutes={most:g}" if current.is_spent() and not should_stop() else "was stopped"
        raise CycleInterruptedError(f"Practising recipes in {scope.key!r} {why}; the same call goes on from there.") from error


def tasks_of(backends: Backends, scope: ScopeId, seed: int) -> tuple[list[Task], list[Task]]:
    """Return (to practise on, to judge on); raise `UsageError` where this scope has learnt too few, or no recipe is asked for."""
    if not backends.settings.few_shot.written:
        raise UsageError("few_shot.written=0 asks the model for no recipes: there is nothing to practise.")
    with backends.ledger.read() as conn:
        known = {skill.name: RECORD.validate_json(skill.record) for skill in list_skills(conn, scope, "task")}
    if len(known) < FEWEST:
        raise UsageError(f"{scope.key!r} has learnt {len(known)} tasks, practising recipes needs {FEWEST}: learn more of them first.")
    tasks = [Task(name=name, kind=record.kind, demonstrations=record.demonstrations) for name, record in sorted(known.items())]
    random.Random(seed).shuffle(tasks)
    apart = max(FEWEST_JUDGED, len(tasks) // JUDGED_SHARE)
    return tasks[apart:], tasks[:apart]


def winner_of(lab: Lab, writer: str | None) -> Trial:
    """The recipe with the best reward, of people's and of those that the writer samples."""
    settings = lab.backends.settings.few_shot
    hand = by_hand(lab.task.kind)
    more, refused = written(lab.task, lab.backends.model, settings.written, settings.temperature, lab.seed, hand, writer)
    found = {**dict.fromkeys(hand, "hand"), **dict.fromkeys(more, lab.backends.model.id)}
    return try_all(lab, affordable(lab, found.items(), refused), refused)[0]


@contextmanager
def candidate(current: Round, winners: Sequence[tuple[Task, Recipe]]) -> Iterator[tuple[Path, str, TrainingResult]]:
    """Yield (folder, loaded name, figures) of a writer trained on the winners; gone afterwards unless it was published."""
    backends, settings = current.backends, current.backends.settings.practice
    changed = {"objective": "masked", "max_passes": settings.editor_passes, "learning_rate": settings.editor_rate, "target_loss": 0.0}
    trainer = backends.trainer_for(backends.settings.training.model_copy(update=changed))
    out, name = new_stage(backends.folder / "adapters"), f"recipes-{uuid.uuid4().hex[:12]}"
    examples = examples_of(current, winners)
    try:
        training = trainer.train(examples, probes=(), out=out, seed=current.seed, progress=current.progress, should_stop=current.must_stop)
        backends.model.load_adapter(name, out)
        yield out, name, training
    finally:
        backends.model.unload_adapter(name)
        shutil.rmtree(out, ignore_errors=True)


def examples_of(current: Round, winners: Sequence[tuple[Task, Recipe]]) -> list[Example]:
    """The prompt as the writer sees it, in several orders of the demonstrations, and the recipe that won; anchors beside, as in a night."""
    order = random.Random(current.seed)
    lines: list[Example] = []
    for task, won in winners:
        for _ in range(VIEWS):
            shown = tuple(order.sample(task.demonstrations, len(task.demonstrations)))
            prompt = asking_for_one(replace(task, demonstrations=shown))
            lines.append(Example(prompt=prompt, answer=won.text, fact_id=f"task-{task.name}"))
    settings = current.backends.settings.training
    count = anchor_count(len(lines), settings)
    return [*lines, *(anchors(count, examiner_of(current.backends), settings) if count else [])]


def judge(lab: Lab, before: str | None, trained: str) -> RecipeJudgement:
    """Both writers on a task that neither was trained on: as many recipes each, with the same seed."""
    old, sound_old = worth(lab, before)
    new, sound_new = worth(lab, trained)
    return RecipeJudgement(task=lab.task.name, untrained=old, trained=new, sound_untrained=sound_old, sound_trained=sound_new)


def worth(lab: Lab, writer: str | None) -> tuple[float, int]:
    """(mean reward of what a writer writes, how many of it were recipes that could be used); raise `TrainingError` where none was measured.

    One whose training failed is not measured, for which the machine may be to blame as well as the recipe.
    """
    settings = lab.backends.settings.few_shot
    values: list[float] = []
    errors: list[TrainingError] = []
    sound = 0
    found = sampled(lab.task, lab.backends.model, settings.written, settings.temperature, lab.seed, writer)
    for place, how in enumerate(found):
        lab.say(f"judge: {lab.task.name}", place, len(found))
        try:
            usable = not isinstance(how, str) and is_affordable(lab, how)
            values.append(reward(lab, how, lab.seed).probability if usable and not isinstance(how, str) else 0.0)
            sound += usable
        except TrainingError as error:
            logger.warning("a recipe that was written for %r is not judged by: %s", lab.task.name, error)
            errors.append(error)
    lab.say(f"judge: {lab.task.name}", len(found), len(found))
    if not values:
        raise TrainingError(f"None of {len(found)} recipes written for {lab.task.name!r} could be trained: {errors[0]}") from errors[0]
    return fmean(values), sound


def decide(judged: Sequence[RecipeJudgement]) -> Decision:
    """Promote only a writer whose recipes are worth more on tasks that it has not seen, beyond what chance would do."""
    low, high = interval([one.difference for one in judged])
    before, after = fmean(one.untrained for one in judged), fmean(one.trained for one in judged)
    gain = Check(
        name="gain",
        passed=low > 0.0,
        text=f"recipes worth {before:.3f} -> {after:.3f} on {len(judged)} unseen tasks, 95 % interval of the rise {low:+.3f} to {high:+.3f}"
        " (above 0)",
    )
    return Decision(verdict="promote" if gain.passed else "reject", checks=(gain,))


def settle(
    current: Round,
    winners: Sequence[tuple[Task, Trial]],
    judged: Sequence[RecipeJudgement],
    folder: Path,
    training: TrainingResult,
    before: str | None,
    at: datetime,
) -> RecipeRound:
    """Let the gate decide, and have the trained one write recipes from now on if it says so."""
    decision = decide(judged)
    state: Literal["promoted", "rejected"] = "promoted" if decision.verdict == "promote" else "rejected"
    reason = decision.checks[0].text
    names = sorted(task.name for task, _ in winners)
    gains = {"gain_untrained": fmean(one.untrained for one in judged), "gain_trained": fmean(one.trained for one in judged)}
    entry = Entry(
        scope=current.scope,
        kind="editor",
        name=RECIPES,
        decision=decision,
        reason=f"practice of recipes: {reason}",
        record=json.dumps({"tasks": names, **gains}),
        seed=current.seed,
    )
    settings = current.backends.settings
    made = Candidate(
        folder=folder,
        training=replace(training, path=Path(folder.name)),
        hyper_parameters={**settings.training.model_dump(), "practice": settings.practice.model_dump_json()},
    )
    with current.backends.ledger.read() as conn:
        number = len(attempts_of(conn, current.scope, "editor", RECIPES)) + 1
        gone = set(names) - {skill.name for skill in list_skills(conn, current.scope, "task")}
    if gone:
        raise TrainingError(f"{', '.join(map(repr, sorted(gone)))} went while it was practised on; nothing was promoted. Practise again.")
    skill = register(current.backends, entry, made, at)
    return RecipeRound(
        round=number,
        state=state,
        reason=reason,
        editor=skill.adapter,
        writer=before,
        winners={task.name: trial for task, trial in winners},
        judged=tuple(judged),
        decision=decision,
        seconds=round(time.monotonic() - current.started, 3),
    )
