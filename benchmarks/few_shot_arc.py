"""Grid tasks from few demonstrations: in-context learning, the model's own recipe before and after the outer loop, the best human recipe.

    python -m benchmarks.few_shot_arc --simple 6 [--quick] [--json] [--model ID]
    python -m benchmarks.few_shot_arc --challenges challenges.json --solutions solutions.json [--model ID] [--tasks N] [--json]

The second form reads ARC files (task id -> {train, test}; task id -> outputs), such as the 12 training tasks of SEAL's few-shot part; the
first makes tasks of its own: 3 x 3 grids that are mirrored, turned, transposed or recoloured, five demonstrations each. A task is solved
when every test grid is right to the cell, greedy, first try. SEAL's table for Llama-3.2-1B is 0 / 20 / 72.5 / 100 %.

Each recipe (those of `few_shot.recipe.by_hand`, and those that the model writes) is trained on each task and gets a reward by its held-out
demonstrations. Arms: `in_context`; `own_recipe`, the first sound recipe that the model writes for the task, unsolved where it writes none;
`outer_loop`, the same after one round: every second task is written for by an editor that was trained on what won on the others, and the
other way round; `reused_recipe`, the recipe that was worth most on the *other* tasks, by mean reward, with no editor;
`human_recipe`, the one recipe by hand that solves most tasks, which nobody could know beforehand.

Figures are kept under `--folder` as they are made; `--minutes` ends a portion with exit code 3, the same command goes on. `--quick` is
four recipes at most and three tasks. On a CPU an ARC task of the usual size takes hours; a GPU is used where there is one.

`--json` prints one object on the last line: per arm {"solved": n, "tasks": n}, and
  reward         mean reward of the recipe that each arm used, over the tasks; in_context: mean probability of held-out demonstrations
  sound          tasks for which the model wrote a recipe that could be used, before and after; and refused ones by reason, before
  model, trials, seeds    which model, trainings of whole tasks, and the seed
"""

import argparse
import hashlib
import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pydantic import TypeAdapter

from seal_agent.adapters.artefact import sweep
from seal_agent.config import FewShotSettings, ModelSettings, Settings, TrainingSettings
from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.kept import kept_json
from seal_agent.errors import CycleInterruptedError, InvalidTaskError, SealAgentError, UsageError
from seal_agent.few_shot.augment import flipped, prompt_for, rotated, transposed
from seal_agent.few_shot.practising import Round, candidate
from seal_agent.few_shot.recipe import Recipe, by_hand, written
from seal_agent.few_shot.reward import Lab, adapter_on_trial, in_context, reward
from seal_agent.few_shot.task import Grid, Task, read_grid, spell, to_task
from seal_agent.memory import Memory
from seal_agent.types import Progress, ScopeId

STOPPED = 3
SIDE = 3
SHOWN = 5
"""Demonstrations of a made task."""
COLOURS = 4
QUICK_TASKS = 3
QUICK_RECIPES = 2
"""By hand; as many are asked of the model."""
SOLVED = TypeAdapter(bool)
AFTER: TypeAdapter[list[Recipe | None]] = TypeAdapter(list[Recipe | None])
ARMS = ("in_context", "own_recipe", "outer_loop", "reused_recipe", "human_recipe")
RULES: dict[str, Callable[[Grid], Grid]] = {
    "mirrored": flipped,
    "upside down": lambda grid: grid[::-1],
    "turned": rotated,
    "transposed": transposed,
    "one for two": lambda grid: tuple(tuple({1: 2, 2: 1}.get(cell, cell) for cell in row) for row in grid),
    "filled": lambda grid: tuple(tuple(cell or 5 for cell in row) for row in grid),
}


@dataclass(frozen=True, slots=True)
class Puzzle:
    """A task and the grids that decide whether it is solved."""

    task: Task
    asked: tuple[tuple[Grid, Grid], ...]


def made(count: int, seed: int) -> list[Puzzle]:
    order = random.Random(seed)
    puzzles = []
    for name, rule in list(RULES.items())[:count]:
        grids = {tuple(tuple(order.randrange(COLOURS) for _ in range(SIDE)) for _ in range(SIDE)): None for _ in range(4 * SHOWN)}
        cases = [(grid, rule(grid)) for grid in grids][: SHOWN + 1]
        puzzles.append(Puzzle(to_task(name, cases[:SHOWN]), (cases[SHOWN],)))
    return puzzles


def read(challenges: Path, solutions: Path, count: int | None) -> list[Puzzle]:
    """Read ARC files; raise `UsageError` for files of another kind."""
    puzzles = []
    try:
        asked, right = (json.loads(file.read_text(encoding="utf-8")) for file in (challenges, solutions))
        for id in list(asked)[:count]:
            test = tuple((case["input"], output) for case, output in zip(asked[id]["test"], right[id], strict=True))
            try:
                puzzles.append(Puzzle(to_task(f"arc {id}", [(case["input"], case["output"]) for case in asked[id]["train"]]), test))
            except InvalidTaskError as error:
                print(f"left out: {error}", file=sys.stderr)
        return puzzles
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{challenges} and {solutions} are no ARC challenges with their solutions: {error!r}") from error


def solves(lab: Lab, puzzle: Puzzle, how: Recipe | None) -> bool:
    """Whether every test grid is right: with an adapter trained by the recipe, or with all demonstrations in the prompt."""
    if how is None:
        prompts = [prompt_for(lab.system_prompt, spell(grid), puzzle.task.demonstrations) for grid, _ in puzzle.asked]
        return all_right(puzzle, lab.backends.model.generate(prompts, max_tokens=lab.answer_tokens))
    with adapter_on_trial(lab, puzzle.task, how, lab.seed) as adapter:
        prompts = [lab.prompt(puzzle.task, how, spell(grid)) for grid, _ in puzzle.asked]
        return all_right(puzzle, lab.backends.model.generate(prompts, adapter=adapter, max_tokens=lab.answer_tokens))


def all_right(puzzle: Puzzle, replies: Sequence[Any]) -> bool:  # Any: generations
    wanted = [tuple(tuple(row) for row in output) for _, output in puzzle.asked]
    return all(read_grid(reply.text) == output for reply, output in zip(replies, wanted, strict=True))


@dataclass(slots=True)
class Bench:
    """What was found so far: rewards and verdicts by (task, recipe)."""

    backends: Backends
    seed: int
    ends: float

    def lab(self, puzzle: Puzzle) -> Lab:
        return Lab(
            task=puzzle.task,
            backends=self.backends,
            progress=show,
            should_stop=lambda: time.monotonic() > self.ends,
            seed=self.seed,
        )

    def practice(self) -> Round:
        return Round(
            backends=self.backends,
            scope=ScopeId(agent="benchmark"),
            progress=show,
            should_stop=lambda: time.monotonic() > self.ends,
            started=time.monotonic(),
        )

    def solved(self, puzzle: Puzzle, how: Recipe | None) -> bool:
        lab = self.lab(puzzle)
        what = "in context" if how is None else how.text
        content = [self.backends.model.id, repr(puzzle), what, str(self.seed), self.backends.settings.training.model_dump_json()]
        name = hashlib.sha256("\n".join(content).encode()).hexdigest()[:24]
        found = kept_json(self.backends.folder / "cache" / f"arc-{name}.json", SOLVED, lambda: solves(lab, puzzle, how), lambda _: True)
        lab.say(f"{puzzle.task.name}: {what}: {'solved' if found else 'not solved'}", 0, 1)
        return found


def measure(bench: Bench, puzzles: Sequence[Puzzle], *, quick: bool) -> dict[str, Any]:
    hand = by_hand("grid")[: QUICK_RECIPES if quick else None]
    own: dict[str, Recipe | None] = {}
    refused: dict[str, int] = {}
    settings = bench.backends.settings.few_shot
    asked = QUICK_RECIPES if quick else settings.written
    for puzzle in puzzles:
        kept, why = written(puzzle.task, bench.backends.model, asked, settings.temperature, bench.seed, ())
        own[puzzle.task.name] = kept[0] if kept else None
        for reason, count in why.items():
            refused[reason] = refused.get(reason, 0) + count
    recipes = list(dict.fromkeys([*hand, *(how for how in own.values() if how is not None)]))
    rewards = {(p.task.name, how): reward(bench.lab(p), how, bench.seed).probability for p in puzzles for how in recipes}
    solved = {(p.task.name, how): bench.solved(p, how) for p in puzzles for how in recipes}
    after = own_after(bench, puzzles, {p.task.name: max(recipes, key=lambda how, p=p: rewards[p.task.name, how]) for p in puzzles}, asked)  # type: ignore[misc]  # p binds
    for p in puzzles:
        how = after[p.task.name]
        if how is not None:
            rewards[p.task.name, how] = reward(bench.lab(p), how, bench.seed).probability
            solved[p.task.name, how] = bench.solved(p, how)
    base = {p.task.name: (bench.solved(p, None), in_context(bench.lab(p), bench.seed).probability) for p in puzzles}
    names = [p.task.name for p in puzzles]
    elsewhere = {name: best_elsewhere(name, names, recipes, rewards) for name in names}
    best = max(hand, key=lambda how: sum(solved[name, how] for name in names))

    def arm(chosen: dict[str, Recipe | None]) -> dict[str, int]:
        return {"solved": sum(how is not None and solved[name, how] for name, how in chosen.items()), "tasks": len(names)}

    def worth(chosen: dict[str, Recipe | None]) -> float:
        return fmean(0.0 if how is None else rewards[name, how] for name, how in chosen.items())

    arms: dict[str, dict[str, Recipe | None]] = {
        "own_recipe": own,
        "outer_loop": after,
        "reused_recipe": {**elsewhere},
        "human_recipe": dict.fromkeys(names, best),
    }
    return {
        "in_context": {"solved": sum(right for right, _ in base.values()), "tasks": len(names)},
        **{name: arm(chosen) for name, chosen in arms.items()},
        "reward": {"in_context": fmean(p for _, p in base.values()), **{name: worth(chosen) for name, chosen in arms.items()}},
        "sound": {
            "before": sum(how is not None for how in own.values()),
            "after": sum(how is not None for how in after.values()),
            "refused": refused,
        },
        "model": bench.backends.model.id,
        "trials": len(solved),
        "seeds": [bench.seed],
    }


def own_after(bench: Bench, puzzles: Sequence[Puzzle], winners: dict[str, Recipe], asked: int) -> dict[str, Recipe | None]:
    """By task, the first sound recipe of an editor that was trained on the winners of the other half."""
    found: dict[str, Recipe | None] = {}
    model, settings = bench.backends.model, bench.backends.settings
    for half, others in ((puzzles[::2], puzzles[1::2]), (puzzles[1::2], puzzles[::2])):
        taught = [(other.task, winners[other.task.name]) for other in others]
        content = [model.id, settings.model_dump_json(), repr(half), repr(taught), str(asked), str(bench.seed)]
        name = hashlib.sha256("\n".join(content).encode()).hexdigest()[:24]

        def write(half: Sequence[Puzzle] = half, taught: list[tuple[Task, Recipe]] = taught) -> list[Recipe | None]:
            if not taught:
                return [None] * len(half)
            with candidate(bench.practice(), taught) as (_, writer, _):
                kept = [written(p.task, model, asked, settings.few_shot.temperature, bench.seed, (), writer)[0] for p in half]
            return [recipes[0] if recipes else None for recipes in kept]

        made = kept_json(bench.backends.folder / "cache" / f"after-{name}.json", AFTER, write, lambda _: True)
        found |= {puzzle.task.name: how for puzzle, how in zip(half, made, strict=True)}
    return found


def best_elsewhere(name: str, names: Sequence[str], recipes: Sequence[Recipe], rewards: dict[tuple[str, Recipe], float]) -> Recipe:
    """The recipe that was worth most on the other tasks."""
    return max(recipes, key=lambda how: sum(rewards[other, how] for other in names if other != name))


def show(progress: Progress) -> None:
    if ": " in progress.stage:
        print(progress.stage, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="few_shot_arc", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--simple", type=int, default=0, help=f"make so many tasks, at most {len(RULES)}")
    parser.add_argument("--challenges", type=Path, help="ARC challenges, JSON")
    parser.add_argument("--solutions", type=Path, help="their solutions, JSON")
    parser.add_argument("--tasks", type=int, help="only the first so many of the file")
    parser.add_argument("--model", default=ModelSettings().id, help="hub id or folder (the embedded model)")
    parser.add_argument("--quick", action="store_true", help="three tasks, four recipes at most")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--folder", type=Path, default=Path("few-shot-arc-benchmark"), help="where figures are kept between portions")
    parser.add_argument("--minutes", type=float, default=24 * 60.0, help="stop after so long; the same command goes on from there")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if (options.challenges is None) != (options.solutions is None):
        parser.error("--challenges and --solutions go together")
    if options.challenges is not None and options.simple:
        parser.error("--simple makes tasks of its own: give either it or ARC files")
    if not 0 <= options.simple <= len(RULES):
        parser.error(f"--simple takes 1 to {len(RULES)}")
    settings = Settings(
        model=ModelSettings(id=options.model), few_shot=FewShotSettings(folds=2, written=2), training=TrainingSettings(isolated=False)
    )
    try:
        if options.challenges is not None and options.solutions is not None:
            puzzles = read(options.challenges, options.solutions, QUICK_TASKS if options.quick and options.tasks is None else options.tasks)
        else:
            puzzles = made(QUICK_TASKS if options.quick else options.simple or len(RULES), options.seed)
        with Memory.open(options.folder, settings=settings) as memory:
            sweep(memory.folder / "adapters")
            bench = Bench(memory._parts.backends(), options.seed, time.monotonic() + options.minutes * 60)
            figures = measure(bench, puzzles, quick=options.quick)
    except CycleInterruptedError:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return STOPPED
    except SealAgentError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for name in ARMS:
        print(f"{name:>14} {figures[name]['solved']} of {figures[name]['tasks']} solved, reward {figures['reward'][name]:.3f}")
    if options.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
