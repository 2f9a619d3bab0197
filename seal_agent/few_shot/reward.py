"""The reward of a recipe: train on all demonstrations but some, ask for those, until each was asked for once.

With as many parts as demonstrations this is leave-one-out; fewer parts cost less and train on less. A figure is kept in the brain's
cache under the hash of all that it depends on, so that learning that was interrupted goes on where it stopped. Judges nothing.
"""

import hashlib
import math
import random
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter

from seal_agent.adapters.artefact import new_stage
from seal_agent.config import FewShotSettings, TrainingSettings
from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.kept import kept_json
from seal_agent.consolidation.pace import Pace
from seal_agent.errors import CycleInterruptedError
from seal_agent.few_shot.augment import examples_for, prompt_for, to_show
from seal_agent.few_shot.recipe import Recipe
from seal_agent.few_shot.records import Figures
from seal_agent.few_shot.task import Demonstration, Task, same
from seal_agent.protocols import Model
from seal_agent.types import Progress, ProgressCallback, TrainingResult, Turn, silent

FIGURES = TypeAdapter(Figures)
SPARE_TOKENS = 4
"""Beyond the longest output shown, so that an answer that goes on is seen to."""
IN_CONTEXT_TOKENS = 3000
"""Of demonstrations in one prompt; small models read no further, and memory grows with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """Where a task's recipes are tried."""

    task: Task
    backends: Backends
    progress: ProgressCallback
    should_stop: Callable[[], bool]
    seed: int
    pace: Pace = field(default_factory=Pace)

    @property
    def system_prompt(self) -> str:
        return self.backends.settings.model.system_prompt

    def say(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """Report progress, and stop here if the caller wants to."""
        if self.should_stop():
            raise CycleInterruptedError(f"Learning {self.task.name!r} was stopped on request; it goes on where it stopped.")
        self.progress(Progress(stage=stage, done=done, total=total, detail=detail, seconds_left=self.pace.seconds_left(stage, done, total)))

    def training(self, how: Recipe) -> TrainingSettings:
        """The night's settings with the recipe's rate and epochs; nothing but the demonstrations is trained on, and all of them is."""
        changed = {"objective": "masked", "learning_rate": how.learning_rate, "max_passes": how.epochs, "target_loss": 0.0}
        return self.backends.settings.training.model_copy(update=changed)

    def train(self, task: Task, how: Recipe, out: Path, seed: int, progress: ProgressCallback = silent) -> TrainingResult:
        settings = self.backends.settings.few_shot
        examples = examples_for(task, how, system_prompt=self.system_prompt, shown=settings.shown, most=settings.max_examples, seed=seed)
        trainer = self.backends.trainer_for(self.training(how))
        return trainer.train(examples, probes=(), out=out, seed=seed, progress=progress, should_stop=self.should_stop)

    def prompt(self, task: Task, how: Recipe, asked: str) -> tuple[Turn, ...]:
        """How an adapter of this recipe is asked: with demonstrations where it was trained with them."""
        shown = to_show(task.demonstrations, task.kind, self.backends.settings.few_shot.shown) if how.shows else []
        return prompt_for(self.system_prompt, asked, shown)

    def ask(self, prompts: Sequence[tuple[Turn, ...]], wanted: Sequence[Demonstration], adapter: str | None) -> Figures:
        """Ask each, and read the probability of what was wanted."""
        model = self.backends.model
        replies = model.generate(prompts, adapter=adapter, max_tokens=self.answer_tokens)
        right = sum(same(reply.text, one.output) for reply, one in zip(replies, wanted, strict=True))
        scores = model.score([(prompt, one.output) for prompt, one in zip(prompts, wanted, strict=True)], adapter=adapter)
        return Figures(right=right, asked=len(wanted), probability=sum(map(probability, scores)) / len(wanted))

    @property
    def answer_tokens(self) -> int:
        return answer_tokens(self.backends.model, self.backends.settings.few_shot, self.task)


def answer_tokens(model: Model, settings: FewShotSettings, task: Task) -> int:
    """Longest answer: as long as the longest output shown; a grid's may be four times as large."""
    longest = max(model.count_tokens(output) for output in task.outputs)
    grown = longest * 4 if task.kind == "grid" else longest
    return min(grown + SPARE_TOKENS, settings.max_answer_tokens)


def probability(score: Sequence[float]) -> float:
    """Geometric mean over the tokens; 0 for what a model that broke says is no number."""
    mean = sum(score) / len(score) if score else -math.inf
    return math.exp(mean) if math.isfinite(mean) else 0.0


def count_steps(lab: Lab, how: Recipe) -> int:
    """Optimiser steps that a recipe takes on all demonstrations."""
    settings = lab.backends.settings
    examples = examples_for(
        lab.task, how, system_prompt=None, shown=settings.few_shot.shown, most=settings.few_shot.max_examples, seed=lab.seed
    )
    return math.ceil(len(examples) / settings.training.batch_size) * how.epochs


def reward(lab: Lab, how: Recipe, seed: int, told: Callable[[int], None] = lambda done: None) -> Figures:
    """Every demonstration asked once of an adapter that was not trained on it; `told` hears of each part that is done."""
    found: list[Figures] = []
    for part in split(lab.task, lab.backends.settings.few_shot.folds, seed):
        found.append(fold(lab, how, part, seed))
        told(len(found))
    return together(found)


def count_parts(lab: Lab) -> int:
    """How many parts the demonstrations are held out in."""
    return min(lab.backends.settings.few_shot.folds, len(lab.task.demonstrations))


def fold(lab: Lab, how: Recipe, part: Sequence[int], seed: int) -> Figures:
    """One inner loop: train without these demonstrations, then ask for them."""
    rest, asked = without(lab.task, part)

    def measure() -> Figures:
        with adapter_on_trial(lab, rest, how, seed) as adapter:
            return lab.ask([lab.prompt(rest, how, one.input) for one in asked], asked, adapter)

    return kept_json(kept_at(lab, how.text, part, seed), FIGURES, measure, lambda found: found.asked == len(part))


def in_context(lab: Lab, seed: int) -> Figures:
    """The same parts asked of the base, with the other demonstrations in its prompt."""
    model = lab.backends.model
    found = []
    for part in split(lab.task, lab.backends.settings.few_shot.folds, seed):
        rest, asked = without(lab.task, part)
        shown = that_fit(rest.demonstrations, model.count_tokens)
        prompts = [prompt_for(lab.system_prompt, one.input, shown) for one in asked]
        file = kept_at(lab, "in context", part, seed)

        def measure(prompts: list[tuple[Turn, ...]] = prompts, asked: tuple[Demonstration, ...] = asked) -> Figures:
            return lab.ask(prompts, asked, None)

        found.append(kept_json(file, FIGURES, measure, lambda kept, part=part: kept.asked == len(part)))  # type: ignore[misc]  # part binds
        lab.say("in context", len(found), count_parts(lab))
    return together(found)


def that_fit(cases: Sequence[Demonstration], count: Callable[[str], int]) -> list[Demonstration]:
    """The demonstrations from the first on that a prompt has room for."""
    kept: list[Demonstration] = []
    left = IN_CONTEXT_TOKENS
    for one in cases:
        left -= count(one.input) + count(one.output)
        if left < 0 and kept:
            break
        kept.append(one)
    return kept


def together(found: Sequence[Figures]) -> Figures:
    asked = sum(one.asked for one in found)
    return Figures(
        right=sum(one.right for one in found), asked=asked, probability=sum(one.probability * one.asked for one in found) / asked
    )


def split(task: Task, folds: int, seed: int) -> list[list[int]]:
    """Places of the demonstrations in about equal parts, those of one output spread over all parts."""
    order = random.Random(seed)
    places = order.sample(range(len(task.demonstrations)), len(task.demonstrations))
    places.sort(key=lambda place: task.outputs.index(task.demonstrations[place].output))
    count = min(folds, len(places))
    return [places[first::count] for first in range(count)]


def without(task: Task, part: Sequence[int]) -> tuple[Task, tuple[Demonstration, ...]]:
    held = set(part)
    rest = tuple(one for place, one in enumerate(task.demonstrations) if place not in held)
    return replace(task, demonstrations=rest), tuple(task.demonstrations[place] for place in part)


@contextmanager
def adapter_on_trial(lab: Lab, task: Task, how: Recipe, seed: int) -> Iterator[str]:
    """Yield the name of an adapter trained on the task as the recipe says; it is gone afterwards."""
    out = new_stage(lab.backends.folder / "adapters")
    try:
        lab.train(task, how, out, seed)
        with loaded(lab, out) as name:
            yield name
    finally:
        shutil.rmtree(out, ignore_errors=True)


@contextmanager
def loaded(lab: Lab, folder: Path) -> Iterator[str]:
    """Yield the name under which an adapter answers that is not published."""
    name = f"recipe-{uuid.uuid4().hex[:12]}"
    lab.backends.model.load_adapter(name, folder)
    try:
        yield name
    finally:
        lab.backends.model.unload_adapter(name)


def kept_at(lab: Lab, what: str, part: Sequence[int], seed: int) -> Path:
    """Where a figure is kept: under all that it depends on. The file's name and content hold nothing of the demonstrations."""
    settings = lab.backends.settings
    content = [
        lab.backends.model.id, lab.backends.base_sha256, settings.training.model_dump_json(), settings.few_shot.model_dump_json(),
        lab.system_prompt, repr(lab.task.demonstrations), what, repr(list(part)), str(seed),
    ]  # fmt: skip
    return lab.backends.folder / "cache" / f"recipe-{hashlib.sha256(chr(31).join(content).encode()).hexdigest()[:24]}.json"
