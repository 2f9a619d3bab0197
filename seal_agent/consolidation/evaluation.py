"""What one view of the model knows and does: held-out questions, earlier facts, general questions, probes, drift. Figures only, no verdict.

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
from seal_agent.consolidation.bundled import general_questions, general_texts, probes
from seal_agent.consolidation.kept import kept_json
from seal_agent.consolidation.probing import probed
from seal_agent.errors import GradingError, TrainingError
from seal_agent.protocols import Grader, Model
from seal_agent.types import Graded, Probed, ProbeKind, Question, Sheet, Turn

MAX_REPLY_TOKENS = 24
MAX_GENERAL_TOKENS = 16
PROBE_TOKENS: dict[ProbeKind, int] = {"format": 24, "refusal": 12, "abstention": 12}
"""Whether a reply refuses, or admits not to know, is heard at its beginning; a format is kept to the end."""
CONTEXT_QUESTIONS = 16
"""Held-out questions that are also asked with their fact in the prompt, evenly over them."""
SAMPLES = 24
"""Texts that the base says by itself, on which divergence from it is measured."""
SAMPLE_TOKENS = 16

MAX_LOSS = 700.0
"""Nats per token of a model that broke: about the most whose exponential is a float. No gate lets it through."""
BROKEN = math.exp(MAX_LOSS)


@dataclass(frozen=True, slots=True, kw_only=True)
class General:
    """What the base says to the general questions, and how well it predicts the general texts."""

    replies: list[str]
    perplexity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What the base does by itself: its replies to the probes, and texts drawn from it with the log-probability of each token."""

    replies: list[str]
    samples: list[str]
    logprobs: list[list[float]]


GENERAL = TypeAdapter(General)
USUAL = TypeAdapter(Usual)


def is_whole(kept: General) -> bool:
    return len(kept.replies) == len(general_questions()) and 1.0 <= kept.perplexity < BROKEN


def is_usual(kept: Usual) -> bool:
    return len(kept.replies) == len(probes()) and len(kept.samples) == len(kept.logprobs) == len(sample_questions())


def sample_questions() -> tuple[Question, ...]:
    return general_questions("extra_questions")[:SAMPLES]


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

    def sheet(self, adapter: str | None, held_out: Sequence[Question], retained: Sequence[Question], already: Sheet | None = None) -> Sheet:
        """Ask everything of one view; raise `TrainingError` when a reply can't be graded.

        What `already` holds of the same view beside facts is not asked again, nor what is both held out and of an earlier fact.
        """
        questions = list(dict.fromkeys([*held_out, *retained]))
        asked = dict(zip(questions, self.ask(adapter, questions, MAX_REPLY_TOKENS), strict=True))
        general, perplexity = self._unless_known(adapter, already)
        return Sheet(
            adapter=adapter,
            held_out=with_probabilities(self, adapter, [asked[question] for question in held_out]),
            retained=tuple(asked[question] for question in retained),
            general=general,
            perplexity=perplexity,
            with_context=self.with_context(adapter, held_out),
            probes=self.probes(adapter) if already is None or not already.probes else already.probes,
            kl=self.kl(adapter) if already is None or already.kl is None else already.kl,
        )

    def _unless_known(self, adapter: str | None, already: Sheet | None) -> tuple[tuple[Graded, ...], float]:
        if already is None:
            return self.general(adapter)
        return already.general or tuple(self.ask(adapter, general_questions(), MAX_GENERAL_TOKENS)), already.perplexity

    def with_context(self, adapter: str | None, questions: Sequence[Question]) -> tuple[Graded, ...]:
        """Ask some of the questions with their fact ahead of them, where by day what is remembered goes."""
        able = [question for question in questions if question.reference]
        chosen = (
            [able[place * len(able) // CONTEXT_QUESTIONS] for place in range(CONTEXT_QUESTIONS)] if len(able) > CONTEXT_QUESTIONS else able
        )
        prompts = [question_prompt(self.system_prompt, question.text, question.reference or "") for question in chosen]
        replies = self.model.generate(prompts, adapter=adapter, max_tokens=MAX_REPLY_TOKENS)
        return tuple(self.graded(chosen, [reply.text for reply in replies]))

    def probes(self, adapter: str | None) -> tuple[Probed, ...]:
        """Ask the probes; the base's replies are asked once and kept."""
        replies = self._usual().replies if adapter is None else self._probe(adapter)
        return tuple(probed(probe, reply) for probe, reply in zip(probes(), replies, strict=True))

    def kl(self, adapter: str | None) -> float | None:
        """Divergence from the base to an adapter in nats per token: `MAX_LOSS` where predictions are not numbers, None without a text.

        Estimated on texts that the base says itself: the mean of how much less probable they have become is the divergence over the text
        that the base is likely to say. Two-sided noise is about 0.02 at 300 tokens, so a small one may come out as 0.
        """
        if adapter is None:
            return 0.0
        usual = self._usual()
        now = [token for score in self._scored(usual.samples, adapter) for token in score]
        before = [token for score in usual.logprobs for token in score]
        if not before:  # a base that says nothing has nothing to diverge from, and a gate that can't see it must not pass it
            return None
        lost = sum(then - later for then, later in zip(before, now, strict=True)) / len(before)
        return min(max(lost, 0.0), MAX_LOSS) if math.isfinite(lost) else MAX_LOSS

    def _usual(self) -> Usual:
        return kept_json(
            self.cache / f"usual-{self._fingerprint(*(probe.prompt for probe in probes()))}.json", USUAL, self._ask_usual, is_usual
        )

    def _ask_usual(self) -> Usual:
        prompts = [self.prompt(question.text) for question in sample_questions()]
        drawn = [reply.text for reply in self.model.generate(prompts, max_tokens=SAMPLE_TOKENS, temperature=1.0)]
        return Usual(replies=self._probe(None), samples=drawn, logprobs=self._scored(drawn, None))

    def _probe(self, adapter: str | None) -> list[str]:
        """Replies in the order of the probes; each kind is asked together, cut where its verdict is clear."""
        replies: dict[str, str] = {}
        for kind, tokens in PROBE_TOKENS.items():
            asked = [probe for probe in probes() if probe.kind == kind]
            said = self.model.generate([self.prompt(probe.prompt) for probe in asked], adapter=adapter, max_tokens=tokens)
            replies |= {probe.id: reply.text for probe, reply in zip(asked, said, strict=True)}
        return [replies[probe.id] for probe in probes()]

    def _scored(self, samples: Sequence[str], adapter: str | None) -> list[list[float]]:
        """Each token but the last, which is the end that a cut-off text does not have."""
        items = [(self.prompt(question.text), text) for question, text in zip(sample_questions(), samples, strict=True)]
        return [score[:-1] for score in self.model.score(items, adapter=adapter)]

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

    def _fingerprint(self, *more: str) -> str:
        """Same model, same system prompt, same questions, same figures."""
        content = [self.model.id, str(self.system_prompt), *(q.text for q in general_questions()), *general_texts(), *more]
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
