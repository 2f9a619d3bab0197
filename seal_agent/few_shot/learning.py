"""Learning one task: try recipes, choose by reward, report on other parts, train on everything, ask the gate, keep it under its name.

Read this first. What was tried is kept as it goes, so that a call that was interrupted goes on where it stopped. Deliberately judges a
task's adapter by its task alone: it answers nothing else.
"""

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from seal_agent.adapters.artefact import new_stage
from seal_agent.config import FewShotSettings
from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.kept import kept_json
from seal_agent.consolidation.registering import Candidate, Entry, register
from seal_agent.errors import InvalidTaskError, TrainingError, UsageError
from seal_agent.few_shot.recipe import Recipe, by_hand, written
from seal_agent.few_shot.records import Figures, TaskReport, Trial
from seal_agent.few_shot.reward import Lab, check_steps, count_parts, in_context, kept_at, loaded, reward
from seal_agent.few_shot.task import Demonstration, Kind, Task
from seal_agent.ledger.skills import list_skills
from seal_agent.privacy.scan import scan
from seal_agent.protocols import TextWriter
from seal_agent.types import Check, Decision, ProgressCallback, ScopeId

logger = logging.getLogger(__name__)

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """What the ledger keeps of a task, as JSON: enough to run it and to learn it again."""

    kind: Kind
    recipe: Recipe
    demonstrations: tuple[Demonstration, ...]
    held_out: Figures
    in_context: Figures


RECORD = TypeAdapter(TaskRecord)
WRITTEN = TypeAdapter(tuple[list[Recipe], dict[str, int]])


def learn(
    backends: Backends,
    scope: ScopeId,
    task: Task,
    *,
    progress: ProgressCallback,
    should_stop: Callable[[], bool],
    clock: Callable[[], datetime],
) -> TaskReport:
    """Learn a checked task; raise `InvalidTaskError` for what must not be trained on, `CycleInterruptedError` when it was stopped."""
    refuse_private(backends, task)
    lab = Lab(task=task, backends=backends, progress=progress, should_stop=should_stop, seed=backends.settings.training.seed)
    started = time.perf_counter()
    seconds: dict[str, float] = {}
    before = in_context(lab, lab.seed + 1)
    seconds["in context"] = time.perf_counter() - started
    candidates, refused = recipes_for(lab, scope)
    trials = try_all(lab, candidates, refused)
    chosen = trials[0].recipe
    seconds["recipes"] = time.perf_counter() - started - seconds["in context"]
    lab.say("report", 0, count_parts(lab), "the chosen recipe, in other parts")
    held_out = reward(lab, chosen, lab.seed + 1, lambda done: lab.say("report", done, count_parts(lab)))
    seconds["report"] = time.perf_counter() - started - sum(seconds.values())
    return settle(lab, scope, Findings(trials, refused, before, held_out, seconds), clock)


@dataclass(frozen=True, slots=True)
class Findings:
    """What is known before the task's adapter is trained."""

    trials: list[Trial]
    refused: dict[str, int]
    in_context: Figures
    held_out: Figures
    seconds: dict[str, float]


def refuse_private(backends: Backends, task: Task) -> None:
    """No secret and no personal data goes into weights, whoever asks for it."""
    for place, one in enumerate(task.demonstrations if task.kind == "text" else (), start=1):
        found = scan(f"{one.input}\n{one.output}", backends.settings.privacy)
        if found:
            raise InvalidTaskError(
                f"Demonstration {place} of {task.name!r} holds {found[0].kind.replace('_', ' ')} data, which is never trained on; put a"
                " placeholder in its place."
            )


def recipes_for(lab: Lab, scope: ScopeId) -> tuple[list[tuple[Recipe, str]], dict[str, int]]:
    """(recipe, who wrote it) to be tried: those that won for other tasks here, those by hand, those that the model writes."""
    settings: FewShotSettings = lab.backends.settings.few_shot
    found: dict[Recipe, str] = {}
    with lab.backends.ledger.read() as conn:
        records = [RECORD.validate_json(skill.record) for skill in list_skills(conn, scope, "task")]
    for record in records:
        if record.kind == lab.task.kind:
            found.setdefault(record.recipe, "won")
    for one in by_hand(lab.task.kind):
        found.setdefault(one, "hand")
    writer = lab.backends.writer or lab.backends.model
    more, refused = written_once(lab, writer, list(found))
    found |= dict.fromkeys(more, writer.id)
    kept: list[tuple[Recipe, str]] = []
    for one, by in found.items():
        try:
            check_steps(lab, one)
            kept.append((one, by))
        except UsageError:
            refused["too many steps"] = refused.get("too many steps", 0) + 1
    if not kept:
        raise UsageError(f"Every recipe for {lab.task.name!r} takes more than few_shot.max_steps={settings.max_steps:,} steps; raise it.")
    return kept, refused


def written_once(lab: Lab, writer: TextWriter, known: Sequence[Recipe]) -> tuple[list[Recipe], dict[str, int]]:
    """What the writer wrote, kept: asked again after an interruption, one that is far away would write others."""
    settings = lab.backends.settings.few_shot

    def ask() -> tuple[list[Recipe], dict[str, int]]:
        return written(lab.task, writer, settings.written, settings.temperature, lab.seed, known)

    what = chr(31).join(["written by", writer.id, *(one.text for one in known)])
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


def settle(lab: Lab, scope: ScopeId, found: Findings, clock: Callable[[], datetime]) -> TaskReport:
    """Train the chosen recipe on all demonstrations, let the gate decide, and keep what it promotes."""
    chosen = found.trials[0].recipe
    out = new_stage(lab.backends.folder / "adapters")
    started = time.perf_counter()
    try:
        training = lab.train(lab.task, chosen, out, lab.seed, lab.progress)
        lab.say("gate", 0, 1)
        decision = decide(found, of_its_own(lab, chosen, out), lab.backends.settings.few_shot)
        found.seconds["train"] = time.perf_counter() - started
        promoted = decision.verdict == "promote"
        reason = decision.checks[0].text if promoted else "; ".join(decision.reasons)
        record = TaskRecord(
            kind=lab.task.kind,
            recipe=chosen,
            demonstrations=lab.task.demonstrations,
            held_out=found.held_out,
            in_context=found.in_context,
        )
        entry = Entry(
            scope=scope,
            kind="task",
            name=lab.task.name,
            decision=decision,
            reason=f"task {lab.task.name}: {reason}",
            record=RECORD.dump_json(record).decode() if promoted else "{}",
            seed=lab.seed,
        )
        made = Candidate(
            folder=out,
            training=replace(training, path=Path(out.name)),
            hyper_parameters={**lab.training(chosen).model_dump(), "recipe": chosen.text},
        )
        skill = register(lab.backends, entry, made, clock())
    finally:
        shutil.rmtree(out, ignore_errors=True)
    state: Literal["promoted", "rejected"] = "promoted" if promoted else "rejected"
    return TaskReport(
        task=lab.task.name,
        state=state,
        reason=reason,
        adapter=skill.adapter,
        kind=lab.task.kind,
        demonstrations=len(lab.task.demonstrations),
        recipe=chosen,
        in_context=found.in_context,
        held_out=found.held_out,
        trials=tuple(found.trials),
        refused=found.refused,
        decision=decision,
        seconds={stage: round(value, 3) for stage, value in found.seconds.items()},
        seed=lab.seed,
    )


def of_its_own(lab: Lab, how: Recipe, folder: Path) -> Figures:
    """How the final adapter answers what it was trained on."""
    cases = lab.task.demonstrations
    with loaded(lab, folder) as adapter:
        return lab.ask([lab.prompt(without_one(lab.task, place), how, one.input) for place, one in enumerate(cases)], cases, adapter)


def without_one(task: Task, place: int) -> Task:
    """What is asked for must not be shown."""
    return replace(task, demonstrations=(*task.demonstrations[:place], *task.demonstrations[place + 1 :]))


def decide(found: Findings, final: Figures, settings: FewShotSettings) -> Decision:
    """Promote what beats the same model with the demonstrations in its prompt, and knows its own demonstrations at least as well."""
    before, after = found.in_context, found.held_out
    gain = Check(
        name="gain",
        passed=after.accuracy - before.accuracy >= settings.min_gain - ROUNDING,
        text=f"held-out demonstrations {before.accuracy:.0%} in context -> {after.accuracy:.0%} (at least +{settings.min_gain:.0%})",
    )
    fit = Check(
        name="fit",
        passed=final.accuracy >= after.accuracy - ROUNDING,
        text=f"its own demonstrations {final.accuracy:.0%}, held out {after.accuracy:.0%} (no worse)",
    )
    checks = (gain, fit)
    return Decision(verdict="promote" if all(check.passed for check in checks) else "reject", checks=checks)
