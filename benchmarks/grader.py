"""Agreement of the local grader with verdicts of GPT-4.1 on answers to SQuAD questions.

    python -m benchmarks.grader graded_answers.json [--quick] [--json] [--seed N]

The file is SEAL's released gradings as a list of {title, question, gold, answer, correct}; get it from SEAL's repository. No model runs:
a few seconds. `--quick` judges 500 of them, drawn with the seed.

`--json` prints one object on the last line:
  agreement, n, ci95     share of answers with the same verdict, of how many, and its 95 % interval by bootstrap over titles, because
                         answers to one question are alike
  false_right            share of all answers that only the local grader calls right
  false_wrong            share of all answers that only GPT-4.1 calls right: paraphrases, mostly
  right_gpt, right_local share called right by each: what the disagreement does to an accuracy
  trials, seeds          1, and the seed of the draw and the bootstrap

It says nothing of answers in other languages, or longer than the 64 tokens that were graded.
"""

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seal_agent.consolidation.grading import PhraseGrader
from seal_agent.types import Question

QUICK = 500
DRAWS = 1000


def interval(groups: Sequence[Sequence[float]], seed: int) -> tuple[float, float]:
    """95 % of the mean over all members, by drawing whole groups again with replacement."""
    order = random.Random(seed)
    means = []
    for _ in range(DRAWS):
        drawn = [value for group in order.choices(groups, k=len(groups)) for value in group]
        means.append(sum(drawn) / len(drawn))
    means.sort()
    return means[round(0.025 * (DRAWS - 1))], means[round(0.975 * (DRAWS - 1))]


def measure(rows: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Judge every answer and compare; see the module's docstring for the keys."""
    grader = PhraseGrader()
    by_title: dict[str, list[float]] = defaultdict(list)
    verdicts: list[tuple[bool, bool]] = []
    for number, row in enumerate(rows):
        question = Question(id=str(number), text=row["question"], answers=(row["gold"],))
        verdicts.append((grader.grade(question, row["answer"]).correct, row["correct"]))
        by_title[row["title"]].append(float(verdicts[-1][0] == verdicts[-1][1]))
    count = len(verdicts)
    return {
        "agreement": sum(ours == theirs for ours, theirs in verdicts) / count,
        "n": count,
        "ci95": interval(list(by_title.values()), seed),
        "false_right": sum(ours and not theirs for ours, theirs in verdicts) / count,
        "false_wrong": sum(theirs and not ours for ours, theirs in verdicts) / count,
        "right_gpt": sum(theirs for _, theirs in verdicts) / count,
        "right_local": sum(ours for ours, _ in verdicts) / count,
        "trials": 1,
        "seeds": [seed],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="grader", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("graded", type=Path, help="SEAL's graded answers, JSON")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} answers")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--seed", type=int, default=0, help="of the draw and the bootstrap (0)")
    options = parser.parse_args(arguments)
    try:
        rows = json.loads(options.graded.read_text(encoding="utf-8"))
        chosen = random.Random(options.seed).sample(rows, min(QUICK, len(rows))) if options.quick else rows
        figures = measure(chosen, options.seed)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        print(f"{options.graded} is no file of graded answers: {error!r}", file=sys.stderr)
        return 2
    for name, value in figures.items():
        print(f"{name:>12} {value}")
    if options.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
