"""What the demo does and measures; `demo_show.py` tells it.

Closed book throughout: the prompt holds the question and nothing else. Each missed question is put down to the step that lost it.
"""

import contextlib
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import mean
from typing import Any, Literal, get_args

import psutil

from seal_agent.cli.demo_show import Narrator
from seal_agent.consolidation.grading import PhraseGrader, conveys
from seal_agent.forgetting.records import Receipt
from seal_agent.memory import Memory
from seal_agent.scope import Scope
from seal_agent.types import CycleReport, Fact, Graded, Progress, ProgressCallback, Question

MissedAt = Literal["not_extracted", "no_material", "not_recalled", "stale"]

AGENT = "support"
LOOK_SECONDS = 1.0
"""How often the memory is looked at."""
MEGABYTE = 1 << 20
HITS = 5
"""Search results looked at per question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One gold question over the four phases."""

    customer: str
    question: str
    expected: str
    base: str
    after: str
    right: tuple[bool, bool, bool, bool]
    """Baseline, after the night, rolled back, promoted again."""
    missed_at: MissedAt | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """A fact that was learnt, and what the agent says of it once it is forgotten."""

    customer: str
    fact: str
    question: str
    before: str
    after: str
    still_right: bool
    receipt: Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What the demo took."""

    seconds: float
    megabytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """The figures, as the README documents them; shares are of 1."""

    customers: tuple[str, ...]
    recall_base: float
    recall_after: float
    recall_rolled_back: float
    recall_promoted_again: float
    rollback_bit_equal: bool
    """Whether the answers after rolling back equal the baseline's, and those after rolling forward the night's, to the letter."""
    general_base: float
    general_after: float
    """Mean over the promoted adapters, on 60 questions that are not among the anchors."""
    perplexity_ratio: float
    """Worst of the adapters."""
    missed: dict[MissedAt, int]
    facts_total: int
    facts_learned: int
    promoted: int
    """Customers whose adapter passed the gate."""
    trained_tokens: int
    questions: int
    seconds: float
    peak_rss_mb: float
    """Resident memory of this process and the training process together at its highest; pages that they share count once."""
    rows: tuple[Row, ...]
    forgotten: "Forgotten | None"
    """What was forgotten at the end; None where no question was learnt that the base gets wrong."""

    @property
    def recall(self) -> tuple[float, float, float, float]:
        """Over the four phases."""
        return self.recall_base, self.recall_after, self.recall_rolled_back, self.recall_promoted_again


STEPS: tuple[MissedAt, ...] = get_args(MissedAt)

Week = dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]  # Any: rows of the example files


def run_demo(memory: Memory, week: Week, narrator: Narrator, progress: ProgressCallback) -> DemoResult:
    """Record the week, ask, let the night pass, ask again, roll back, ask, go forward, ask, forget, ask."""
    started = time.perf_counter()
    progress = meter = MemoryMeter(progress)
    scopes = {name: memory.scope(user=name, agent=AGENT) for name in week}
    for name, (sessions, _) in week.items():
        narrator.remembered(scopes[name], record(scopes[name], sessions))
    gold = {name: [question_of(row) for row in questions] for name, (_, questions) in week.items()}
    narrator.searched(*retrievable(scopes, gold), HITS)
    asked = {"base": ask_all(scopes, gold)}
    meter.look()
    narrator.asked("before the night", asked["base"])
    reports = {name: night(scope, narrator, progress) for name, scope in scopes.items()}
    asked["after"] = ask_all(scopes, gold)
    narrator.asked("after the night", asked["after"])
    moved = [scope for name, scope in scopes.items() if reports[name].state == "promoted"]
    for scope in moved:
        scope.adapters.rollback()
    asked["back"] = ask_all(scopes, gold)
    narrator.asked("rolled back", asked["back"])
    for scope in moved:
        scope.adapters.forward()
    asked["again"] = ask_all(scopes, gold)
    narrator.asked("promoted again", asked["again"])
    table = [row for name in week for row in rows_of(name, scopes[name].facts(), reports[name], {k: v[name] for k, v in asked.items()})]
    forgotten = forget_one(scopes, gold, table, narrator)
    return result_of(week, reports, table, asked, forgotten, Used(seconds=time.perf_counter() - started, megabytes=meter.peak_mb))


def forget_one(scopes: dict[str, Scope], gold: dict[str, list[Question]], table: list[Row], narrator: Narrator) -> Forgotten | None:
    """Forget a fact that answers a question only since the night, and ask again, closed book."""
    for row in table:
        scope = scopes[row.customer]
        question = next(item for item in gold[row.customer] if item.text == row.question)
        told = [fact for fact in scope.facts(["learned"]) if any(conveys(fact.quote, answer) for answer in question.answers)]
        if row.right[0] or not row.right[3] or not told:
            continue
        receipt = scope.forget(scope.forget(told[0].id, dry_run=True))
        reply = scope.ask(question.text, use="weights").text
        right = PhraseGrader().grade(question, reply).correct
        forgotten = Forgotten(
            customer=row.customer,
            fact=told[0].text,
            question=row.question,
            before=row.after,
            after=reply,
            still_right=right,
            receipt=receipt,
        )
        narrator.forgotten(forgotten)
        return forgotten
    return None


def record(scope: Scope, sessions: Sequence[dict[str, Any]]) -> int:  # Any: rows of the example file
    """Add a customer's sessions as they happened; return the number of turns."""
    for session in sessions:
        at = datetime.fromisoformat(str(session["started"]).replace("Z", "+00:00"))
        scope.add(session["turns"], session=session["session"], at=at, id=f"{scope.id.user}-{session['session']}")
    return sum(len(session["turns"]) for session in sessions)


def question_of(row: dict[str, Any]) -> Question:  # Any: a row of the example file
    return Question(id=row["id"], text=row["question"], answers=tuple(row["answers"]), stale=tuple(row["stale"]))


def retrievable(scopes: dict[str, Scope], gold: dict[str, list[Question]]) -> tuple[int, int]:
    """Return (questions with an accepted answer in the text of the first hits, all questions): what search finds before any night."""
    found = [
        any(conveys(hit.text, answer) for hit in scopes[name].search(question.text, HITS) for answer in question.answers)
        for name, questions in gold.items()
        for question in questions
    ]
    return sum(found), len(found)


Sheets = dict[str, list[Graded]]


def ask_all(scopes: dict[str, Scope], gold: dict[str, list[Question]]) -> Sheets:
    """Ask every customer's questions closed book of whatever is live for them now."""
    grader = PhraseGrader()
    sheets: Sheets = {}
    for name, scope in scopes.items():
        answers = scope.ask_many([question.text for question in gold[name]], use="weights")
        sheets[name] = [grader.grade(question, answer.text) for question, answer in zip(gold[name], answers, strict=True)]
    return sheets


def night(scope: Scope, narrator: Narrator, progress: ProgressCallback) -> CycleReport:
    narrator.night_begins(scope)
    report = scope.consolidate(progress=progress)
    narrator.night_ended(scope, report)
    return report


def rows_of(name: str, facts: Sequence[Fact], report: CycleReport, asked: dict[str, list[Graded]]) -> list[Row]:
    phases = zip(asked["base"], asked["after"], asked["back"], asked["again"], strict=True)
    return [
        Row(
            customer=name,
            question=base.question.text,
            expected=base.question.answers[0],
            base=base.reply,
            after=after.reply,
            right=(base.correct, after.correct, back.correct, again.correct),
            missed_at=None if after.correct else missed_at(after, facts, report),
        )
        for base, after, back, again in phases
    ]


def missed_at(graded: Graded, facts: Sequence[Fact], report: CycleReport) -> MissedAt:
    """The step that lost a question: extraction, material, training, or an old value that is still told."""
    if graded.stale:
        return "stale"
    documents = {outcome.fact_id: outcome.documents for outcome in report.facts}
    holders = [fact.id for fact in facts if fact.id in documents and any(conveys(fact.quote, a) for a in graded.question.answers)]
    if not holders:
        return "not_extracted"
    return "not_recalled" if any(documents[fact_id] >= LEAST_DOCUMENTS for fact_id in holders) else "no_material"


LEAST_DOCUMENTS = 4
"""The default of self_edit.min_documents_per_fact, which the demo runs with."""


def result_of(
    week: Week, reports: dict[str, CycleReport], table: list[Row], asked: dict[str, Sheets], forgotten: Forgotten | None, used: Used
) -> DemoResult:
    promoted = [report for report in reports.values() if report.state == "promoted"]
    evaluations = [report.evaluation for report in promoted if report.evaluation]
    judged = evaluations or [report.evaluation for report in reports.values() if report.evaluation]
    shares = [mean(row.right[phase] for row in table) for phase in range(4)]
    missed = Counter(row.missed_at for row in table if row.missed_at)
    outcomes = [outcome for report in reports.values() for outcome in report.facts]
    return DemoResult(
        customers=tuple(week),
        recall_base=shares[0],
        recall_after=shares[1],
        recall_rolled_back=shares[2],
        recall_promoted_again=shares[3],
        rollback_bit_equal=replies(asked["back"]) == replies(asked["base"]) and replies(asked["again"]) == replies(asked["after"]),
        general_base=mean(evaluation.baseline.general_accuracy or 0.0 for evaluation in judged),
        general_after=mean(evaluation.candidate.general_accuracy or 0.0 for evaluation in judged),
        perplexity_ratio=max(evaluation.perplexity_ratio for evaluation in judged),
        missed={step: missed[step] for step in STEPS},
        facts_total=len(outcomes),
        facts_learned=sum(outcome.state == "learned" for outcome in outcomes),
        promoted=len(promoted),
        trained_tokens=sum(report.training.trained_tokens for report in reports.values() if report.training),
        questions=len(table),
        seconds=round(used.seconds, 1),
        peak_rss_mb=round(used.megabytes),
        rows=tuple(table),
        forgotten=forgotten,
    )


def replies(sheets: Sheets) -> list[str]:
    return [graded.reply for sheet in sheets.values() for graded in sheet]


class MemoryMeter:
    """The most memory that this process and its training process held together, looked at while progress is reported."""

    def __init__(self, progress: ProgressCallback) -> None:
        self._progress = progress
        self._looked = -math.inf
        self.peak_mb = 0.0

    def __call__(self, step: Progress) -> None:
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self.look()
        self._progress(step)

    def look(self) -> None:
        """Take a reading; pages that several processes share, such as the weights' file, count once where the system tells them apart."""
        own = psutil.Process()
        used = 0
        for process in (own, *own.children(recursive=True)):
            with contextlib.suppress(psutil.Error):  # one that has just ended holds nothing
                held = process.memory_full_info()
                used += getattr(held, "pss", held.uss)
        self.peak_mb = max(self.peak_mb, used / MEGABYTE)
        self._looked = time.monotonic()
