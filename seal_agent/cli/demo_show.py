"""How the demo is told: a few lines per step, then the table question by question. Prints to stdout, or nothing in `--json` mode."""

from typing import TYPE_CHECKING

from seal_agent.cli.output import on_one_line
from seal_agent.cli.progress import duration

if TYPE_CHECKING:
    from seal_agent.cli.demo_run import DemoResult, Forgotten, Sheets
    from seal_agent.scope import Scope
    from seal_agent.types import CycleReport

STEPS = {
    "not_extracted": "the fact was not drawn from the talk",
    "no_material": "drawn, but too little sound material",
    "not_recalled": "trained on, but not recalled",
    "stale": "an old value is still told",
}
MARKS = {True: "right", False: "-"}


class Narrator:
    """Says what happens while it happens."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def say(self, text: str = "") -> None:
        if not self._quiet:
            print(text, flush=True)

    def remembered(self, scope: "Scope", turns: int) -> None:
        self.say(f"remembered {turns} turns of {scope.id.subject}")

    def searched(self, found: int, questions: int, hits: int) -> None:
        self.say(f"\nretrievable at once: the answer stands in the first {hits} hits for {found} of {questions} questions")

    def asked(self, when: str, sheets: "Sheets") -> None:
        graded = [item for sheet in sheets.values() for item in sheet]
        self.say(f"\n{when}, closed book: {sum(item.correct for item in graded)} of {len(graded)} questions right")

    def night_begins(self, scope: "Scope") -> None:
        plan = scope.consolidate(dry_run=True)
        self.say(f"\nnight for {scope.id.subject}: {plan.reason}, at most {plan.estimated_tokens:,} tokens to train")

    def night_ended(self, scope: "Scope", report: "CycleReport") -> None:
        total = sum(report.seconds.values())
        self.say(f"  {report.state}: {on_one_line(report.reason)}, in {duration(total)}")
        for check in report.decision.checks if report.decision else ():
            self.say(f"    {'pass' if check.passed else 'FAIL'}  {on_one_line(check.text)}")
        for outcome in report.facts:
            self.say(f"    {outcome.state.replace('_', ' '):12} {outcome.recalled}/{outcome.asked}  {on_one_line(outcome.text)[:96]}")

    def forgotten(self, told: "Forgotten") -> None:
        receipt = told.receipt
        self.say(f"\nforgotten for good: {on_one_line(told.fact)[:96]}")
        verdict = "STILL RIGHT" if told.still_right else "no longer known"
        self.say(f"  {on_one_line(told.question)[:80]}  {verdict}: {on_one_line(told.after)[:80]}")
        self.say(
            f"  receipt {receipt.id}: {len(receipt.facts)} facts, {receipt.turns} turns cut, {len(receipt.adapters)} adapters deleted;"
            f" {receipt.scan.needles} byte strings searched in {receipt.scan.files} files, {len(receipt.scan.hits)} found"
        )

    def summary(self, result: "DemoResult") -> None:
        """The table that the demo ends with."""
        self.say(f"\n{'question':62} {'base':6} {'night':6} {'back':6} {'again':6} answer after the night")
        for row in result.rows:
            marks = " ".join(f"{MARKS[right]:6}" for right in row.right)
            lost = f"   [{STEPS[row.missed_at]}; expected {row.expected!r}]" if row.missed_at else ""
            self.say(f"{on_one_line(row.question)[:61]:62} {marks} {on_one_line(row.after)[:80]}{lost}")
        before, after, back, again = (f"{share:.0%}" for share in result.recall)
        self.say(f"\nclosed book, {result.questions} gold questions: {before} -> {after} after one night")
        self.say(f"rolled back {back}, promoted again {again}")
        self.say(
            f"answers after rolling back and forward are those of before, to the letter: {'yes' if result.rollback_bit_equal else 'NO'}"
        )
        self.say(f"general questions: {result.general_base:.1%} -> {result.general_after:.1%}")
        self.say(f"perplexity on general text: x{result.perplexity_ratio:.3f}")
        self.say(f"{result.facts_learned} of {result.facts_total} facts learned; {result.trained_tokens:,} tokens trained")
        self.say(f"{duration(result.seconds)}; peak memory {result.peak_rss_mb:,.0f} MB")
        self.say(f"this was a part of the week, {', '.join(result.customers)}; --customers all runs everybody")
        self.say("Limits: 135 million parameters repeat what was said rather than reason with it; text stays the source of truth.")
