"""What it saves, and costs, to let a fact leave the passes once its held-out paraphrases are known (`training.settled_share`).

    python -m benchmarks.early_stop [--quick] [--json] [--facts N] [--seeds N] [--share S] [--model ID] [--out FILE] [--minutes M]

Each seed is one customer of `examples/data/support_week_gold.jsonl`, the first N of whose facts are told. The material is that of a night
(`consolidation.preparing`, the writer left out), and so are the settings, but for `target_loss`: both arms could go over all passes. Asked
is what judges a night, held out from training and from what it stops by. Default: 4 facts, 3 seeds; `--quick` is 2 facts, 1 seed.

`--json` prints one object on the last line:
  all, settled          the arms: every item in every pass, and `share` of those of settled facts
  <arm>.recall          share of held-out questions answered right: mean over the seeds
  <arm>.tokens          trained
  <arm>.seconds         of training
  by_seed               each seed's figures
  model, facts, share, trials, seeds   what ran; trials is the number of seeds that are done
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import portions
from benchmarks.made_up_facts import right
from benchmarks.portions import Portions
from benchmarks.reporting import report
from seal_agent import Memory, Scope
from seal_agent.config import SelfEditSettings, Settings
from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.evaluation import MAX_REPLY_TOKENS
from seal_agent.consolidation.preparing import Lesson, prepare
from seal_agent.consolidation.run import Run
from seal_agent.consolidation.selection import select
from seal_agent.models.local import LocalModel
from seal_agent.trainers.lora import LoraTrainer
from seal_agent.types import silent

WEEK = Path(__file__).parents[1] / "examples" / "data" / "support_week_gold.jsonl"
FACTS, QUICK_FACTS, SEEDS = 4, 2, 3
SHARE = 0.25
ARMS = ("all", "settled")
TRAINING = portions.training(target_loss=0.0)

Row = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    facts: int
    seeds: int
    share: float


def told(least: int, most: int) -> dict[str, list[str]]:
    """The first facts of each customer who has enough of them, in their order."""
    facts: dict[str, list[str]] = {}
    for line in WEEK.read_text(encoding="utf-8").splitlines():
        asked = json.loads(line)
        facts.setdefault(asked["user"], []).append(asked["fact"])
    return {user: found[:most] for user, found in facts.items() if len(found) >= least}


def night_of(backends: Backends, scope: Scope, facts: Sequence[str]) -> tuple[Run, Lesson]:
    """Tell the facts, and prepare the night that would teach them."""
    for fact in facts:
        scope.remember(fact)  # said twice, it is known
    run = Run(scope=scope.id, backends=backends, progress=silent, should_stop=lambda: False, clock=lambda: datetime.now(UTC))
    return run, prepare(run, list(select(backends, scope.id).told))


class Bench:
    """Customers' nights on one brain, each trained by both arms."""

    def __init__(self, memory: Memory, share: float) -> None:
        self._backends = memory._parts.backends()  # what a night is given
        self._memory = memory
        self._shares = dict(zip(ARMS, (1.0, share), strict=True))

    def run(self, arm: str, user: str, facts: Sequence[str], seed: int) -> Row:
        """Train one arm on the customer's material and ask its adapter."""
        scope = self._memory.scope(user=user, agent="support")
        settings = TRAINING.model_copy(update={"seed": seed, "settled_share": self._shares[arm]})
        backends = replace(self._backends, settings=self._backends.settings.model_copy(update={"training": settings}))
        night, lesson = night_of(backends, scope, facts)
        model = backends.model
        assert isinstance(model, LocalModel)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "adapter"
            result = LoraTrainer(model, settings).train(
                lesson.examples,
                probes=lesson.probes,
                out=out,
                seed=seed,
                progress=silent,
                should_stop=lambda: False,
                checkpoint=backends.folder / f"{user}-{arm}.passes",
            )
            model.load_adapter(arm, out)
            graded = night.examiner.ask(arm, lesson.held_out, MAX_REPLY_TOKENS)
            model.unload_adapter(arm)
        return {"recall": right([one.correct for one in graded]), "tokens": result.trained_tokens, "seconds": result.seconds}


def measure(bench: Bench, plan: Plan, kept: Portions) -> dict[str, Any]:
    """Run both arms for every seed for which there is time; return the object that `--json` prints."""
    rows: list[dict[str, Row]] = []
    for seed, (user, facts) in enumerate(list(told(plan.facts, plan.facts).items())[: plan.seeds]):
        done = {arm: kept.result(unit, partial(bench.run, arm, user, facts, seed)) for arm in ARMS if kept.wants(unit := f"{user}/{arm}")}
        report(f"{user}: {done}")
        if len(done) == len(ARMS):
            rows.append(done)
    return {
        **{arm: {key: fmean(row[arm][key] for row in rows) for key in rows[0][arm]} for arm in (ARMS if rows else ())},
        "by_seed": rows,
        "facts": plan.facts,
        "share": plan.share,
        "trials": len(rows),
        "seeds": list(range(len(rows))),
    }


def show(figures: dict[str, Any]) -> None:
    for arm in ARMS if figures["trials"] else ():
        row = figures[arm]
        print(f"{arm:>8}: {row['recall']:.1%} right, {row['tokens']:,.0f} tokens, {row['seconds']:.1f} s")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = portions.parser("early_stop", __doc__, quick=f"{QUICK_FACTS} facts, 1 seed")
    portions.add_sizes(parser, facts=FACTS, seeds=SEEDS)
    parser.add_argument("--share", type=float, default=SHARE, help="of the items of settled facts that stay (%(default)s)")
    options = parser.parse_args(arguments)
    facts, seeds = portions.sizes(options, quick=(QUICK_FACTS, 1), default=(FACTS, SEEDS))
    plan = Plan(facts=facts, seeds=seeds, share=options.share)

    def on_a_brain(model: LocalModel, folder: Path, kept: Portions) -> dict[str, Any]:
        settings = Settings(self_edit=SelfEditSettings(questions_per_fact=0))
        with Memory.open(folder, settings=settings, model=model) as memory:
            return measure(Bench(memory, plan.share), plan, kept) | {"model": model.id}

    return portions.run(options, {"facts": facts, "share": plan.share}, on_a_brain, show)


if __name__ == "__main__":
    sys.exit(main())
