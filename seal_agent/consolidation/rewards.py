"""Rewards of a self-edit. The full one trains on it: held-out log-probability gain less a retention penalty. Two cheap ones only read it.

Continuous on purpose: right-or-wrong on a few questions varies more between repeats of one self-edit than between self-edits (SEAL's
released data). Judges one self-edit at a time; who wins is decided in `outer_loop.py`.
"""

import math
import re
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from seal_agent.adapters.artefact import new_stage
from seal_agent.consolidation.bundled import general_texts
from seal_agent.consolidation.contexts import Context
from seal_agent.consolidation.evaluation import MAX_LOSS, Examiner, target
from seal_agent.consolidation.inner_loop import anchors, lessons
from seal_agent.consolidation.policies import Policy, PromptName
from seal_agent.consolidation.practising import Practice
from seal_agent.consolidation.sentences import content_words
from seal_agent.protocols import TextWriter
from seal_agent.types import SelfEdit, Turn, silent

LOGPROB = TypeAdapter(float)
ENOUGH = 8
"""Items per fact above which more repetition counts for nothing: each answer should occur in so many."""
GENERAL_TEXTS = 8
"""Texts that the retention penalty is read from; all of them would cost as much as the training."""
ANCHORS_PER_LESSON = 1
"""A night's least number of anchors is four fifths of so small a mix, and as much of a round's time. The retention penalty counts what
fewer don't hold."""
JUDGE = "Rate from 1 to 5 how well the question asks for what the note says. Answer with the number alone."


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line that the writer wrote, and with which prompt it was asked."""

    prompt: PromptName
    fact_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One sampled self-edit of one context."""

    policy: Policy
    seed: int
    items: tuple[SelfEdit, ...]
    lines: tuple[Line, ...]
    """The written part: what the editor learns from if it wins."""
    refused: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one inner loop came to, in nats per token."""

    gain: float
    """Rise of the held-out answers' mean log-probability over the base."""
    penalty: float
    """Rise of the loss on general text over the base, never below 0."""

    def reward(self, weight: float) -> float:
        return self.gain - weight * self.penalty


def inner_loop(practice: Practice, context: Context, edit: Edit, seed: int) -> Measured:
    """Train one adapter on one self-edit and measure it; raise `TrainingError`. It is gone afterwards."""
    backends, settings = practice.backends, practice.backends.settings
    examiner = practice.examiner
    taught = lessons(edit.items, examiner, {fact.id: fact.text for fact in context.facts})
    examples = [*taught, *anchors(ANCHORS_PER_LESSON * len(taught), examiner, settings.training)]
    changed = {"max_passes": settings.practice.passes, "target_loss": 0.0}
    trainer = backends.trainer_for(settings.training.model_copy(update=changed))
    out = new_stage(backends.folder / "adapters")
    name = f"practice-{uuid.uuid4().hex[:12]}"
    try:
        trainer.train(examples, probes=(), out=out, seed=seed, progress=silent, should_stop=practice.must_stop)
        backends.model.load_adapter(name, out)
        known, general = held_out_logprob(examiner, context, name), general_logprob(examiner, name)
    finally:
        backends.model.unload_adapter(name)
        shutil.rmtree(out, ignore_errors=True)
    untaught = practice.kept(LOGPROB, lambda: held_out_logprob(examiner, context, None), "base", context.id, practice.examined)
    usual = practice.kept(LOGPROB, lambda: general_logprob(examiner, None), "base", "general", practice.examined)
    return Measured(gain=known - untaught, penalty=max(0.0, usual - general))


def held_out_logprob(examiner: Examiner, context: Context, adapter: str | None) -> float:
    """Mean over the questions of the answer's mean log-probability per token."""
    scores = examiner.model.score([(examiner.prompt(q.text), target(q)) for q in context.questions], adapter=adapter)
    return mean_of([sum(score) / len(score) for score in scores])


def general_logprob(examiner: Examiner, adapter: str | None) -> float:
    """Mean per token over a few of the general texts."""
    scores = examiner.model.score([((), text) for text in general_texts()[:GENERAL_TEXTS]], adapter=adapter)
    return mean_of([value for score in scores for value in score])


def mean_of(values: Sequence[float]) -> float:
    """`-MAX_LOSS` where a model that broke says what is no number: no such self-edit wins."""
    mean = sum(values) / len(values)
    return mean if math.isfinite(mean) else -MAX_LOSS


def coverage_times_repetition(context: Context, edit: Edit) -> float:
    """Share of a fact's content words that its prompts speak of, times how often it is repeated up to `ENOUGH`; mean over the facts.

    After what matters in SEAL's released self-edits: how often the answer occurs, and whether it does at all.
    """
    found = []
    for fact in context.facts:
        prompts = [item.prompt for item in edit.items if item.fact_id == fact.id]
        wanted = set(content_words(fact.quote))
        said = {word for prompt in prompts for word in content_words(prompt)}
        coverage = len(wanted & said) / len(wanted) if wanted else 0.0
        found.append(coverage * min(1.0, len(prompts) / ENOUGH))
    return sum(found) / len(found)


def judge_of(practice: Practice) -> TextWriter:
    """Who gives marks: the writer passed to `Memory.open`, a stronger model, or the brain's own."""
    return practice.backends.writer or practice.backends.model


def judged(practice: Practice, context: Context, edit: Edit) -> float | None:
    """The mean mark that the judge gives the written lines, in [0, 1]; None where it gave none, which is no mark of 0."""
    notes = {fact.id: fact.quote for fact in context.facts}
    prompts = [
        (Turn(role="system", content=JUDGE), Turn(role="user", content=f"Note: {notes[line.fact_id]}\nQuestion: {line.text}"))
        for line in edit.lines
    ]
    replies = judge_of(practice).generate(prompts, max_tokens=4) if prompts else []
    marks = [int(match.group()) for reply in replies if (match := re.search(r"\b[1-5]\b", reply.text))]
    return (sum(marks) / len(marks) - 1) / 4 if marks else None
