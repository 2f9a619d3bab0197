"""Knowledge incorporation on SEAL's passages: its own inner loop and ours on the same self-edits, closed book.

    python -m benchmarks.knowledge_incorporation squad100_base_implications.json [more.json ...]
        [--passages N] [--quick] [--json] [--seed N] [--model ID]

Each file holds passages with questions and self-edits of one writer, as released with SEAL (its first self-edit is used). For every
passage each arm trains an adapter of its own from the base (SEAL's single-passage setting) and answers the passage's questions greedily
with nothing but the title; our local grader judges. Arms: `base`; `passage` and `seal:<file>`, SEAL's recipe on the passage alone and
with the self-edit; `ours:<file>`, the package's trainer with its defaults on the same texts, with blanks to fill in drawn from their
sentences, and anchors. `--quick` is 2 passages of the first file. Default: 25 passages; on two cores SEAL's recipe takes minutes for each.

`--json` prints one object on the last line:
  model, passages, questions   what ran, and how many questions the figures stand on
  arms.<name>.accuracy         share of questions answered right
  arms.<name>.gain             accuracy less that of `base`
  arms.<name>.ci95             95 % interval of the gain (of the accuracy for `base`) by bootstrap over passages; null for one passage
  arms.<name>.kept             of the questions that the base has stably right - in both of two wordings - the share that is still right;
                               null where there are none
  arms.<name>.seconds          wall time of training, all passages together. The base's answers to the anchors' prompts are asked once for
                               all passages and are in nobody's figure
  stably_right                 how many questions `kept` stands on
  padded_to                    tokens that SEAL's recipe pads to: 2,048 on a GPU, 256 on a CPU, where it would take hours otherwise
  grader, trials, seeds        who judged; 1; the seed

Verdicts are those of a grader that knows phrases only: see `benchmarks.grader` for how often it disagrees with GPT-4.1.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from benchmarks.grader import interval
from benchmarks.passages import Passage, asked, our_examples, read, seal_examples
from seal_agent.chat import question_prompt
from seal_agent.config import ModelSettings, TrainingSettings
from seal_agent.consolidation.evaluation import Examiner
from seal_agent.consolidation.grading import PhraseGrader
from seal_agent.consolidation.inner_loop import anchor_count, anchors
from seal_agent.errors import SealAgentError
from seal_agent.models.local import LocalModel
from seal_agent.models.weights import resolve
from seal_agent.protocols import Trainer
from seal_agent.trainers.lora import LoraTrainer
from seal_agent.trainers.seal import PADDED, PADDED_ON_CPU, SealTrainer
from seal_agent.types import Example, Question, silent

MODEL = "smollm2-135m-instruct"
ANSWER_TOKENS = 64
"""As in SEAL's evaluation."""
PASSAGES, QUICK_PASSAGES = 25, 2

Prompt = Callable[[Passage, Question], Any]


class Bench:
    """The model, who judges it, and the arms' answers so far: per arm and passage, which questions were right."""

    def __init__(self, model: LocalModel, seed: int, folder: Path) -> None:
        self.model = model
        self.seed = seed
        self.settings = TrainingSettings(seed=seed)
        self._folder = folder
        self._grader = PhraseGrader()
        self._examiner = Examiner(model=model, grader=self._grader, system_prompt="", cache=folder)
        self.right: dict[str, list[list[bool]]] = {}
        self.seconds: dict[str, float] = {}

    def ask(self, passage: Passage, adapter: str | None, *, other_wording: bool = False) -> list[bool]:
        prompts = [
            question_prompt("", f"{passage.title}: {question.text}") if other_wording else asked(passage.title, question.text)
            for question in passage.questions
        ]
        replies = self.model.generate(prompts, adapter=adapter, max_tokens=ANSWER_TOKENS)
        return [self._grader.grade(q, reply.text).correct for q, reply in zip(passage.questions, replies, strict=True)]

    def run(self, arm: str, place: int, passage: Passage, trainer: Trainer, examples: Sequence[Example]) -> None:
        """Train one arm on one passage and ask it."""
        name = f"{arm}-{place}"
        out = self._folder / name.replace(":", "-")
        result = trainer.train(examples, probes=(), out=out, seed=self.seed, progress=silent, should_stop=lambda: False)
        self.model.load_adapter(name, out)
        answers = self.ask(passage, name)
        self.model.unload_adapter(name)
        self.right.setdefault(arm, []).append(answers)
        self.seconds[arm] = self.seconds.get(arm, 0.0) + result.seconds
        report(f"passage {place + 1} {arm}: {sum(answers)} of {len(answers)} right, {result.steps} steps in {result.seconds:.0f} s")

    def with_anchors(self, examples: list[Example]) -> list[Example]:
        count = anchor_count(len(examples), self.settings.anchor_share)
        return [*examples, *anchors(count, self._examiner, self.settings)]


def measure(model: LocalModel, files: dict[str, list[Passage]], seed: int, folder: Path) -> dict[str, Any]:
    """Run every arm on every passage; return the object that `--json` prints."""
    bench = Bench(model, seed, folder)
    seal, ours = SealTrainer(model, bench.settings), LoraTrainer(model, bench.settings)
    first = next(iter(files.values()))
    stable: list[list[bool]] = []
    for place, passage in enumerate(first):
        bench.right.setdefault("base", []).append(bench.ask(passage, None))
        again = bench.ask(passage, None, other_wording=True)
        stable.append([one and other for one, other in zip(bench.right["base"][-1], again, strict=True)])
        run = partial(bench.run, place=place, passage=passage)
        run("passage", trainer=seal, examples=seal_examples(passage, with_edit=False))
        for file, passages in files.items():
            edited = passages[place]
            run(f"ours:{file}", trainer=ours, examples=bench.with_anchors(our_examples(edited)))
            run(f"seal:{file}", trainer=seal, examples=seal_examples(edited, with_edit=True))
    return {
        "model": model.id,
        "passages": len(first),
        "questions": sum(len(passage.questions) for passage in first),
        "arms": {arm: summary(right, bench.right["base"], stable, bench.seconds.get(arm, 0.0), seed) for arm, right in bench.right.items()},
        "stably_right": sum(map(sum, stable)),
        "padded_to": PADDED_ON_CPU if model.device.type == "cpu" else PADDED,
        "grader": "PhraseGrader",
        "trials": 1,
        "seeds": [seed],
    }


def summary(right: list[list[bool]], base: list[list[bool]], stable: list[list[bool]], seconds: float, seed: int) -> dict[str, Any]:
    """One arm's figures: see the module's docstring for each."""
    changes = [[float(now) - float(before) for now, before in zip(*pair, strict=True)] for pair in zip(right, base, strict=True)]
    count = sum(map(len, right))
    still = [now for row, marks in zip(right, stable, strict=True) for now, mark in zip(row, marks, strict=True) if mark]
    shown = [list(map(float, row)) for row in right] if right is base else changes
    return {
        "accuracy": sum(map(sum, right)) / count,
        "gain": sum(map(sum, changes)) / count,
        "kept": sum(still) / len(still) if still else None,
        "seconds": seconds,
        "ci95": interval(shown, seed) if len(right) > 1 else None,
    }


def report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="knowledge_incorporation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", help="passages with self-edits, JSON; the first file's questions are asked")
    parser.add_argument("--passages", type=int, help=f"passages of each file ({PASSAGES})")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PASSAGES} passages of the first file")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--seed", type=int, default=0, help="of training and the bootstrap (0)")
    parser.add_argument("--model", default=MODEL, help=f"hub id or folder ({MODEL})")
    options = parser.parse_args(arguments)
    count = options.passages or (QUICK_PASSAGES if options.quick else PASSAGES)
    try:
        files = {file.name: read(file, count) for file in (options.files[:1] if options.quick else options.files)}
        with tempfile.TemporaryDirectory() as folder:
            model = LocalModel(resolve(options.model), options.model, ModelSettings())
            figures = measure(model, files, options.seed, Path(folder))
    except SealAgentError as error:
        report(str(error))
        return 2
    print(
        f"SEAL's recipe padded to {figures['padded_to']:,} tokens; {figures['questions']} questions, {figures['stably_right']} stably right"
    )
    for arm, found in figures["arms"].items():
        print(f"{arm:>45}  right {found['accuracy']:.1%}  gain {found['gain']:+.1%}  kept {found['kept']}  {found['seconds']:.0f} s")
    if options.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
