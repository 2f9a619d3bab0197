"""What one view of the model knows: held-out questions, earlier facts, general questions, perplexity. Figures only, no verdict.

Baseline and candidate answer the same questions, greedily, with nothing in the prompt but the question. A question that can't be graded
makes the evaluation invalid, because an error is never a score.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from seal_agent.chat import question_prompt
from seal_agent.consolidation.bundled import general_questions, general_texts
from seal_agent.consolidation.kept import kept_json
from seal_agent.errors import GradingError, TrainingError
from seal_agent.protocols import Grader, Model
from seal_agent.types import Graded, Question, Sheet, Turn

MAX_REPLY_TOKENS = 24
MAX_GENERAL_TOKENS = 16

MAX_LOSS = 700.0
"""Nats per token of a model that broke: about the most whose exponential is a float. No gate lets it through."""
BROKEN = math.exp(MAX_LOSS)


@dataclass(frozen=True, slots=True, kw_only=True)
class General:
    """What the base says to the general questions, and how well it predicts the general texts."""

    replies: list[str]
    perplexity: float


GENERAL = TypeAdapter(General)


def is_whole(kept: General) -> bool:
    return len(kept.replies) == len(general_questions()) and 1.0 <= kept.perplexity < BROKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Examiner:
    """Whom to ask, in which words, and who judges."""

    model: Model
    grader: Grader
    system_prompt: str | None
    cache: Path
    """Where the base's general figures are kept: they are the same every night."""

    def prompt(self, question: str) -> tuple[Turn, ...]:
        """Closed book: the question and nothing else."""
        return question_prompt(self.system_prompt, question)

    def sheet(self, adapter: str | None, held_out: Sequence[Question], retained: Sequence[Question]) -> Sheet:
        """Ask everything of one view; raise `TrainingError` when a reply can't be graded."""
        asked = self.ask(adapter, [*held_out, *retained], MAX_REPLY_TOKENS)
        general, perplexity = self.general(adapter)
        return Sheet(
            adapter=adapter,
            held_out=with_probabilities(self, adapter, asked[: len(held_out)]),
            retained=tuple(asked[len(held_out) :]),
            general=general,
            perplexity=perplexity,
        )

    def ask(self, adapter: str | None, questions: Sequence[Question], max_tokens: int) -> list[Graded]:
        """Ask and grade; raise `TrainingError` when a reply can't be graded."""
        replies = self.model.generate([self.prompt(q.text) for q in questions], adapter=adapter, max_tokens=max_tokens)
        return self.graded(questions, [reply.text for reply in replies])

    def graded(self, questions: Sequence[Question], replies: Sequence[str]) -> list[Graded]:
        try:
            return [self.grader.grade(question, reply) for question, reply in zip(questions, replies, strict=True)]
        except GradingError as error:
            raise TrainingError(f"The evaluation is invalid: {error}") from error

    def general(self, adapter: str | None) -> tuple[tuple[Graded, ...], float]:
        """General questions and perplexity on general prose; the base's are measured once and kept."""
        questions = general_questions()
        if adapter is not None:
            return tuple(self.ask(adapter, questions, MAX_GENERAL_TOKENS)), self.perplexity(adapter)
        kept = kept_json(self.cache / f"general-{self._fingerprint()}.json", GENERAL, self._ask_base, is_whole)
        return tuple(self.graded(questions, kept.replies)), kept.perplexity

    def _ask_base(self) -> "General":
        replies = self.model.generate([self.prompt(q.text) for q in general_questions()], max_tokens=MAX_GENERAL_TOKENS)
        perplexity = self.perplexity(None)
        if perplexity >= BROKEN:
            raise TrainingError(f"The base model {self.model.id!r} can't predict plain prose: its weights or its precision are broken.")
        return General(replies=[reply.text for reply in replies], perplexity=perplexity)

    def perplexity(self, adapter: str | None) -> float:
        """Per token, over the bundled general texts; `BROKEN` where the predictions are not numbers."""
        scores = self.model.score([((), text) for text in general_texts()], adapter=adapter)
        tokens = sum(len(score) for score in scores)
        loss = -sum(sum(score) for score in scores) / tokens
        return math.exp(min(loss, MAX_LOSS)) if math.isfinite(loss) else BROKEN

    def _fingerprint(self) -> str:
        """Same model, same system prompt, same questions, same figures."""
        content = [self.model.id, str(self.system_prompt), *(q.text for q in general_questions()), *general_texts()]
        return hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]


def with_probabilities(examiner: Examiner, adapter: str | None, graded: Sequence[Graded]) -> tuple[Graded, ...]:
    """Add to each the mean log-probability per token of its first accepted answer."""
    scores = examiner.model.score([(examiner.prompt(g.question.text), target(g.question)) for g in graded], adapter=adapter)
    return tuple(replace(g, logprob=mean_or_none(score)) for g, score in zip(graded, scores, strict=True))


def mean_or_none(score: Sequence[float]) -> float | None:
    """None where there is nothing to tell, or what a model that broke says is no number."""
    mean = sum(score) / len(score) if score else math.nan
    return mean if math.isfinite(mean) else None


def target(question: Question) -> str:
    """The words whose probability is read: a question drawn from a fact is answered with the fact as it was taught."""
    return question.reference or question.answers[0]
