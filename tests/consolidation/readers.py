"""A writer that reads turns, scripted, and the beginning of a night in which it does."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime

from seal_agent.consolidation.cycle import Terms, choose
from seal_agent.consolidation.leasing import leased
from seal_agent.consolidation.run import Run
from seal_agent.ledger import cycles
from seal_agent.testing import ScriptedModel
from seal_agent.types import CycleReport, ProgressCallback, ReadingReport, Turn, silent
from tests.consolidation.brains import ANA, START, Brain

Said = tuple[str, str] | tuple[str, str, str] | tuple[str, str, str, str]


def entries(*said: Said) -> str:
    return json.dumps([dict(zip(("quote", "statement", "kind", "replaces"), one, strict=False)) for one in said])


def reader(replies: dict[str, str] | Callable[[Sequence[Turn]], str]) -> ScriptedModel:
    """Answers by what the shown turn holds; a list without entries to everything else."""
    return ScriptedModel(replies, id="reader", default="[]")


def is_reading(prompt: Sequence[Turn]) -> bool:
    return '"message"' in prompt[-1].content


def shown(model: ScriptedModel) -> list[str]:
    """The messages that it was asked to read."""
    return [json.loads(call.prompt[-1].content.split("\n")[1])["message"] for call in model.calls if is_reading(call.prompt)]


def read_by(brain: Brain, model: ScriptedModel) -> Brain:
    """What the writer writes of facts is none of these tests' business."""
    return brain.with_parts(writer=model).with_settings(self_edit={"questions_per_fact": 0})


def drawn(own: Brain, progress: ProgressCallback = silent, least: int = 1) -> ReadingReport | None:
    """The beginning of a night: facts are drawn and recorded, nothing is trained."""
    with leased(own.backends, ANA, clock) as held:
        run = Run(scope=ANA, backends=own.backends, progress=progress, should_stop=lambda: False, clock=clock, lease=held.lease)
        begun = choose(run, Terms(min_new_facts=least))
    with own.backends.ledger.write() as conn:
        for row in cycles.running_cycles(conn):
            cycles.end_cycle(conn, row.id, "skipped", "only begun", "{}", START)
    return begun.reading if isinstance(begun, CycleReport) else begun.run.reading


def reading_of(own: Brain) -> ReadingReport:
    report = drawn(own)
    assert report is not None
    return report


def clock() -> datetime:
    return START
