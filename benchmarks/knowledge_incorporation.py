"""Knowledge incorporation on SEAL's passages: its own inner loop and ours on the same self-edits, closed book.

    python -m benchmarks.knowledge_incorporation squad100_base_implications.json [more.json ...]
        [--only ARM ...] [--passages N] [--skip N] [--quick] [--json] [--seed N] [--model ID] [--out FILE] [--minutes M]

Each file holds passages with questions and self-edits of one writer, as released with SEAL (its first self-edit is used). For every
passage each arm trains an adapter of its own from the base (SEAL's single-passage setting) and answers the passage's questions greedily
with nothing but the title; our local grader judges. Arms: `base`; `passage` and `seal:<file>`, SEAL's recipe on the passage alone and with
the self-edit; `ours:<file>`, the package's trainer on the sentences of the same texts, each asked for by some of its words (a self-edit of
questions and answers by its questions), with a tenth anchors. Its defaults are for nights; for one passage rate, passes and batch are
its own (`OURS`), as SEAL's are for its setting, chosen on passages that are not among the first 25, and there is no least number of
anchors, which is for the rest of what an agent does. `--quick` is 2 passages of the first file. Default: 25 passages; on two cores SEAL's
recipe takes minutes for each, so `--out` keeps what is done, every reply with it, `--minutes` ends in good time, and the same command goes
on; only passages with all arms done count. `--only` names arms to run beside the base, such as `ours:squad100_iter2_implications.json`.

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

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import portions
from benchmarks.grader import interval
from benchmarks.passages import Passage, asked, our_examples, read, seal_examples
from benchmarks.portions import Portions
from benchmarks.reporting import report
from seal_agent.chat import question_prompt
from seal_agent.consolidation.evaluation import Examiner
from seal_agent.consolidation.grading import PhraseGrader
from seal_agent.consolidation.inner_loop import anchor_count, anchors
from seal_agent.errors import SealAgentError, UsageError
from seal_agent.models.local import LocalModel
from seal_agent.protocols import Trainer
from seal_agent.trainers.lora import LoraTrainer
from seal_agent.trainers.seal import PADDED, PADDED_ON_CPU, SealTrainer
from seal_agent.types import Example, silent

ANSWER_TOKENS = 64
"""As in SEAL's evaluation."""
OURS = {"batch_size": 2, "learning_rate": 3e-3, "max_passes": 3, "anchor_share": 0.1, "min_anchors": 0}
"""For one passage alone: smaller and bolder steps than for a night, since there are few. Chosen on passages 41 to 46."""
PASSAGES, QUICK_PASSAGES = 25, 2

Row = dict[str, Any]
"""Of one arm on one passage: its replies, which are right, how many steps in how many seconds, and for the base which are stably right."""


class Bench:
    """The model, who judges it, and what is done so far."""

    def __init__(self, model: LocalModel, seed: int, folder: Path, kept: Portions) -> None:
        self.model = model
        self.seed = seed
        self.settings = portions.training(seed=seed, **OURS)
        self._kept = kept
        self._grader = PhraseGrader()
        self._examiner = Examiner(model=model, grader=self._grader, system_prompt="", cache=folder)

    def ask(self, passage: Passage, adapter: str | None, *, other_wording: bool = False) -> Row:
        prompts = [
            question_prompt("", f"{passage.title}: {question.text}") if other_wording else asked(passage.title, question.text)
            for question in passage.questions
        ]
        replies = self.model.generate(prompts, adapter=adapter, max_tokens=ANSWER_TOKENS)
        right = [self._grader.grade(q, reply.text).correct for q, reply in zip(passage.questions, replies, strict=True)]
        return {"right": right, "replies": [reply.text for reply in replies]}

    def run(self, arm: str, place: int, passage: Passage) -> Row | None:
        """One arm on one passage: trained, asked and kept; None when there is no time left to begin it."""
        unit = f"{place}/{arm}"
        if not self._kept.wants(unit):
            return None
        row: Row = self._kept.result(unit, lambda: self._base(passage) if arm == "base" else self._trained(arm, passage))
        report(
            f"passage {place + 1} {arm}: {sum(row['right'])} of {len(row['right'])} right, {row['steps']} steps in {row['seconds']:.0f} s"
        )
        return row

    def _base(self, passage: Passage) -> Row:
        again, first = self.ask(passage, None, other_wording=True), self.ask(passage, None)
        stable = [one and other for one, other in zip(first["right"], again["right"], strict=True)]
        return {**first, "stable": stable, "steps": 0, "seconds": 0.0}

    def _trained(self, arm: str, passage: Passage) -> Row:
        trainer, examples = self._recipe(arm, passage)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "adapter"
            result = trainer.train(examples, probes=(), out=out, seed=self.seed, progress=silent, should_stop=lambda: False)
            self.model.load_adapter(arm, out)
            answers = self.ask(passage, arm)
            self.model.unload_adapter(arm)
        return {**answers, "steps": result.steps, "seconds": result.seconds}

    def _recipe(self, arm: str, passage: Passage) -> tuple[Trainer, list[Example]]:
        """Who trains an arm, and on what."""
        if arm.startswith("ours:"):
            examples = our_examples(passage)
            count = anchor_count(len(examples), self.settings)
            return LoraTrainer(self.model, self.settings), [*examples, *anchors(count, self._examiner, self.settings)]
        return SealTrainer(self.model, self.settings), seal_examples(passage, with_edit=arm != "passage")


def arms_of(files: dict[str, list[Passage]], only: Sequence[str] | None) -> dict[str, list[Passage]]:
    """Every arm, or the base and those named, with its passages; raise `UsageError` for an arm that there is not."""
    first = next(iter(files.values()))
    arms = {"base": first, "passage": first} | {f"{who}:{file}": passages for file, passages in files.items() for who in ("ours", "seal")}
    unknown = [name for name in only or () if name not in arms]
    if unknown:
        raise UsageError(f"There is no arm {unknown[0]!r}; these files give {', '.join(arms)}.")
    return {name: passages for name, passages in arms.items() if only is None or name in ("base", *only)}


def measure(model: LocalModel, arms: dict[str, list[Passage]], seed: int, folder: Path, kept: Portions, first: int = 0) -> dict[str, Any]:
    """Run every arm on every passage there is time for; return the object that `--json` prints. The base's answers are kept in `folder`.

    `first` is the place of the first passage in its file.
    """
    bench = Bench(model, seed, folder, kept)
    rows: dict[str, list[Row]] = {arm: [] for arm in arms}
    for place in range(len(arms["base"])):
        done = {arm: bench.run(arm, first + place, passages[place]) for arm, passages in arms.items()}
        for arm, row in done.items():
            if row is not None and None not in done.values():
                rows[arm].append(row)
    base, stable = [row["right"] for row in rows["base"]], [row["stable"] for row in rows["base"]]
    return {
        "model": model.id,
        "passages": len(base),
        "questions": sum(map(len, base)),
        "arms": {arm: summary(arm, found, base, stable, seed) for arm, found in rows.items()} if base else {},
        "stably_right": sum(map(sum, stable)),
        "padded_to": PADDED_ON_CPU if model.device.type == "cpu" else PADDED,
        "grader": "PhraseGrader",
        "trials": 1,
        "seeds": [seed],
    }


def summary(arm: str, rows: Sequence[Row], base: list[list[bool]], stable: list[list[bool]], seed: int) -> dict[str, Any]:
    """One arm's figures: see the module's docstring for each."""
    right: list[list[bool]] = [row["right"] for row in rows]
    changes = [[float(now) - float(before) for now, before in zip(*pair, strict=True)] for pair in zip(right, base, strict=True)]
    count = sum(map(len, right))
    still = [now for row, marks in zip(right, stable, strict=True) for now, mark in zip(row, marks, strict=True) if mark]
    shown = [list(map(float, row)) for row in right] if arm == "base" else changes
    return {
        "accuracy": sum(map(sum, right)) / count,
        "gain": sum(map(sum, changes)) / count,
        "kept": sum(still) / len(still) if still else None,
        "seconds": sum(row["seconds"] for row in rows),
        "ci95": interval(shown, seed) if len(right) > 1 else None,
    }


def show(figures: dict[str, Any]) -> None:
    print(
        f"SEAL's recipe padded to {figures['padded_to']:,} tokens; {figures['questions']} questions, {figures['stably_right']} stably right"
    )
    for arm, found in figures["arms"].items():
        print(f"{arm:>45}  right {found['accuracy']:.1%}  gain {found['gain']:+.1%}  kept {found['kept']}  {found['seconds']:.0f} s")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = portions.parser("knowledge_incorporation", __doc__, quick=f"{QUICK_PASSAGES} passages of the first file")
    parser.add_argument("files", type=Path, nargs="+", help="passages with self-edits, JSON; the first file's questions are asked")
    parser.add_argument("--only", nargs="+", metavar="ARM", help="these arms and the base only")
    parser.add_argument("--passages", type=portions.count, help=f"passages of each file ({PASSAGES})")
    parser.add_argument("--skip", type=int, default=0, help="passages of each file to leave out first (0)")
    parser.add_argument("--seed", type=int, default=0, help="of training and the bootstrap (0)")
    options = parser.parse_args(arguments)
    if options.skip < 0:
        parser.error(f"--skip {options.skip}: no passage stands before the first")
    count, seed = options.passages or (QUICK_PASSAGES if options.quick else PASSAGES), options.seed
    try:
        files = {
            file.name: read(file, options.skip + count)[options.skip :] for file in (options.files[:1] if options.quick else options.files)
        }
        arms = arms_of(files, options.only)
    except SealAgentError as error:
        report(str(error))
        return 2
    conditions = {"seed": seed, "first": options.files[0].name}
    return portions.run(options, conditions, lambda model, folder, kept: measure(model, arms, seed, folder, kept, options.skip), show)


if __name__ == "__main__":
    sys.exit(main())
