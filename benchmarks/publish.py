"""Adapters published under `kill -9`, and bad adapters offered: how many halves are seen, how many of the bad ones are loaded.

    python -m benchmarks.publish [--quick] [--json] [--trials N] [--seed N]

A trial starts a process that publishes one adapter after another, kills it at a random moment and then looks at the folder: every name
that a reader would take for an adapter has to verify, and every one that the process had reported as published has to be there. Then each
of the 25 damaged or hostile adapters that peft 0.21.2 was measured on, and the others of `tests/adapters/bad.py`, is offered to what
serves requests: `verify` first, and what passes is loaded on a model that it would fit. A good one has to be loaded, or nothing is proved.
Killing shows what a process can't lose, not what a power cut can: for that, the order of the writes is tested with the unit tests.

`--json` prints one object on the last line:
  trials                kills
  half                  folders under an adapter's name that did not verify, over all trials
  lost                  adapters reported as published that were not there
  published, swept      adapters that were there at the end, unfinished stages that were swept away: kills that fell into a publication
  bad_variants_tried    bad adapters offered
  bad_variants_loaded   of these, loaded; 0 is the only good answer
  measured_on_peft      of the tried ones, those that PEFT's own behaviour was measured on
  code_run              of the tried ones, those that ran code of theirs
  seed                  of the moments of the kills
"""

import argparse
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seal_agent.adapters.artefact import sweep, verify
from seal_agent.errors import IntegrityError
from tests.adapters.bad import CANARY, VARIANTS, Build
from tests.adapters.forge import BASE, LAYERS, WIDTH, good, lie, names, safetensors, tensors
from tests.adapters.processes import publish_until_killed

TRIALS, QUICK_TRIALS = 60, 6
LONGEST_WAIT = 0.02
"""Seconds from a publication to the kill: about two publications."""
MEASURED = frozenset(
    {
        "truncated",
        "zero bytes",
        "rank mismatch",
        "another width",
        "unknown peft_type",
        "a config that is no JSON",
        "no config",
        "no targets",
        "pickled weights as safetensors",
        "a header of 2**40 bytes",
        "overlapping tensors",
        "half the tensors missing",
        "all keys renamed",
        "no tensors at all",
        "a layer missing",
        "an unknown config key",
        "32 flipped bytes",
        "a NaN",
        "an infinity",
        "weights times a million",
        "alpha times a million",
        "other base weights",
        "another base's name",
        "pickled weights beside",
        "a pattern that never returns",
    }
)
"""The 25, by their names in `tests/adapters/bad.py`; "another width" is made here, because only the model tells."""


def kill(trials: int, seed: int, root: Path) -> dict[str, int]:
    """Publish and kill; count what a reader would have seen."""
    context = multiprocessing.get_context("fork")
    moments = random.Random(seed)
    acknowledged: set[str] = set()
    half = swept = 0
    for trial in range(trials):
        ours, theirs = context.Pipe()
        child = context.Process(target=publish_until_killed, args=(root, trial * 1_000_000 + 1, theirs))
        child.start()
        theirs.close()
        acknowledged.add(ours.recv())
        time.sleep(moments.uniform(0.0, LONGEST_WAIT))
        child.kill()
        child.join()
        acknowledged |= received(ours)
        half += sum(not is_whole(root / name) for name in names(root) if not name.startswith("."))
        swept += len(sweep(root))
    left = set(names(root))
    return {"trials": trials, "half": half, "lost": len(acknowledged - left), "published": len(left), "swept": swept}


def received(pipe: Any) -> set[str]:  # Any: a connection of multiprocessing
    found: set[str] = set()
    try:
        while pipe.poll():
            found.add(pipe.recv())
    except EOFError:
        pass
    return found


def is_whole(folder: Path) -> bool:
    try:
        verify(folder, BASE)
    except IntegrityError:
        return False
    return True


def offer(root: Path) -> dict[str, int]:
    """Offer every bad adapter, and one good one; raise `AssertionError` where the good one is refused."""
    from tests.chat_models import open_chat_model, save_chat_model  # torch, which the killed processes must not carry

    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    folder = save_chat_model(root / "model", "Llama", 0, hidden_size=WIDTH, num_hidden_layers=len(LAYERS), **heads)
    model = open_chat_model(folder)

    def loads(folder: Path, name: str) -> bool:
        try:
            verify(folder, BASE)
            model.load_adapter(name, folder)
        except IntegrityError:
            return False
        return True

    (root / "good").mkdir()
    assert loads(good(root / "good"), "good"), "the good adapter was refused, so refusing the bad ones proves nothing"
    loaded = ran = 0
    offered = [(name, build) for name, build, _ in VARIANTS] + [("another width", another_width)]
    for number, (name, build) in enumerate(offered):
        loaded += loads(built(build, root / str(number)), name)
        ran += (root / str(number) / CANARY).exists()
    model.close()
    assert {name for name, _ in offered} >= MEASURED
    return {"bad_variants_tried": len(offered), "bad_variants_loaded": loaded, "measured_on_peft": len(MEASURED), "code_run": ran}


def another_width(root: Path) -> Path:
    """Tensors that agree with one another and fit no layer of the model: not to be seen from the files alone."""
    return lie(root, safetensors({name: np.concatenate([a, a], axis=int(".lora_A." in name)) for name, a in tensors().items()}))


def built(build: Build, folder: Path) -> Path:
    folder.mkdir()
    return build(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="publish", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_TRIALS} kills instead of {TRIALS}")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--trials", type=int, help="kills")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills (0)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        (root := Path(folder) / "killed").mkdir()
        (offers := Path(folder) / "offered").mkdir()
        figures = kill(options.trials or (QUICK_TRIALS if options.quick else TRIALS), options.seed, root)
        figures |= offer(offers) | {"seed": options.seed}
    for name, value in figures.items():
        print(f"{name:>20} {value}")
    if options.json:
        print(json.dumps(figures))
    return 1 if figures["half"] or figures["lost"] or figures["bad_variants_loaded"] or figures["code_run"] else 0


if __name__ == "__main__":
    sys.exit(main())
