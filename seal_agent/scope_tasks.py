"""The part of a scope that is about tasks: learning one from demonstrations, running it, listing and dropping; and practice.

`Scope` builds on it. Deliberately thin: checks and the order of steps; what happens is in `few_shot/` and `consolidation/`.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from seal_agent.async_scope import in_thread
from seal_agent.parts import Parts
from seal_agent.types import ProgressCallback, ScopeId

if TYPE_CHECKING:
    from seal_agent.consolidation.practised import Practised
    from seal_agent.consolidation.round_report import RoundReport
    from seal_agent.few_shot.records import KnownTask, RecipeRound, TaskAnswer, TaskReport
    from seal_agent.few_shot.task import Given, Value


def never() -> bool:
    return False


class ScopeTasks:
    """What `Scope` can do with tasks."""

    __slots__ = ()

    _id: ScopeId
    _parts: Parts

    def learn(
        self,
        task: str,
        demonstrations: "Sequence[Given]",
        *,
        progress: ProgressCallback | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> "TaskReport":
        """Learn a task from at least three (input, output) pairs, texts or grids: try training recipes, choose by held-out reward, train.

        The adapter is kept under the task's name if it beats the same model with the demonstrations in its prompt; learnt again, the new
        one takes the old one's place. It never answers anything but `run`. Raise `InvalidTaskError`, `CycleInterruptedError` once
        `should_stop()` is true (the same call again goes on from there), `TrainingError`.
        """
        from seal_agent.few_shot.learning import learn
        from seal_agent.few_shot.task import to_task

        checked = to_task(task, demonstrations)
        parts = self._parts
        return learn(
            parts.backends(), self._id, checked, progress=progress or parts.progress, should_stop=should_stop or never, clock=parts.clock
        )

    def run(self, task: str, value: "Value") -> "TaskAnswer":
        """Run a learnt task on one input: `.text`, and `.grid` for tasks on grids.

        Raise `UnknownRecordError` for a task that was not learnt here, `InvalidTaskError` for an input that is none of its kind,
        `IntegrityError` when its adapter's files are damaged.
        """
        return self.run_many(task, [value])[0]

    def run_many(self, task: str, values: "Sequence[Value]") -> "list[TaskAnswer]":
        """Run a learnt task on several inputs in one batch; see `run`."""
        from seal_agent.few_shot.running import find, run, spelt

        parts = self._parts
        adapter, record = find(parts.ledger, self._id, task)
        texts = spelt(record, values, task)
        parts.last_request = parts.clock()
        name = parts.serving.begin(adapter)
        try:
            return run(parts.model, parts.settings, record, task, texts, name)
        finally:
            parts.serving.end(name)

    def tasks(self) -> "list[KnownTask]":
        """Return the tasks that can be run here, by name: those learnt in this scope, and the shared ones; `.scope` says where."""
        from seal_agent.few_shot.running import known_tasks

        return known_tasks(self._parts.ledger, self._id)

    def drop_task(self, task: str) -> None:
        """Remove a task for good that was learnt in exactly this scope: its demonstrations and its adapters, the earlier ones too.

        Raise `UnknownRecordError`.
        """
        from seal_agent.few_shot.running import drop

        for adapter in drop(self._parts.ledger, self._id, task):
            self._parts.serving.retire(adapter.name)

    def practice(self, *, progress: ProgressCallback | None = None, should_stop: Callable[[], bool] | None = None) -> "RoundReport":
        """Practise writing self-edits on what this scope holds, one ReST-EM round: sample, reward, train the editor on winners, judge it.

        Nights write with the policy that won, and with the editor if it is better on contexts that it has not seen; the next call is the
        next round. Takes many inner loops, minutes each; interrupted or out of `practice.max_minutes`, the same call goes on from there.
        The same facts and `training.seed` come to the same; `drop_practice` takes back what it came to.
        Raise `UsageError` where there are too few facts, `CycleRunningError`, `CycleInterruptedError`, `TrainingError`.
        """
        parts = self._parts
        backends = parts.backends()
        from seal_agent.consolidation.outer_loop import practise

        return practise(backends, self._id, progress=progress or parts.progress, should_stop=should_stop or never, clock=parts.clock)

    def practice_recipes(self, *, progress: ProgressCallback | None = None, should_stop: Callable[[], bool] | None = None) -> "RecipeRound":
        """Practise writing recipes on the tasks that this scope has learnt, one ReST-EM round: the winners of some teach the writer.

        `learn` asks the trained writer for recipes if those are worth more on the tasks kept apart; the next call is the next round. What
        `learn` measured is not measured again. Raise `UsageError` for fewer than four tasks, `CycleInterruptedError`, `TrainingError`.
        """
        from seal_agent.few_shot.practising import practise_recipes

        parts = self._parts
        return practise_recipes(
            parts.backends(), self._id, progress=progress or parts.progress, should_stop=should_stop or never, clock=parts.clock
        )

    def practised(self) -> "Practised":
        """Say what nights and `learn` write with here: the policy and the editors that practice came to, if it did."""
        from seal_agent.consolidation.practised import practised

        return practised(self._parts.ledger, self._id)

    def drop_practice(self) -> None:
        """Take back, for good, what was practised in exactly this scope: nights and `learn` write as the settings say again.

        Raise `UnknownRecordError` where nobody has practised.
        """
        from seal_agent.consolidation.practised import drop

        for editor in drop(self._parts.ledger, self._id):
            self._parts.serving.retire(editor.name)

    # For async callers: the same calls, in a thread.
    arun = in_thread(run, slow=True)
    arun_many = in_thread(run_many, slow=True)
