"""Ten intents from five demonstrations each: test-time training by a recipe that is chosen by reward, beside in-context learning.

    python -m benchmarks.few_shot [--quick] [--json] [--seeds N] [--folder PATH] [--minutes M]

SmolLM2-135M-Instruct is asked for the intent of 100 utterances that no recipe ever sees (`intents.py`), with greedy decoding, right when
the reply is the intent's name and nothing else. Arms: the 50 demonstrations in the prompt (`in_context`: the better of two ways to write
them, as chat turns and as lines of one message; prompts are long, so the second is tried on every fifth utterance first); every recipe
trained on the 50; the recipe with the best reward, which is the mean probability of held-out demonstrations (`few_shot.folds` parts)
and knows nothing of the 100.

Every training and every figure is kept under `--folder` (a brain) as it is made: a run that is killed, or ended by `--minutes`, goes on
where it stopped, with exit code 3. `--quick` is three recipes, 5 intents and 50 utterances.

`--json` prints one object on the last line:
  in_context              share right with all demonstrations in the prompt, mean over the seeds (these set their order)
  median_recipe           median over the recipes of the share right, mean over the seeds
  chosen_recipe           share right of the recipe with the best reward, mean over the seeds
  best_recipe             share right of the recipe that was best on the 100, which nobody could know
  n                       utterances
  ci95                    of chosen_recipe - in_context, by bootstrap over the utterances
  recipes, chosen         per seed and recipe: reward, held-out share right, share right; and which was chosen
  trials, seeds           recipes times seeds, and the seeds

Not shown: other tasks, other languages, larger models, many more demonstrations. The intents are easy to tell apart for people.
"""

import argparse
import hashlib
import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pydantic import TypeAdapter

from benchmarks.intents import DEMONSTRATIONS, HELD_OUT
from seal_agent.adapters.artefact import sweep
from seal_agent.config import Settings, TrainingSettings
from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.kept import kept_json
from seal_agent.errors import CycleInterruptedError, SealAgentError
from seal_agent.few_shot.augment import prompt_for
from seal_agent.few_shot.recipe import Recipe, by_hand, written
from seal_agent.few_shot.reward import Lab, adapter_on_trial, reward
from seal_agent.few_shot.task import Demonstration, Task, same, to_task
from seal_agent.memory import Memory
from seal_agent.types import Progress, Turn

STOPPED = 3
DRAWS = 2000
"""Bootstrap samples of the interval."""
QUICK_INTENTS = 5
SOME = 5
RIGHT = TypeAdapter(list[bool])
SETTINGS = Settings(training=TrainingSettings(isolated=False))


def task_of(intents: Sequence[str], seed: int) -> Task:
    pairs = [(text, intent) for intent in intents for text in DEMONSTRATIONS[intent]]
    random.Random(seed).shuffle(pairs)
    return to_task("shop intent", pairs)


def asked_of(intents: Sequence[str]) -> list[Demonstration]:
    return [Demonstration(input=text, output=intent) for intent in intents for text in HELD_OUT[intent]]


def kept(lab: Lab, what: str, make: Callable[[], list[bool]], count: int) -> list[bool]:
    content = [lab.backends.model.id, SETTINGS.training.model_dump_json(), repr(lab.task), what, str(lab.seed), str(count)]
    name = hashlib.sha256("\n".join(content).encode()).hexdigest()[:24]
    return kept_json(lab.backends.folder / "cache" / f"right-{name}.json", RIGHT, make, lambda found: len(found) == count)


def as_turns(lab: Lab, asked: str) -> tuple[Turn, ...]:
    return prompt_for(lab.system_prompt, asked, lab.task.demonstrations)


def as_lines(lab: Lab, asked: str) -> tuple[Turn, ...]:
    lines = "\n".join(f"Message: {one.input}\nIntent: {one.output}" for one in lab.task.demonstrations)
    names = ", ".join(lab.task.outputs)
    return prompt_for(
        lab.system_prompt, f"Give the intent of the last message. Intents: {names}.\n\n{lines}\nMessage: {asked}\nIntent:", ()
    )


def in_context(lab: Lab, wanted: Sequence[Demonstration], way: Callable[[Lab, str], tuple[Turn, ...]]) -> list[bool]:
    replies = lab.backends.model.generate([way(lab, one.input) for one in wanted], max_tokens=lab.answer_tokens)
    return [same(reply.text.removeprefix("Intent:"), one.output) for reply, one in zip(replies, wanted, strict=True)]


def trained(lab: Lab, how: Recipe, wanted: Sequence[Demonstration]) -> list[bool]:
    with adapter_on_trial(lab, lab.task, how, lab.seed) as adapter:
        prompts = [lab.prompt(lab.task, how, one.input) for one in wanted]
        replies = lab.backends.model.generate(prompts, adapter=adapter, max_tokens=lab.answer_tokens)
    return [same(reply.text, one.output) for reply, one in zip(replies, wanted, strict=True)]


def measure_seed(backends: Backends, intents: Sequence[str], seed: int, recipes: Sequence[Recipe], ends: float) -> dict[str, Any]:
    task, wanted = task_of(intents, seed), asked_of(intents)
    lab = Lab(task=task, backends=backends, progress=show, should_stop=lambda: time.monotonic() > ends, seed=seed)
    count = len(wanted)
    turns = kept(lab, "turns", lambda: in_context(lab, wanted, as_turns), count)
    lab.say(f"seed {seed}: in context as turns {share(turns):.2f}", 0, 1)
    few = wanted[::SOME]
    lines = kept(lab, "some lines", lambda: in_context(lab, few, as_lines), len(few))
    lab.say(f"seed {seed}: in context as lines {share(lines):.2f} of every {SOME}th", 0, 1)
    if share(lines) > share(turns[::SOME]):
        lines = kept(lab, "lines", lambda: in_context(lab, wanted, as_lines), count)
    rows = []
    for how in recipes:
        found = reward(lab, how, seed)
        lab.say(f"seed {seed}: {how.text}: reward {found.probability:.3f}, {found.right} of {found.asked}", 0, 1)
        right = kept(lab, how.text, lambda how=how: trained(lab, how, wanted), count)  # type: ignore[misc]  # how binds
        lab.say(f"seed {seed}: {how.text}: {share(right):.2f} of {count}", 0, 1)
        rows.append({"recipe": how.text, "reward": found.probability, "held_out": found.accuracy, "right": right})
    return {"seed": seed, "turns": turns, "lines": lines, "rows": rows}


def share(right: Sequence[bool]) -> float:
    return sum(right) / len(right)


def summarise(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    context = [max((one["turns"], one["lines"]), key=share) if len(one["lines"]) == len(one["turns"]) else one["turns"] for one in found]
    chosen = [max(one["rows"], key=lambda row: row["reward"]) for one in found]
    differences = [a - b for row, base in zip(chosen, context, strict=True) for a, b in zip(row["right"], base, strict=True)]
    order = random.Random(0)
    drawn = sorted(mean(order.choices(differences, k=len(differences))) for _ in range(DRAWS))
    return {
        "in_context": mean(map(share, context)),
        "median_recipe": mean(median(share(row["right"]) for row in one["rows"]) for one in found),
        "chosen_recipe": mean(share(row["right"]) for row in chosen),
        "best_recipe": mean(max(share(row["right"]) for row in one["rows"]) for one in found),
        "n": len(found[0]["turns"]),
        "ci95": [drawn[int(DRAWS * 0.025)], drawn[int(DRAWS * 0.975)]],
        "recipes": [
            [{"recipe": r["recipe"], "reward": r["reward"], "held_out": r["held_out"], "right": share(r["right"])} for r in one["rows"]]
            for one in found
        ],
        "chosen": [row["recipe"] for row in chosen],
        "trials": sum(len(one["rows"]) for one in found),
        "seeds": [one["seed"] for one in found],
    }


def show(progress: Progress) -> None:
    if progress.stage.startswith("seed"):
        print(progress.stage, file=sys.stderr, flush=True)


def recipes_of(backends: Backends, intents: Sequence[str], quick: bool) -> list[Recipe]:
    hand = list(by_hand("text"))
    if quick:
        return hand[:3]
    settings = SETTINGS.few_shot
    more, refused = written(task_of(intents, 0), backends.model, settings.written, settings.temperature, 0, hand)
    print(f"recipes written by the model: {len(more)} sound and new, refused {refused}", file=sys.stderr, flush=True)
    return [*hand, *more]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="few_shot", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three recipes, five intents, fifty utterances")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--seeds", type=int, default=1, help="orders of the demonstrations and seeds of training (1)")
    parser.add_argument("--folder", type=Path, default=Path("few-shot-benchmark"), help="where figures are kept between runs")
    parser.add_argument("--minutes", type=float, default=600.0, help="stop after so long; the same command goes on from there")
    options = parser.parse_args(arguments)
    intents = list(DEMONSTRATIONS)[: QUICK_INTENTS if options.quick else None]
    ends = time.monotonic() + options.minutes * 60
    try:
        with Memory.open(options.folder, settings=SETTINGS) as memory:
            sweep(memory.folder / "adapters")
            backends = memory._parts.backends()
            recipes = recipes_of(backends, intents, options.quick)
            found = [measure_seed(backends, intents, seed, recipes, ends) for seed in range(options.seeds)]
    except CycleInterruptedError:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return STOPPED
    except SealAgentError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    figures = summarise(found)
    for name in ("in_context", "median_recipe", "chosen_recipe", "best_recipe"):
        print(f"{name:>20} {figures[name]:.2f}")
    if options.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
