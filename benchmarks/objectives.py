"""What each training objective learns and costs, on the same made-up facts with the same anchors.

    python -m benchmarks.objectives [--quick] [--json] [--facts N] [--seeds N] [--only NAME ...] [--model ID] [--out FILE] [--minutes M]

Per seed: other facts, six questions each to teach them by, two others to ask them by (`made_up_facts.py`), a quarter anchors. Every
objective trains an adapter of its own from the base with the package's defaults; `seal` and `passage` keep to SEAL's recipe and have no
anchors. `masked+context` is `masked` with half of the items asked with their source in the prompt (PRAG). Default: 24 facts, 3 seeds;
`--quick` is 8 facts and 1 seed of the objectives that are not SEAL's. On a CPU SEAL's recipe pads to 256 tokens, not 2,048, and still
takes most of the time, so `--out` keeps what is done, `--minutes` ends in good time, and the same command goes on.

`--json` prints one object on the last line:
  model, facts, trials, seeds      what ran; trials are those of the objective that has the fewest
  base                             the same figures of the untouched model, for comparison
  objectives.<name>.recall         share of held-out questions answered right, closed book: mean over the seeds
  objectives.<name>.retention      of the general questions that the base has right, the share that is still right
  objectives.<name>.perplexity_ratio   perplexity on general prose over the base's
  objectives.<name>.with_context   share of held-out questions answered right with the fact's statement in the prompt
  objectives.<name>.seconds        wall time of training, writing targets and asking teachers included
  objectives.<name>.by_seed        each seed's recall: the spread
  padded_to                        tokens that SEAL's recipe pads to here
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import portions
from benchmarks.made_up_facts import Lessons, make_facts, right
from benchmarks.portions import Portions
from benchmarks.reporting import report
from seal_agent.chat import question_prompt
from seal_agent.consolidation.evaluation import MAX_REPLY_TOKENS, Examiner
from seal_agent.consolidation.grading import PhraseGrader
from seal_agent.consolidation.inner_loop import anchor_count, anchors
from seal_agent.models.local import LocalModel
from seal_agent.trainers.lora import LoraTrainer
from seal_agent.trainers.seal import PADDED, PADDED_ON_CPU, SealTrainer
from seal_agent.types import silent

OBJECTIVES: dict[str, dict[str, Any]] = {  # Any: fields of TrainingSettings
    "masked": {"objective": "masked"},
    "masked+context": {"objective": "masked", "context_share": 0.5},
    "distilled": {"objective": "distilled"},
    "mixed": {"objective": "mixed"},
    "passage": {"objective": "passage"},
    "seal": {"objective": "seal"},
}
SLOW = ("passage", "seal")
FACTS, QUICK_FACTS, SEEDS = 24, 8, 3
FIGURES = ("recall", "retention", "perplexity_ratio", "with_context", "seconds")


class Bench:
    """The model and what its base says, asked once."""

    def __init__(self, model: LocalModel, folder: Path) -> None:
        self.model = model
        self.examiner = Examiner(model=model, grader=PhraseGrader(), system_prompt="", cache=folder)
        general, self._perplexity = self.examiner.general(None)
        self._known = {graded.question.id for graded in general if graded.correct}

    def figures(self, adapter: str | None, lessons: Lessons) -> dict[str, float]:
        """Ask one view everything; `seconds` is 0."""
        closed = self.examiner.ask(adapter, lessons.questions, MAX_REPLY_TOKENS)
        prompts = [question_prompt("", q.text, source) for q, source in zip(lessons.questions, lessons.sources(), strict=True)]
        replies = self.model.generate(prompts, adapter=adapter, max_tokens=MAX_REPLY_TOKENS)
        opened = self.examiner.graded(lessons.questions, [reply.text for reply in replies])
        general, perplexity = self.examiner.general(adapter)
        kept = [graded.correct for graded in general if graded.question.id in self._known]
        return {
            "recall": right([graded.correct for graded in closed]),
            "retention": right(kept) if kept else 1.0,
            "perplexity_ratio": perplexity / self._perplexity,
            "with_context": right([graded.correct for graded in opened]),
            "seconds": 0.0,
        }

    def run(self, name: str, lessons: Lessons, seed: int) -> dict[str, float]:
        """Train one objective on the lessons and ask its adapter."""
        settings = portions.training(seed=seed, **OBJECTIVES[name])
        count = anchor_count(len(lessons.examples), settings)
        examples = [*lessons.examples, *anchors(count, self.examiner, settings)]
        trainer = SealTrainer(self.model, settings) if name in SLOW else LoraTrainer(self.model, settings)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "adapter"
            result = trainer.train(examples, probes=(), out=out, seed=seed, progress=silent, should_stop=lambda: False)
            self.model.load_adapter(name, out)
            found = {**self.figures(name, lessons), "seconds": result.seconds}
            self.model.unload_adapter(name)
        report(f"seed {seed} {name}: " + ", ".join(f"{key} {value:.3g}" for key, value in found.items()))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which objectives are run on what."""

    names: Sequence[str]
    facts: int
    seeds: Sequence[int]


def measure(model: LocalModel, plan: Plan, folder: Path, kept: Portions) -> dict[str, Any]:
    """Run every objective on every seed for which there is time; return the object that `--json` prints."""
    bench = Bench(model, folder)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ("base", *plan.names)}
    for seed in plan.seeds:
        lessons = make_facts(plan.facts, seed)
        for name in found:
            unit = f"{seed}/{name}"
            if kept.wants(unit):
                run = partial(bench.figures, None, lessons) if name == "base" else partial(bench.run, name, lessons, seed)
                found[name].append(kept.result(unit, run))
    means = {name: {key: fmean(row[key] for row in rows) for key in FIGURES} for name, rows in found.items() if rows}
    return {
        "model": model.id,
        "facts": plan.facts,
        "base": means.pop("base", None),
        "objectives": {name: row | {"by_seed": [one["recall"] for one in found[name]]} for name, row in means.items()},
        "padded_to": PADDED_ON_CPU if model.device.type == "cpu" else PADDED,
        "trials": min(map(len, found.values())),
        "seeds": list(plan.seeds),
    }


def show(figures: dict[str, Any]) -> None:
    rows = figures["objectives"] if figures["base"] is None else {"base": figures["base"], **figures["objectives"]}
    for name, row in rows.items():
        print(f"{name:>15} " + "  ".join(f"{key} {row[key]:.3f}" for key in FIGURES))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = portions.parser("objectives", __doc__, quick=f"{QUICK_FACTS} facts, 1 seed, without SEAL's recipe")
    portions.add_sizes(parser, facts=FACTS, seeds=SEEDS)
    parser.add_argument("--only", nargs="+", choices=list(OBJECTIVES), help="these objectives only")
    options = parser.parse_args(arguments)
    names = options.only or [name for name in OBJECTIVES if not (options.quick and name in SLOW)]
    facts, seeds = portions.sizes(options, quick=(QUICK_FACTS, 1), default=(FACTS, SEEDS))
    plan = Plan(names=names, facts=facts, seeds=range(seeds))
    return portions.run(options, {"facts": facts}, lambda model, folder, kept: measure(model, plan, folder, kept), show)


if __name__ == "__main__":
    sys.exit(main())
