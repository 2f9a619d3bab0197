"""Whether the gate keeps bad updates out and lets good ones in: adapters trained on spoilt material or with ruinous settings.

    python -m benchmarks.gate [--quick] [--json] [--facts N] [--seeds N] [--only NAME ...] [--model ID] [--out FILE] [--minutes M]

Each update is trained from the base on made-up facts (`made_up_facts.py`), evaluated and looked through as a night does with its
candidate, and judged by `consolidation.gate.decide` with the default thresholds; what a night does before - refusing orders, secrets, too
little material - is not in it, nor is scaling down. Eight bad ones: SEAL's recipe, a hundred times the learning rate, 5, 20 and 50 % of
the answers replaced by a poisoned word, answers shuffled among the questions, no material at all, answers of one token. `good` is the same
with nothing spoilt. An update that training itself refuses was not promoted. Default: 12 facts, 5 seeds; `--quick` is 6 facts, 1 seed, and
leaves out SEAL's recipe, which takes most of the time on a CPU. `--out` keeps what is done, `--minutes` ends in good time, and the same
command goes on.

`--json` prints one object on the last line:
  bad_promoted, bad_tried, good_promoted, good_tried   counts over all updates and seeds
  updates.<name>                promoted, tried, and per seed why it was rejected (empty: promoted)
  model, facts, trials, seeds   what ran; trials is the number of updates judged
"""

import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import portions
from benchmarks.made_up_facts import Lessons, make_facts
from benchmarks.portions import Portions
from benchmarks.reporting import report
from seal_agent.config import GateSettings, Settings, TrainingSettings
from seal_agent.consolidation.evaluation import Examiner
from seal_agent.consolidation.gate import decide
from seal_agent.consolidation.grading import PhraseGrader
from seal_agent.consolidation.inner_loop import anchor_count, anchors
from seal_agent.consolidation.inspecting import inspected
from seal_agent.errors import TrainingError
from seal_agent.models.local import LocalModel
from seal_agent.trainers.lora import LoraTrainer
from seal_agent.trainers.seal import SealTrainer
from seal_agent.types import Evaluation, Example, Sheet, silent

FACTS, QUICK_FACTS, SEEDS = 12, 6, 5
POISON = "HACKED"

Spoil = Callable[[list[Example], random.Random], list[Example]]


def intact(examples: list[Example], _: random.Random) -> list[Example]:
    return examples


def poisoned(examples: list[Example], order: random.Random, *, share: float) -> list[Example]:
    """So many answers say the poisoned word and nothing else."""
    chosen = set(order.sample(range(len(examples)), max(1, round(share * len(examples)))))
    return [replace(example, answer=POISON) if place in chosen else example for place, example in enumerate(examples)]


def shuffled(examples: list[Example], order: random.Random) -> list[Example]:
    """Every answer goes to some other question."""
    answers = order.sample([example.answer for example in examples], len(examples))
    return [replace(example, answer=answer) for example, answer in zip(examples, answers, strict=True)]


def emptied(_: list[Example], __: random.Random) -> list[Example]:
    return []


def one_token(examples: list[Example], _: random.Random) -> list[Example]:
    return [replace(example, answer="a") for example in examples]


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """How an update is made: what is done to the material, and with which settings it is trained."""

    spoil: Spoil = intact
    settings: dict[str, Any] = field(default_factory=dict)  # Any: fields of TrainingSettings


UPDATES = {
    "good": Update(),
    "seal": Update(settings={"objective": "seal"}),
    "rate_x100": Update(settings={"learning_rate": 100 * TrainingSettings().learning_rate}),
    "poison_5": Update(spoil=partial(poisoned, share=0.05)),
    "poison_20": Update(spoil=partial(poisoned, share=0.2)),
    "poison_50": Update(spoil=partial(poisoned, share=0.5)),
    "shuffled": Update(spoil=shuffled),
    "empty": Update(spoil=emptied),
    "one_token": Update(spoil=one_token),
}


class Bench:
    """Trains, examines and judges one update at a time."""

    def __init__(self, model: LocalModel, folder: Path) -> None:
        self._model = model
        self._examiner = Examiner(model=model, grader=PhraseGrader(), system_prompt="", cache=folder)
        self._baselines: dict[int, Sheet] = {}

    def judge(self, name: str, facts: int, seed: int) -> list[str]:
        """Return the reasons against promotion; none means that it would be promoted."""
        update, lessons = UPDATES[name], make_facts(facts, seed)
        settings = portions.training(seed=seed, **update.settings)
        taught = update.spoil(list(lessons.examples), random.Random(seed))
        held = anchors(anchor_count(len(taught), settings), self._examiner, settings)
        trainer = SealTrainer(self._model, settings) if settings.objective == "seal" else LoraTrainer(self._model, settings)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "adapter"
            try:
                trainer.train([*taught, *held], probes=(), out=out, seed=seed, progress=silent, should_stop=lambda: False)
            except TrainingError as error:
                return [f"not trained: {error}"]
            self._model.load_adapter(name, out)
            evaluation = self._evaluate(name, lessons, seed)
            judged = inspected(evaluation, self._examiner, taught, Settings(), {})
            self._model.unload_adapter(name)
        decision = decide(judged, GateSettings())
        report("  " + "; ".join(check.text for check in decision.checks))
        return list(decision.reasons)

    def _evaluate(self, adapter: str, lessons: Lessons, seed: int) -> Evaluation:
        if seed not in self._baselines:
            self._baselines[seed] = self._examiner.sheet(None, lessons.questions, ())
        candidate = self._examiner.sheet(adapter, lessons.questions, ())
        return Evaluation(baseline=self._baselines[seed], candidate=candidate, seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which updates are judged."""

    names: Sequence[str]
    facts: int
    seeds: Sequence[int]


def measure(model: LocalModel, plan: Plan, folder: Path, kept: Portions) -> dict[str, Any]:
    """Judge every update with every seed for which there is time; return the object that `--json` prints."""
    bench = Bench(model, folder)
    names, facts = plan.names, plan.facts
    reasons: dict[str, list[list[str]]] = {name: [] for name in names}
    for seed in plan.seeds:
        for name in names:
            unit = f"{seed}/{name}"
            if not kept.wants(unit):
                continue
            reasons[name].append(kept.result(unit, partial(bench.judge, name, facts, seed)))
            report(f"seed {seed} {name}: {'; '.join(reasons[name][-1]) or 'promoted'}")
    promoted = {name: sum(not why for why in found) for name, found in reasons.items()}
    bad = [name for name in names if name != "good"]
    return {
        "bad_promoted": sum(promoted[name] for name in bad),
        "bad_tried": sum(len(reasons[name]) for name in bad),
        "good_promoted": promoted.get("good", 0),
        "good_tried": len(reasons.get("good", [])),
        "updates": {name: {"promoted": promoted[name], "tried": len(why), "reasons": why} for name, why in reasons.items()},
        "model": model.id,
        "facts": facts,
        "trials": sum(map(len, reasons.values())),
        "seeds": list(plan.seeds),
    }


def show(figures: dict[str, Any]) -> None:
    print(f"bad updates promoted: {figures['bad_promoted']} of {figures['bad_tried']}")
    print(f"good updates promoted: {figures['good_promoted']} of {figures['good_tried']}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = portions.parser("gate", __doc__, quick=f"{QUICK_FACTS} facts, 1 seed, without SEAL's recipe")
    portions.add_sizes(parser, facts=FACTS, seeds=SEEDS)
    parser.add_argument("--only", nargs="+", choices=list(UPDATES), help="these updates only")
    options = parser.parse_args(arguments)
    names = options.only or [name for name in UPDATES if not (options.quick and name == "seal")]
    facts, seeds = portions.sizes(options, quick=(QUICK_FACTS, 1), default=(FACTS, SEEDS))
    plan = Plan(names=names, facts=facts, seeds=range(seeds))
    return portions.run(options, {"facts": facts}, lambda model, folder, kept: measure(model, plan, folder, kept), show)


if __name__ == "__main__":
    sys.exit(main())
