"""The outer loop, one ReST-EM round: sample self-edits, reward each, train the editor on the winners, judge it on contexts it has not seen.

The repeats of the inner loop are split: half choose the winners, the other half report what they are worth, because most of a best-of-k
gain is winner's curse (three quarters in SEAL's released data). Read this first; `practising.py` says how a round survives its process.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from statistics import fmean

import numpy as np
from pydantic import TypeAdapter

from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.contexts import Context, contexts_of
from seal_agent.consolidation.editor import Winner, candidate, editor_of, loaded_editor
from seal_agent.consolidation.leasing import leased
from seal_agent.consolidation.policies import POLICIES, Policy
from seal_agent.consolidation.practising import Practice
from seal_agent.consolidation.promoting import Round, keep_policy, settle, skipped
from seal_agent.consolidation.questions import without_leaks
from seal_agent.consolidation.rewards import Edit, Line, Measured, coverage_times_repetition, inner_loop, judge_of, judged
from seal_agent.consolidation.round_report import Judgement, RoundReport, Tried
from seal_agent.consolidation.self_edit import Writer, floor, written
from seal_agent.errors import CycleInterruptedError, GradingError
from seal_agent.types import ProgressCallback, ScopeId, SelfEdit

EDIT = TypeAdapter(Edit)
MEASURED = TypeAdapter(Measured)
MARK: TypeAdapter[float | None] = TypeAdapter(float | None)


def practise(
    backends: Backends,
    scope: ScopeId,
    *,
    progress: ProgressCallback,
    should_stop: Callable[[], bool],
    clock: Callable[[], datetime],
) -> RoundReport:
    """Hold one round, or go on with the one that was interrupted.

    The editor in force writes in it: after a promotion the next call is a second round. Raise `UsageError` where there are too few facts,
    `CycleRunningError`, `CycleInterruptedError` when it was stopped or its budget is used up, `TrainingError`.
    """
    seed = backends.settings.training.seed
    seen, unseen = contexts_of(backends, scope, backends.settings.practice, seed)
    with leased(backends, scope, clock) as held:
        before = editor_of(backends, scope)
        practice = Practice(
            backends=backends,
            scope=scope,
            progress=progress,
            should_stop=should_stop,
            lost=held.lost,
            seed=seed,
            editor=before.name if before else None,
        )
        try:
            with loaded_editor(backends, before) as writer:
                return hold(practice, writer, seen, unseen, clock)
        except CycleInterruptedError as error:  # the trainer's, which knows nothing of budgets and leases, or our own
            raise practice.interrupted() from error


def hold(
    practice: Practice, writer: str | None, seen: Sequence[Context], unseen: Sequence[Context], clock: Callable[[], datetime]
) -> RoundReport:
    edits = sample_all(practice, writer, seen)
    tried = reward_all(practice, seen, edits)
    policy, policies = best_policy(tried)
    found = Round(practice=practice, tried=tuple(one for row in tried for one in row), policy=policy, policies=policies, clock=clock)
    keep_policy(found)
    winners = best_of(seen, edits, tried)
    if not any(winner.edit.lines for winner in winners):
        return skipped(found, "nothing that the model wrote is among the winners, so there is nothing to train an editor on")
    with candidate(practice, winners) as (folder, name, training):
        judgements = judge(practice, unseen, policy, writer, name)
        facts = [fact for winner in winners for fact in winner.context.facts]
        return settle(found, judgements, folder, training, facts)


def sample_all(practice: Practice, writer: str | None, contexts: Sequence[Context]) -> list[list[Edit]]:
    """`self_edits` self-edits of each context: [contexts][self-edits]. Policies take turns."""
    found: list[list[Edit]] = []
    for place, context in enumerate(contexts):
        practice.say("sample", place, len(contexts))
        found.append([])
        for number in range(practice.settings.self_edits):
            policy, seed = POLICIES[number % len(POLICIES)], practice.seed + number
            make = partial(sample, practice, context, policy, seed, writer)
            found[-1].append(practice.kept(EDIT, make, "edit", context.id, policy.text, seed))
    practice.say("sample", len(contexts), len(contexts))
    return found


def sample(practice: Practice, context: Context, policy: Policy, seed: int, adapter: str | None) -> Edit:
    """Have one self-edit written: what passes the checks of a night, and a little of the floor."""
    backends = practice.backends
    settings = backends.settings.self_edit.model_copy(update={"questions_per_fact": policy.per_fact})
    held_out = [question.text for question in context.questions]
    items: list[SelfEdit] = []
    lines: list[Line] = []
    refused: dict[str, int] = {}
    for name, prompt in zip(policy.prompts, policy.asked_with, strict=True):
        writer = Writer(
            model=backends.model, embedder=backends.embedder, settings=settings, adapter=adapter, prompts=(prompt,), greedy=False
        )
        material = written(context.facts, np.stack(context.vectors), held_out, writer, seed)
        known = {(item.fact_id, item.prompt) for item in items}
        fresh = [item for item in material.items if (item.fact_id, item.prompt) not in known]
        items += fresh
        lines += [Line(prompt=name, fact_id=item.fact_id, text=item.prompt) for item in fresh]
        for reason, count in material.refused.items():
            refused[reason] = refused.get(reason, 0) + count
    for fact, asked in zip(context.facts, context.asked, strict=True):
        items += without_leaks(floor(fact, asked, settings), context.questions)[: policy.floor]
    return Edit(policy=policy, seed=seed, items=tuple(items), lines=tuple(lines), refused=refused)


@dataclass(frozen=True, slots=True)
class Loop:
    """One inner loop to be run."""

    context: Context
    edit: Edit
    repeat: int


def measure_all(practice: Practice, stage: str, loops: Sequence[Loop]) -> list[float]:
    """The reward of each inner loop, in order; several at the same time where the settings allow it."""
    done = 0

    def run(loop: Loop) -> float:
        make = partial(inner_loop, practice, loop.context, loop.edit, practice.seed + loop.repeat)
        items = EDIT.dump_json(loop.edit).decode()
        return practice.kept(MEASURED, make, "loop", loop.context.id, items, loop.repeat).reward(practice.settings.retention_penalty)

    found: list[float] = []
    with ThreadPoolExecutor(practice.settings.at_once, thread_name_prefix="seal-practice") as pool:
        practice.say(stage, 0, len(loops))
        for first in range(0, len(loops), practice.settings.at_once):
            found += pool.map(run, loops[first : first + practice.settings.at_once])
            done = len(found)
            practice.say(stage, done, len(loops), f"last reward {found[-1]:+.3f}")
    return found


def reward_all(practice: Practice, contexts: Sequence[Context], edits: Sequence[Sequence[Edit]]) -> list[list[Tried]]:
    """What each self-edit is chosen by, and what it is worth where that was measured apart."""
    if practice.settings.reward != "gain":
        return [
            [tried_of(context, edit, cheap(practice, context, edit), None) for edit in row]
            for context, row in zip(contexts, edits, strict=True)
        ]
    repeats = practice.settings.repeats
    loops = [Loop(context, edit, repeat) for context, row in zip(contexts, edits, strict=True) for edit in row for repeat in range(repeats)]
    values = iter(measure_all(practice, "inner loops", loops))
    found: list[list[Tried]] = []
    for context, row in zip(contexts, edits, strict=True):
        found.append([])
        for edit in row:
            own = [next(values) for _ in range(repeats)]
            choosing, reporting = own[: repeats // 2], own[repeats // 2 :]
            found[-1].append(tried_of(context, edit, fmean(choosing), fmean(reporting)))
    return found


def cheap(practice: Practice, context: Context, edit: Edit) -> float | None:
    """A reward that trains nothing."""
    if practice.settings.reward == "coverage":
        return coverage_times_repetition(context, edit)
    items = EDIT.dump_json(edit).decode()
    return practice.kept(MARK, partial(judged, practice, context, edit), "mark", context.id, items, judge_of(practice).id)


def tried_of(context: Context, edit: Edit, choosing: float | None, reporting: float | None) -> Tried:
    return Tried(
        context=context.id,
        policy=edit.policy,
        written=len(edit.lines),
        refused=sum(edit.refused.values()),
        choosing=choosing,
        reporting=reporting,
    )


def best_of(contexts: Sequence[Context], edits: Sequence[Sequence[Edit]], tried: Sequence[Sequence[Tried]]) -> list[Winner]:
    """The best self-edit of each context; a context without any mark has none. Raise `GradingError` where none has any."""
    winners = []
    for context, row, marks in zip(contexts, edits, tried, strict=True):
        able = [(mark.choosing, -place) for place, mark in enumerate(marks) if mark.choosing is not None]
        if able:
            winners.append(Winner(context=context, edit=row[-max(able)[1]]))
    if not winners:
        raise GradingError("The judge gave no self-edit a mark from 1 to 5; use practice.reward = 'gain' or 'coverage', or a larger model.")
    return winners


def best_policy(tried: Sequence[Sequence[Tried]]) -> tuple[Policy, dict[str, float]]:
    """The policy whose self-edits were worth most on the mean, by what was reported where that was measured; and all means."""
    values: dict[Policy, list[float]] = {}
    for row in tried:
        for one in row:
            value = one.choosing if one.reporting is None else one.reporting
            if value is not None:
                values.setdefault(one.policy, []).append(value)
    means = {policy: fmean(found) for policy, found in values.items()}
    best = max(means, key=lambda policy: means[policy], default=POLICIES[0])
    return best, {policy.text: value for policy, value in means.items()}


def judge(practice: Practice, unseen: Sequence[Context], policy: Policy, before: str | None, trained: str) -> list[Judgement]:
    """Both writers on contexts that nothing was chosen on: same policy, same seeds, as many repeats as in practice."""
    repeats = range(practice.settings.repeats)
    loops: list[Loop] = []
    for place, context in enumerate(unseen):
        practice.say("judge: sample", place, len(unseen))
        for writer in (before, trained):
            for repeat in repeats:
                edit = sample(practice, context, policy, practice.seed + repeat, writer)
                loops.append(Loop(context, replace(edit, seed=practice.seed + repeat), repeat))
    values = measure_all(practice, "judge: inner loops", loops)
    count = len(repeats)
    found = []
    for place, context in enumerate(unseen):
        own = values[place * 2 * count : (place + 1) * 2 * count]
        found.append(Judgement(context=context.id, untrained=fmean(own[:count]), trained=fmean(own[count:])))
    return found
