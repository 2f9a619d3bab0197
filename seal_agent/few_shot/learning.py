"""Learning one task: try recipes, choose by reward, report on other parts, train on everything, ask the gate, keep it under its name.

Read this first. What was tried is kept as it goes, so that a call that was interrupted goes on where it stopped. Deliberately judges a
task's adapter by its task alone: it answers nothing else.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from seal_agent.adapters.artefact import new_stage
from seal_agent.config import FewShotSettings
from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.registering import Candidate, Entry, register
from seal_agent.errors import InvalidTaskError
from seal_agent.few_shot.choosing import recipes_for, try_all
from seal_agent.few_shot.recipe import Recipe
from seal_agent.few_shot.records import RECORD, Figures, TaskRecord, TaskReport, Trial
from seal_agent.few_shot.reward import Lab, count_parts, in_context, loaded, reward
from seal_agent.few_shot.task import Task
from seal_agent.privacy.scan import scan
from seal_agent.types import Check, Decision, ProgressCallback, ScopeId

ROUNDING = 1e-9


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
