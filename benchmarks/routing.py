"""Text, weights, both, or what the router takes: how often is the answer right, and what does the prompt cost?

    python -m benchmarks.routing [--quick] [--json] [--brain DIR] [--week NAME] [--customers A,B] [--general N] [--minutes N] [--seed N]

The customers' week is recorded, one night is held for each of them (minutes on two cores), and their gold questions, which nothing but an
evaluation reads, are asked four times: with the remembered text in the prompt and the base model (`text`), with the live adapter and
nothing in the prompt (`weights`), with both (`both`), and as `ask` does it by itself (`auto`), which chooses among these and the bare base
model by a calibration that is fitted on the night's own held-out questions. So are general questions that were neither among the anchors of
training nor among those that the night fitted its calibration on, dealt out to the customers' scopes. Greedy decoding: one run has no
spread, so the standard error of each accuracy is that of drawing so many questions.

A brain that is kept with `--brain` is gone on with: what is recorded is not recorded again, a customer with an adapter has no second night,
and answers are kept in a file beside it, so that with `--minutes` it is done in portions: the figures are of what was asked so far.
`--quick` asks half of the general questions.

`--json` prints one object on the last line:
  routes.<text|weights|both|auto>.accuracy        share of right answers, gold and general questions together
  routes.<...>.accuracy_gold, accuracy_general    the same by kind
  routes.<...>.standard_error                     of the accuracy, by the number of questions
  routes.<...>.prompt_tokens                      of all prompts together, as the traces count them
  taken                                           how often `auto` took which way, by kind of question; `abstained` asked no model
  wrong_by_auto                                   gold questions that another route had right and `auto` wrong, with its reason
  both_at_least, token_share, accuracy_held       both >= the better of text and weights; auto's prompt tokens over text's; auto >= text
  customers, gold, general, trials, seeds         what was asked; trials is 1
"""

import argparse
import json
import math
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from benchmarks.reporting import report
from seal_agent.cli.demo import read_week
from seal_agent.cli.demo_run import AGENT, Week, question_of, record
from seal_agent.consolidation.bundled import general_questions
from seal_agent.consolidation.grading import PhraseGrader
from seal_agent.memory import Memory
from seal_agent.scope import Scope
from seal_agent.types import Answer, Progress, Question, Route

ROUTES: tuple[Route, ...] = ("text", "weights", "both", "auto")
GENERAL = 40
BATCH = 4
"""Questions asked at once: some seconds on two cores where each has a context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question, asked one way, and what its trace says."""

    question: str
    is_gold: bool
    right: bool
    said: str
    way: str
    why: str
    prompt_tokens: int


class Kept:
    """What was asked already, in a file beside the brain, so that a run that was cut off is gone on with."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rows: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.exists() else {}  # Any: fields of `Asked`

    def ask(self, scope: Scope, asked: Sequence[tuple[Question, bool]], route: Route) -> list[Asked]:
        """Ask a batch one way, unless that was done before."""
        live = scope.adapters.live
        keys = [f"{live.name if live else None} {route} {question.text}" for question, _ in asked]
        missing = [place for place, key in enumerate(keys) if key not in self._rows]
        answers = scope.ask_many([asked[place][0].text for place in missing], use=route) if missing else []
        for place, answer in zip(missing, answers, strict=True):
            self._rows[keys[place]] = asdict(told(asked[place][0], asked[place][1], answer))
        self._file.write_text(json.dumps(self._rows))
        return [Asked(**self._rows[key]) for key in keys]


def told(question: Question, is_gold: bool, answer: Answer) -> Asked:
    return Asked(
        question=question.text,
        is_gold=is_gold,
        right=PhraseGrader().grade(question, answer.text).correct,
        said=answer.text,
        way="abstained" if answer.trace.abstained else answer.trace.route,
        why=answer.trace.why,
        prompt_tokens=answer.trace.prompt_tokens,
    )


def night(scope: Scope, sessions: Sequence[dict[str, Any]]) -> None:  # Any: rows of the example files
    """Have a customer's week learnt, unless it was before."""
    record(scope, sessions)
    live = scope.adapters.live
    if live is not None and live.scope == scope.id:
        return
    outcome = scope.consolidate(progress=say)
    report(f"{scope.id.key}: {outcome.state}, {outcome.reason}")
    if outcome.state != "promoted":
        raise SystemExit(f"The night of {scope.id.key!r} was {outcome.state}: {outcome.reason}. There are no weights to route to.")


def say(step: Progress) -> None:
    if step.done in (0, step.total):
        report(f"{step.stage} {step.done} of {step.total}")


def dealt(week: Week, count: int, seed: int) -> dict[str, list[Question]]:
    """General questions for each customer, no two of them the same."""
    drawn = random.Random(seed).sample(general_questions("extra_questions"), count)
    names = list(week)
    return {name: drawn[place :: len(names)] for place, name in enumerate(names)}


def share(asked: Sequence[Asked]) -> float | None:
    return sum(one.right for one in asked) / len(asked) if asked else None


def figures(asked: Sequence[Asked]) -> dict[str, float | None]:
    accuracy = share(asked) or 0.0
    return {
        "accuracy": accuracy,
        "accuracy_gold": share([one for one in asked if one.is_gold]),
        "accuracy_general": share([one for one in asked if not one.is_gold]),
        "standard_error": math.sqrt(accuracy * (1 - accuracy) / len(asked)),
        "prompt_tokens": sum(one.prompt_tokens for one in asked),
    }


def taken(asked: Sequence[Asked]) -> dict[str, dict[str, int]]:
    """How often each way was taken, for gold and for general questions."""
    ways = {kind: Counter(one.way for one in asked if one.is_gold == (kind == "gold")) for kind in ("gold", "general")}
    return {kind: dict(sorted(counted.items())) for kind, counted in ways.items()}


def compared(results: dict[Route, list[Asked]], customers: Sequence[str], seed: int) -> dict[str, Any]:
    routes = {route: figures(asked) for route, asked in results.items()}
    accuracy = {route: float(found["accuracy"] or 0.0) for route, found in routes.items()}
    tokens = {route: float(found["prompt_tokens"] or 0.0) for route, found in routes.items()}
    others = zip(*(results[route] for route in ROUTES[:3]), strict=True)
    lost = [auto for auto, known in zip(results["auto"], others, strict=True) if not auto.right and any(one.right for one in known)]
    gold = sum(one.is_gold for one in results["auto"])
    return {
        "routes": routes,
        "taken": taken(results["auto"]),
        "wrong_by_auto": [{"question": one.question, "said": one.said, "route": one.way, "why": one.why} for one in lost],
        "both_at_least": accuracy["both"] >= max(accuracy["text"], accuracy["weights"]),
        "token_share": tokens["auto"] / tokens["text"],
        "accuracy_held": accuracy["auto"] >= accuracy["text"],
        "customers": list(customers),
        "gold": gold,
        "general": len(results["auto"]) - gold,
        "trials": 1,
        "seeds": [seed],
    }


def measure(folder: Path, week: Week, general: int, seed: int, seconds: float = math.inf) -> dict[str, Any]:
    """Ask each batch all four ways before the next one, the customers' own questions first: cut off, it compares what it asked."""
    kept = Kept(folder.parent / f"{folder.name}-routing.json")
    results: dict[Route, list[Asked]] = {route: [] for route in ROUTES}
    with Memory.open(folder) as memory:
        scopes = {name: memory.scope(user=name, agent=AGENT) for name in week}
        for name, (sessions, _) in week.items():
            night(scopes[name], sessions)
        ends = time.monotonic() + seconds
        for scope, batch in batches_of(scopes, week, dealt(week, general, seed)):
            if time.monotonic() > ends and results["auto"]:
                report("--minutes is over: the figures are of a part")
                break
            for route in ROUTES:
                results[route] += kept.ask(scope, batch, route)
            report(f"{len(results['auto'])} asked: " + ", ".join(f"{route} {sum(o.right for o in results[route])}" for route in ROUTES))
    return compared(results, list(week), seed)


def batches_of(
    scopes: dict[str, Scope], week: Week, general: dict[str, list[Question]]
) -> Iterator[tuple[Scope, list[tuple[Question, bool]]]]:
    """Yield questions for one scope at a time, each with whether it is about the customer; those of all customers come first."""
    of_customers = ((scopes[name], [(question_of(row), True) for row in gold]) for name, (_, gold) in week.items())
    others = ((scopes[name], [(question, False) for question in questions]) for name, questions in general.items())
    for scope, questions in (*of_customers, *others):
        for start in range(0, len(questions), BATCH):
            yield scope, questions[start : start + BATCH]


def show(found: dict[str, Any]) -> None:
    print(f"{'route':8} {'right':>7} {'gold':>7} {'general':>8} {'prompt tokens':>14}")
    for route, row in found["routes"].items():
        shares = [f"{100 * row[key]:.1f} %" if row[key] is not None else "-" for key in ("accuracy", "accuracy_gold", "accuracy_general")]
        print(f"{route:8} {shares[0]:>7} {shares[1]:>7} {shares[2]:>8} {row['prompt_tokens']:>14,.0f}")
    print(f"auto took {found['taken']}; {100 * found['token_share']:.0f} % of the prompt tokens of text")
    for lost in found["wrong_by_auto"]:
        print(f"lost: {lost['question']} -> {lost['said']!r} by {lost['route']}: {lost['why']}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="routing", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="half of the general questions")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--brain", type=Path, help="keep the brain here, or use the one that is there; else a temporary one")
    parser.add_argument("--week", default="support_week")
    parser.add_argument("--customers", default="bruno", help="customers of the week, by comma (bruno)")
    parser.add_argument("--general", type=int, default=GENERAL, help="general questions (40)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no further batch after so long")
    parser.add_argument("--seed", type=int, default=0, help="which general questions (0)")
    given = parser.parse_args(arguments)
    week = read_week(given.week, given.customers)
    with tempfile.TemporaryDirectory() as folder:
        brain, general = given.brain or Path(folder) / "brain", given.general // 2 if given.quick else given.general
        found = measure(brain, week, general, given.seed, 60 * given.minutes)
    show(found)
    if given.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
