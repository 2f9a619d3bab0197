"""Tokens per processor-second of LoRA training: seal-agent's trainer, TRL's, and what the machine's matrix products allow.

    pip install 'seal-agent[bench]'
    python -m benchmarks.training_throughput [--quick] [--json] [--trials N] [--documents N] [--seed N] [--threads N]

One process, on the CPU. A trial gives the same documents to every arm, one arm after the other (matrix products, ours, TRL, ...), so
that all arms meet the same machine; the next trial takes other documents. Before the first trial each arm trains on one document, which
is dropped, and so is in every trial what comes before the first step: loading, tokenising, attaching the LoRA.
A useful token is no padding and went through the model forward and backward; what documents of a batch begin with in common counts for each
of them, though ours runs it once. A processor-second is user plus system time of all
threads: other programs hardly change it, while they do change wall time.

The LoRA (rank, alpha, every linear layer of every decoder layer), learning rate, batch size (8, TRL's default) and loss (answers only)
are the same for `ours` and TRL's arms. Otherwise each trainer runs as it comes: its own order of the documents, output head, optimiser.
`--quick` is 2 trials of 32 documents; an arm whose first trial took over half a processor-minute is then not run again.

`--json` prints one object on the last line:
  tokens_per_s, trl_tokens_per_s    useful tokens per processor-second, medians over the trials; `trl` is TRL with its defaults
                                    (bfloat16 autocast, gradient checkpointing, random order), `use_cpu=True` added
  ratio_to_trl                      ours over TRL's defaults. Without native bfloat16 those are very slow and whoever watches changes
                                    them, so never quote it without ratio_to_best_trl
  best_trl, best_trl_tokens_per_s,  the fastest of TRL's arms here: no checkpointing, documents in batches of similar length (sorted
  ratio_to_best_trl                 for it), in float32, and also with bfloat16 weights where the processor multiplies bfloat16
                                    natively; and ours over it
  default_tokens_per_s              arm `ours_default`, the package's own defaults: LoRA in the upper half of the layers only, its own
                                    batch size. It trains less than TRL does here, so it is set against nothing. The lower half's
                                    one run over the documents is counted, shared out among the default number of passes
  gemm_fraction                     operations of our steps (`training_flops.py`; what was run once counts once) per processor-second over
                                    those of plain matrix products of the model's shapes at 512 rows, same dtype and threads, measured
                                    right before: median
  gflops, gemm_gflops               the two rates of that fraction, in 1e9 operations per processor-second
  labelled_share                    answer tokens / useful tokens: the output head runs on answers only
  wall_tokens_per_s                 per arm the median per wall second: whatever else the machine does is in it
  blocks, spread                    per arm each trial's tokens per processor-second, and (largest - smallest) / median of them;
                                    null after one trial
  steps                             optimiser steps per arm, all trials together
  dtype, native_bfloat16, threads, trials, documents, seed, processor, versions    what ran, on what

It says nothing about what is learnt. A GPU is not used: processor-seconds mean nothing there.
"""

import argparse
import importlib.util
import json
import math
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from statistics import median
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not burn the processor time that is measured

import torch

from benchmarks.reporting import report
from benchmarks.training_arms import Meter, arms_of, lengths, make_documents
from benchmarks.training_flops import gemm_rate, shape_of
from seal_agent.config import ModelSettings, TrainingSettings
from seal_agent.errors import SealAgentError
from seal_agent.models.local import LocalModel
from seal_agent.models.weights import resolve

MODEL = "smollm2-135m-instruct"
TRL = "trl==1.16.0"
WARM_UP_DOCUMENTS = 1
QUICK_SECONDS = 30.0


def summarise(blocks: dict[str, list[Meter]], gemm: Sequence[float]) -> dict[str, Any]:
    """The figures that follow from what was measured: see the module's docstring for each."""
    rates = {arm: median(block.rate for block in found) for arm, found in blocks.items()}
    best = max((arm for arm in rates if arm.startswith("trl")), key=rates.__getitem__)
    ours = [block.flops / block.processor for block in blocks["ours"]]
    return {
        "tokens_per_s": rates["ours"],
        "trl_tokens_per_s": rates["trl"],
        "ratio_to_trl": rates["ours"] / rates["trl"],
        "best_trl": best,
        "best_trl_tokens_per_s": rates[best],
        "ratio_to_best_trl": rates["ours"] / rates[best],
        "default_tokens_per_s": rates["ours_default"],
        "gemm_fraction": median(rate / peak for rate, peak in zip(ours, gemm, strict=True)),
        "gflops": median(ours) / 1e9,
        "gemm_gflops": median(gemm) / 1e9,
        "wall_tokens_per_s": {arm: median(block.tokens / block.wall for block in found) for arm, found in blocks.items()},
        "blocks": {arm: [block.rate for block in found] for arm, found in blocks.items()},
        "spread": {arm: spread([block.rate for block in found]) for arm, found in blocks.items()},
        "steps": {arm: sum(block.steps for block in found) for arm, found in blocks.items()},
    }


def spread(values: Sequence[float]) -> float | None:
    return (max(values) - min(values)) / median(values) if len(values) > 1 else None


def measure(trials: int, documents: int, seed: int, *, threads: int, patience: float) -> dict[str, Any]:
    """Run everything and return the object that `--json` prints; an arm whose last trial took over `patience` seconds is left out."""
    model = LocalModel(resolve(MODEL), MODEL, ModelSettings(threads=threads))
    arms = arms_of(model)
    material = make_documents(WARM_UP_DOCUMENTS + trials * documents, seed)
    blocks: dict[str, list[Meter]] = {name: [] for name in arms}
    gemm: list[float] = []
    shape = shape_of(model, TrainingSettings(layer_share=1.0))
    for name, run in arms.items():
        report(f"warm-up {name}: {run(material[:WARM_UP_DOCUMENTS]).rate:.1f} tokens per processor-second (dropped)")
    for trial in range(trials):
        chosen = material[WARM_UP_DOCUMENTS + trial * documents :][:documents]
        gemm.append(gemm_rate(shape, model.dtype))
        for name, run in arms.items():
            if blocks[name] and blocks[name][-1].processor > patience:
                continue
            blocks[name].append(run(chosen))
            report(f"trial {trial + 1} of {trials} {name}: {blocks[name][-1].rate:.1f} tokens per processor-second")
    counted = lengths(model, material)
    return summarise(blocks, gemm) | {
        "labelled_share": sum(answer for _, answer in counted) / sum(length for length, _ in counted),
        "dtype": str(model.dtype).removeprefix("torch."),
        "native_bfloat16": model.dtype is torch.bfloat16,
        "threads": torch.get_num_threads(),
        "trials": trials,
        "documents": documents,
        "seed": seed,
        "processor": platform.processor() or platform.machine(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "trl")},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="training_throughput", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 trials of 32 documents: at most three minutes on two free cores")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--trials", type=int, help="times that every arm runs (5)")
    parser.add_argument("--documents", type=int, help="documents per trial (80)")
    parser.add_argument("--seed", type=int, default=0, help="which documents (0)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves torch's choice")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("trl") is None:
        report(f"This benchmark compares with TRL, which is not installed: pip install '{TRL}', or pip install 'seal-agent[bench]'.")
        return 2
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    trials, documents = (2, 32) if options.quick else (5, 80)
    try:
        figures = measure(
            options.trials or trials,
            options.documents or documents,
            options.seed,
            threads=options.threads,
            patience=QUICK_SECONDS if options.quick else math.inf,
        )
    except SealAgentError as error:
        report(str(error))
        return 2
    for name in (
        "tokens_per_s",
        "trl_tokens_per_s",
        "ratio_to_trl",
        "best_trl",
        "ratio_to_best_trl",
        "default_tokens_per_s",
        "gemm_fraction",
    ):
        print(f"{name:>20} {figures[name]:.2f}" if isinstance(figures[name], float) else f"{name:>20} {figures[name]}")
    if options.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
