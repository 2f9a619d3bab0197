"""How much of a night's training goes over beginnings of prompts that another row of the same batch has as well.

    python -m benchmarks.prefixes [--quick] [--json] [--model ID] [--timed TRIALS]

Counted: the material of a night (`consolidation.preparing`, floor only, no anchors) on the facts of each customer of
`examples/data/support_week_gold.jsonl`, in the batches of one pass. A beginning may be computed once for the rows of one batch only, since
the weights that it goes through change with each step. The count is of what sharing could save at the very most: what it costs (another
attention mask, smaller matrix products) is not in it. `--timed` trains the first customer's material for one pass, packed as it is by
default (`trainers/layout.py`) and padded, one after the other in each trial. `--quick` takes one customer.

`--json` prints one object on the last line:
  tokens         of one pass
  in_batch       share of them that lies in a beginning which an earlier row of the batch has too
  in_part        the same where two cores share a batch, each with rows of its own
  in_material    the same as in_batch but over all rows of the pass: what one batch of everything would have in common
  same_prompt    share of rows whose whole prompt an earlier row of the batch has
  header         tokens that all prompts begin with: the chat template's
  answers        share of tokens that are answers, which nobody can share
  packed_over_padded   median over the trials of the ratio of processor-seconds, the run over the frozen layers included; null untimed
  by_trial       that ratio in each trial
  model, customers, trials, seeds   what was counted; trials is the number of customers
"""

import random
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from benchmarks import portions
from benchmarks.early_stop import night_of, told
from benchmarks.portions import Portions
from seal_agent import Memory
from seal_agent.config import SelfEditSettings, Settings, TrainingSettings
from seal_agent.models.local import LocalModel
from seal_agent.trainers import frozen
from seal_agent.trainers.frozen import Item
from seal_agent.trainers.layout import can_pack
from seal_agent.trainers.loop import bucketed, size
from seal_agent.trainers.lora import LoraTrainer
from seal_agent.types import Example, silent

MATERIAL = Settings(self_edit=SelfEditSettings(questions_per_fact=0), training=TrainingSettings(anchor_share=0.0))
MOST_FACTS = 100
CORES = 2


def shared(items: Iterable[Item]) -> int:
    """Tokens of the prompts that lie in a beginning which an earlier item has too."""
    count = 0
    known: set[tuple[int, ...]] = set()
    for item in items:
        beginnings = [tuple(item.ids[:end]) for end in range(1, item.start + 1)]
        count += sum(beginning in known for beginning in beginnings)
        known.update(beginnings)
    return count


def repeated(items: Iterable[Item]) -> int:
    """Items whose whole prompt an earlier one has."""
    prompts = [tuple(item.ids[: item.start]) for item in items]
    return len(prompts) - len(set(prompts))


def header(items: Iterable[Item]) -> int:
    """Tokens that all prompts begin with."""
    columns = zip(*(item.ids[: item.start] for item in items), strict=False)  # to the end of the shortest
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def counted(model: LocalModel, folder: Path, customers: int) -> dict[str, Any]:
    trainer = LoraTrainer(model, MATERIAL.training)
    batches: list[list[Item]] = []
    everything: list[list[Item]] = []
    with Memory.open(folder, settings=MATERIAL, model=model) as memory:
        for user, facts in list(told(1, MOST_FACTS).items())[:customers]:
            _, lesson = night_of(memory._parts.backends(), memory.scope(user=user, agent="support"), facts)
            items = trainer._encode(lesson.examples)
            everything.append(items)
            batches += bucketed(items, MATERIAL.training.batch_size, random.Random(0))
    rows = [item for items in everything for item in items]
    tokens = size(rows)
    return {
        "tokens": tokens,
        "in_batch": sum(map(shared, batches)) / tokens,
        "in_part": sum(shared(batch[first::CORES]) for batch in batches for first in range(CORES)) / tokens,
        "in_material": sum(map(shared, everything)) / tokens,
        "same_prompt": sum(map(repeated, batches)) / len(rows),
        "header": header(rows),
        "answers": sum(len(item.ids) - item.start for item in rows) / tokens,
        "customers": len(everything),
        "trials": len(everything),
        "seeds": [0],
    }


def timed(model: LocalModel, folder: Path, trials: int) -> list[float]:
    """Processor-seconds of one packed pass over those of one padded pass, per trial."""
    with Memory.open(folder, settings=MATERIAL, model=model) as memory:
        user, facts = next(iter(told(1, MOST_FACTS).items()))
        _, lesson = night_of(memory._parts.backends(), memory.scope(user=user, agent="support"), facts)
    return [one_pass(model, lesson.examples) / one_pass(model, lesson.examples, padded=True) for _ in range(trials)]


def one_pass(model: LocalModel, examples: Sequence[Example], *, padded: bool = False) -> float:
    trainer = LoraTrainer(model, portions.training(max_passes=1))
    with TemporaryDirectory() as out, patch.object(frozen, "can_pack", (lambda *_: False) if padded else can_pack):
        began = time.process_time()
        trainer.train(examples, probes=(), out=Path(out) / "adapter", seed=0, progress=silent, should_stop=lambda: False)
        return time.process_time() - began


def show(figures: dict[str, Any]) -> None:
    print(f"{figures['tokens']:,} tokens a pass, {figures['answers']:.1%} of them answers")
    print(f"in a beginning that the batch has already: {figures['in_batch']:.1%}, on two cores {figures['in_part']:.1%}")
    print(
        f"in a beginning that the pass has already: {figures['in_material']:.1%}; all begin with {figures['header']} tokens of the template"
    )
    print(f"rows that ask what the batch asks already: {figures['same_prompt']:.1%}")
    if figures["packed_over_padded"]:
        print(f"time of a packed pass over that of a padded one: {figures['packed_over_padded']:.2f}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = portions.parser("prefixes", __doc__, quick="one customer")
    parser.add_argument("--timed", type=portions.count, metavar="TRIALS", help="train a pass packed and padded, so often")
    options = parser.parse_args(arguments)

    def on_a_brain(model: LocalModel, folder: Path, kept: Portions) -> dict[str, Any]:
        found: dict[str, Any] = kept.result("all", lambda: counted(model, folder, 1 if options.quick else MOST_FACTS))
        ratios = timed(model, folder, options.timed) if options.timed else []
        return found | {"packed_over_padded": median(ratios) if ratios else None, "by_trial": ratios, "model": model.id}

    return portions.run(options, {"quick": options.quick}, on_a_brain, show)


if __name__ == "__main__":
    sys.exit(main())
