"""Time to the same held-out recall: our trainer beside TRL's SFTTrainer, on the same facts with the same LoRA.

    pip install 'seal-agent[bench]'
    python -m benchmarks.trl_peer [--quick] [--json] [--facts N] [--seeds N] [--passes N] [--model ID] [--out FILE] [--minutes M]

Made-up facts (`made_up_facts.py`), six questions each to teach them by, two others to ask them by, closed book. Rank, alpha, every linear
layer of every decoder layer, learning rate, batch size, schedule (cosine after a warm-up of 5 %) and passes are the same, there are no
anchors, and TRL runs in what is its fastest form on a CPU: float32, no checkpointing, batches of similar length. The rest is each trainer's
own: ours trains no token that the model already knows, runs its output head on answers only, and gives each core rows of its own. Both
train all passes; the time to a recall is that of all of them, so compare `seconds` only where `recall` is about the same. Default: 24
facts, 3 seeds; `--quick` is 8 facts, 1 seed. `--out` keeps what is done, `--minutes` ends in good time, and the same command goes on.

`--json` prints one object on the last line:
  seconds_ours, seconds_trl   wall seconds of training, means over the seeds: TRL's `train()`, without its tokenizing and the loading of its
                              model; ours without its tokenizing, but with the pass that fills its caches
  recall_ours, recall_trl     share of held-out questions answered right
  ratio                       seconds_ours over seconds_trl
  by_seed                     each seed's four figures: the spread
  model, facts, passes, trials, seeds, versions   what ran
"""

import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import portions
from benchmarks.made_up_facts import Lessons, make_facts, right
from benchmarks.portions import Portions
from benchmarks.reporting import report
from benchmarks.training_arms import FASTER_TRL, trl_trainer
from seal_agent.config import TrainingSettings
from seal_agent.consolidation.evaluation import MAX_REPLY_TOKENS, Examiner
from seal_agent.consolidation.grading import PhraseGrader
from seal_agent.models.local import LocalModel
from seal_agent.trainers.loop import WARM_UP
from seal_agent.trainers.lora import LoraTrainer
from seal_agent.types import silent

TRL = "trl==1.16.0"
FACTS, QUICK_FACTS, SEEDS = 24, 8, 3
ARMS = ("ours", "trl")
SCHEDULE = {"lr_scheduler_type": "cosine", "warmup_steps": WARM_UP}
"""As ours; TRL's own default falls linearly and does not warm up. Below 1, a share of the steps."""

Row = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    facts: int
    seeds: Sequence[int]
    passes: int


class Bench:
    """The model and the settings that both trainers share."""

    def __init__(self, model: LocalModel, passes: int, folder: Path) -> None:
        self.model = model
        self._settings = portions.training(layer_share=1.0, max_passes=passes)
        self._examiner = Examiner(model=model, grader=PhraseGrader(), system_prompt="", cache=folder)

    def run(self, arm: str, lessons: Lessons, seed: int) -> Row:
        """Train one arm on the lessons and ask its adapter."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "adapter"
            seconds = self._ours(lessons, seed, out) if arm == "ours" else self._trl(lessons, seed, out)
            self.model.load_adapter(arm, out)
            graded = self._examiner.ask(arm, lessons.questions, MAX_REPLY_TOKENS)
            self.model.unload_adapter(arm)
        return {"seconds": seconds, "recall": right([one.correct for one in graded])}

    def _ours(self, lessons: Lessons, seed: int, out: Path) -> float:
        trainer = LoraTrainer(self.model, self._settings)
        result = trainer.train(lessons.examples, probes=(), out=out, seed=seed, progress=silent, should_stop=lambda: False)
        return result.seconds

    def _trl(self, lessons: Lessons, seed: int, out: Path) -> float:
        with tempfile.TemporaryDirectory() as folder:
            options = {**FASTER_TRL, **SCHEDULE, "bf16": False, "seed": seed}
            trainer = trl_trainer(self.model, self._settings, options, lessons.examples, folder)
            started = time.perf_counter()
            trainer.train()
            seconds = time.perf_counter() - started
            trainer.model.save_pretrained(str(out))
        return seconds


def measure(model: LocalModel, plan: Plan, folder: Path, kept: Portions) -> dict[str, Any]:
    """Run both arms on every seed for which there is time; return the object that `--json` prints."""
    bench = Bench(model, plan.passes, folder)
    rows: dict[str, list[Row]] = {arm: [] for arm in ARMS}
    for seed in plan.seeds:
        lessons = make_facts(plan.facts, seed)
        done = {arm: kept.result(unit, partial(bench.run, arm, lessons, seed)) for arm in ARMS if kept.wants(unit := f"{seed}/{arm}")}
        for arm, row in done.items():
            report(f"seed {seed} {arm}: {row['recall']:.1%} of the held-out questions right after {row['seconds']:.1f} s")
            if len(done) == len(ARMS):
                rows[arm].append(row)
    if not rows["ours"]:
        return {"trials": 0}
    return {
        **{f"{key}_{arm}": fmean(row[key] for row in found) for key in ("seconds", "recall") for arm, found in rows.items()},
        "ratio": fmean(row["seconds"] for row in rows["ours"]) / fmean(row["seconds"] for row in rows["trl"]),
        "by_seed": rows,
        "model": model.id,
        "facts": plan.facts,
        "passes": plan.passes,
        "trials": len(rows["ours"]),
        "seeds": list(plan.seeds)[: len(rows["ours"])],
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "trl")},
    }


def show(figures: dict[str, Any]) -> None:
    for arm in ARMS if figures["trials"] else ():
        print(f"{arm:>5}: {figures[f'recall_{arm}']:.1%} right after {figures[f'seconds_{arm}']:.1f} s")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = portions.parser("trl_peer", __doc__, quick=f"{QUICK_FACTS} facts, 1 seed")
    portions.add_sizes(parser, facts=FACTS, seeds=SEEDS)
    parser.add_argument(
        "--passes", type=portions.count, default=TrainingSettings().max_passes, help="passes over the material, of both (%(default)s)"
    )
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("trl") is None:
        report(f"This benchmark compares with TRL, which is not installed: pip install '{TRL}', or pip install 'seal-agent[bench]'.")
        return 2
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    facts, seeds = portions.sizes(options, quick=(QUICK_FACTS, 1), default=(FACTS, SEEDS))
    plan = Plan(facts=facts, seeds=range(seeds), passes=options.passes)
    conditions = {"facts": facts, "passes": plan.passes}
    return portions.run(options, conditions, lambda model, folder, kept: measure(model, plan, folder, kept), show)


if __name__ == "__main__":
    sys.exit(main())
