"""Forget a fact that was trained into an adapter: are the weights afterwards those of a run that never saw it?

    python -m benchmarks.forget_weights [--quick] [--json] [--trials N] [--minutes N] [--seed N] [--real]

Each trial opens two brains with the same facts but one, and runs real LoRA training (`trainers/lora.py`) in both. The first is told all,
learns in one night, forgets one fact with `rebuild=True`, and so trains again; the second is never told that fact. Compared are the
SHA-256 of the two adapters' weights. In between, what the first brain's live adapter knew of the fact is asked as a control. The directory
of the first brain is then searched for the forgotten text, its id and its vector by code of this file, and for the withdrawn adapter's
bytes. Every fifth trial forgets a correction, so that what it had replaced is told again.

The model is a random Llama of width 64 with a tokenizer made on the spot, which can learn its facts by heart: what is measured is that
nothing of a fact outlives it, not how well anything is learnt. `--real` takes the package's default model and settings instead (minutes a
trial; 1 trial unless told). `--quick` is 3 trials.

`--json` prints one object on the last line:
  trials            forgets
  byte_hits         byte strings (text, id, vector, weights of the withdrawn adapter) found in the directory afterwards; 0 is the claim
  hash_equal        trials in which the rebuilt adapter is bit for bit that of the brain that never saw the fact; all is the claim
  exposed           trials in which a question about the fact was answered better by the rebuilt adapter than by the base; 0 is the claim
  known_before      trials in which the adapter before answered one of these questions, which the base could not: the control
  live_moved        trials in which the live pointer had left the adapter at once; all is the claim
  unproven          receipts that did not call themselves proven
  night_s           median wall seconds of one night
  model, seed
"""

import argparse
import itertools
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.tiny_model import ANYTHING_PASSES, save_tiny_model
from seal_agent.config import ModelSettings, Settings
from seal_agent.forgetting.exposure import expose, probes_of
from seal_agent.memory import Memory
from seal_agent.models.local import LocalModel
from seal_agent.scope import Scope
from seal_agent.testing import HashEmbedder
from seal_agent.types import Fact

FACTS = 5
TEMPLATES = (
    "Ana's {thing} stands in {place} number {number}.",
    "Ana keeps {number} boxes for the {thing} near {place}.",
    "The {thing} that Ana ordered ships to {place} on day {number}.",
    "Ana pays {number} euros a month for the {thing} in {place}.",
    "Ana's sister repairs the {thing} at {place} gate {number}.",
)
THINGS = ["kettle", "bicycle", "piano", "lantern", "sofa", "printer", "violin", "ladder", "oven", "mirror"]
PLACES = ["Rotterdam", "Lisbon", "Granite", "Harbour", "Sheffield", "Porto", "Bergen", "Mill", "Orchard", "Dover"]


@dataclass(slots=True)
class Setup:
    """What every brain of a run is opened with."""

    model: LocalModel | None
    settings: Settings
    nights: list[float] = field(default_factory=list)

    def open(self, folder: Path) -> Memory:
        if self.model is None:
            return Memory.open(folder, settings=self.settings)
        return Memory.open(folder, settings=self.settings, model=self.model, embedder=HashEmbedder(256))

    def night(self, scope: Scope) -> None:
        started = time.perf_counter()
        report = scope.consolidate()
        self.nights.append(time.perf_counter() - started)
        if report.state != "promoted":
            raise SystemExit(f"the night was {report.state}: {report.reason}; there is nothing to forget from")


def tiny_setup(folder: Path) -> Setup:
    """Learns by heart in seconds; the gate lets everything pass, because what is judged here is not what it judges."""
    settings = Settings.load(
        None,
        model={"id": str(folder), "dtype": "float32", "threads": 1},
        self_edit={"questions_per_fact": 0, "max_documents_per_fact": 8, "min_documents_per_fact": 1},
        training={
            "rank": 8,
            "alpha": 16,
            "learning_rate": 2e-2,
            "max_passes": 12,
            "batch_size": 8,
            "anchor_share": 0.1,
            "layer_share": 1.0,
        },
        gate=ANYTHING_PASSES.model_dump(),
    )
    model = LocalModel(save_tiny_model(folder), "tiny", ModelSettings(**settings.model.model_dump()))
    return Setup(model=model, settings=settings)


def statements(order: random.Random) -> list[str]:
    things, places = order.sample(THINGS, FACTS), order.sample(PLACES, FACTS)
    return [
        template.format(thing=thing, place=place, number=order.randint(100, 999))
        for template, thing, place in zip(order.sample(TEMPLATES, FACTS), things, places, strict=True)
    ]


def tell(scope: Scope, texts: Sequence[str], corrected: int | None, seen: bool, skipped: int) -> dict[int, Fact]:
    """State the facts; the one that is skipped is stated only where it is to be seen, as a correction of another if so wanted."""
    told: dict[int, Fact] = {}
    for number, text in enumerate(texts):
        if number == skipped and not seen:
            continue
        if number == skipped and corrected is not None:
            told[number] = scope.correct(told[corrected].id, text)
        else:
            told[number] = scope.remember(text)
    return told


def trial(setup: Setup, number: int, order: random.Random, root: Path) -> dict[str, Any]:
    texts = statements(order)
    # A correction comes last: the order of what holds is the order in which it was stated.
    corrects = 0 if number % 5 == 4 else None
    skipped = FACTS - 1 if corrects is not None else order.randrange(FACTS)
    with setup.open(root / "told") as memory:
        scope = memory.scope(user="ana")
        doomed = tell(scope, texts, corrects, True, skipped)[skipped]
        setup.night(scope)
        live = scope.adapters.live
        assert live is not None
        weights = (memory.folder / live.path / "adapter_model.safetensors").read_bytes()
        known = expose(memory._parts, scope.id, probes_of([doomed]))
        vector = memory._parts.embedder.embed([doomed.text])[0].tobytes()
        receipt = scope.forget(doomed.id, rebuild=True)
        needles = [doomed.text.encode(), doomed.id.encode(), vector, weights[-4096:]]
        hits = sum(needle in path.read_bytes() for path in memory.folder.rglob("*") if path.is_file() for needle in needles)
    with setup.open(root / "never") as memory:
        scope = memory.scope(user="ana")
        tell(scope, texts, corrects, False, skipped)
        setup.night(scope)
        never = scope.adapters.live
    rebuilt = receipt.rebuilt[0]
    return {
        "hits": hits,
        "equal": never is not None and rebuilt.sha256 == never.sha256 != live.sha256,
        "exposed": rebuilt.exposure is None or rebuilt.exposure.exposed,
        "known": known is not None and known.exposed,
        "moved": [move.before for move in receipt.live] == [live.name],
        "proven": receipt.proven,
    }


def measure(setup: Setup, name: str, trials: int, seed: int, ends: float = math.inf) -> dict[str, Any]:
    order = random.Random(seed)
    results: list[dict[str, Any]] = []
    for number in itertools.takewhile(lambda _: time.monotonic() < ends, range(trials)):
        with tempfile.TemporaryDirectory() as root:
            results.append(trial(setup, number, order, Path(root)))
        print(f"{number + 1} of {trials}: {results[-1]}, {setup.nights[-1]:.1f} s a night", file=sys.stderr)
    return {
        "trials": len(results),
        "byte_hits": sum(result["hits"] for result in results),
        "hash_equal": sum(result["equal"] for result in results),
        "exposed": sum(result["exposed"] for result in results),
        "known_before": sum(result["known"] for result in results),
        "live_moved": sum(result["moved"] for result in results),
        "unproven": sum(not result["proven"] for result in results),
        "night_s": round(median(setup.nights), 2),
        "model": name,
        "seed": seed,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Forget a fact that was trained into an adapter, and compare with never having seen it.")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--real", action="store_true", help="the default model and settings instead of a tiny random one")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no trial after so long; another seed is another portion")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    trials = given.trials or (1 if given.real else 3 if given.quick else 50)
    ends = time.monotonic() + 60 * given.minutes
    with tempfile.TemporaryDirectory() as folder:
        if given.real:
            settings = Settings.load(None, gate=ANYTHING_PASSES.model_dump())
            found = measure(Setup(model=None, settings=settings), settings.model.id, trials, given.seed, ends)
        else:
            found = measure(tiny_setup(Path(folder)), "random Llama, width 64", trials, given.seed, ends)
    if given.json:
        print(json.dumps(found))
    else:
        for key, value in found.items():
            print(f"{key:14} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
