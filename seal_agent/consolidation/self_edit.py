"""Study material for facts: the deterministic floor, and what the model writes on top of it.

The floor alone must teach: questions in both persons, the fact asked for by each of its content spans, clozes. What the model writes is
data to be checked: it must be a question, lead back to its fact among all facts of the scope, and leak no held-out question.
Facts with too little sound material are reported, not trained on.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from seal_agent.config import SelfEditSettings
from seal_agent.consolidation.asking import Asked, taking_turns
from seal_agent.consolidation.prompts import PORTFOLIO, WriterPrompt
from seal_agent.consolidation.sentences import content_spans, content_words, words
from seal_agent.errors import GenerationError
from seal_agent.protocols import Embedder, TextWriter, Vectors
from seal_agent.types import Fact, SelfEdit, Turn

FLOOR = "floor"
LEAST_SIMILARITY = 0.5
"""Least cosine between a written question and its fact."""
SPANS = 2
CLOZES = 2
"""Items of these kinds per fact: questions tell facts apart, these teach the wording."""
LEAK = 0.8
"""Share of common words at which a question counts as a held-out one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What was written for the facts of one cycle, and what was refused and why."""

    items: tuple[SelfEdit, ...]
    refused: dict[str, int]

    def of(self, fact_id: str) -> list[SelfEdit]:
        """What states the fact: what it leaves open teaches nothing of it."""
        return [item for item in self.items if item.fact_id == fact_id and item.kind != "unknown"]

    def counts(self) -> dict[str, int]:
        """Accepted items by kind, refused ones by reason."""
        kinds = Counter(item.kind if item.writer == FLOOR else f"written {item.kind}" for item in self.items)
        return {**kinds, **{f"refused: {reason}": count for reason, count in sorted(self.refused.items())}}


def kinds_in_turn(items: Sequence[SelfEdit]) -> list[SelfEdit]:
    """One item of each kind in turn, within a kind in their order: cut anywhere, what is left is of as many kinds as it can be."""
    kinds = dict.fromkeys(item.kind for item in items)
    rows = zip_longest(*([item for item in items if item.kind == kind] for kind in kinds))
    return [item for row in rows for item in row if item is not None]


def floor(fact: Fact, asked: Sequence[Asked], settings: SelfEditSettings) -> list[SelfEdit]:
    """The deterministic material of one fact, best first, at most `max_documents_per_fact`."""
    questions = [SelfEdit(fact_id=fact.id, kind="question", prompt=prompt, answer=fact.text, writer=FLOOR) for prompt in alternating(asked)]
    spans = [SelfEdit(fact_id=fact.id, kind="restatement", prompt=prompt, answer=fact.text, writer=FLOOR) for prompt in span_prompts(fact)]
    clozes = [SelfEdit(fact_id=fact.id, kind="cloze", prompt=prompt, answer=fact.text, writer=FLOOR) for prompt in cloze_prompts(fact)]
    least_others = min(len(spans), SPANS) + min(len(clozes), CLOZES)
    room = max(settings.max_documents_per_fact - least_others, 0)
    items = [*questions[:room], *spans[:SPANS], *clozes[:CLOZES]]
    return items[: settings.max_documents_per_fact]


def alternating(asked: Sequence[Asked]) -> list[str]:
    """Each question in both persons, topics taking turns; the other persons come after all the first ones."""
    asked = taking_turns(asked)
    one = [item.third if place % 2 == 0 else item.first for place, item in enumerate(asked)]
    other = [item.first if place % 2 == 0 else item.third for place, item in enumerate(asked)]
    return list(dict.fromkeys([*one, *other]))


def span_prompts(fact: Fact) -> list[str]:
    """Ask for the fact by what it speaks of: each content span, longest first, in changing frames."""
    name = fact.scope.subject
    frames = (
        lambda span: f"What did {name} say about {span}?",
        lambda span: f"What did I tell you about {span}?",
        lambda span: f"What do you know about {name} and {span}?",
        lambda span: f"{span}?",
    )
    spans = sorted(dict.fromkeys(content_spans(fact.quote)), key=lambda span: -len(span))
    return [frames[place % len(frames)](span) for place, span in enumerate(spans) if len(span) > 2]


def cloze_prompts(fact: Fact) -> list[str]:
    """The sentence with one content span left out."""
    spans = sorted(dict.fromkeys(content_spans(fact.quote)), key=lambda span: -len(span))
    return [f"Fill the gap: {fact.quote.replace(span, '___', 1)}" for span in spans if len(content_words(fact.quote)) > 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Whoever writes self-edits, and what its texts are checked with."""

    model: TextWriter
    embedder: Embedder
    settings: SelfEditSettings
    adapter: str | None = None
    """The base writes by default; an editor adapter may."""
    prompts: tuple[WriterPrompt, ...] = PORTFOLIO
    greedy: bool = True
    """Whether the first try of each prompt is greedy; practice samples all of them, or no two self-edits would differ in it."""

    def write(self, prompts: Sequence[Sequence[Turn]], *, max_tokens: int, seed: int, temperature: float = 0.0) -> list[str]:
        """The text written for each prompt, in order; raise `GenerationError`, also where prompts are left without one."""
        replies = self.model.generate(prompts, adapter=self.adapter, max_tokens=max_tokens, temperature=temperature, seed=seed)
        if len(replies) != len(prompts):
            raise GenerationError(f"The writer {self.model.id!r} gave {len(replies)} replies to {len(prompts)} prompts.")
        return [reply.text for reply in replies]


def written(facts: Sequence[Fact], vectors: Vectors, held_out: Sequence[str], writer: Writer, seed: int) -> Material:
    """Have the model write questions for the facts and keep what passes the checks; `vectors` are the facts', [facts, dim]."""
    refused: Counter[str] = Counter()
    items: list[SelfEdit] = []
    for prompt in writer.prompts:
        for row, text in sampled(facts, prompt, writer, seed):
            reason = problem(text, facts[row], held_out, items)
            if reason is None and leads_elsewhere(text, row, vectors, writer.embedder):
                reason = "leads to another fact"
            if reason is None:
                fact = facts[row]
                items.append(SelfEdit(fact_id=fact.id, kind=prompt.kind, prompt=text, answer=fact.text, writer=writer.model.id))
            else:
                refused[reason] += 1
    return Material(items=tuple(items), refused=dict(refused))


def sampled(facts: Sequence[Fact], prompt: WriterPrompt, writer: Writer, seed: int) -> list[tuple[int, str]]:
    """(number of the fact, one line that the model wrote for it); the first try is greedy unless the writer says otherwise."""
    rows = list(range(len(facts))) if writer.greedy else []
    lines = list(zip(rows, writer.write([prompt.turns(facts[row]) for row in rows], max_tokens=prompt.max_tokens, seed=seed), strict=True))
    more = [row for row in range(len(facts)) for _ in range(writer.settings.questions_per_fact - writer.greedy)]
    if more:
        asked = [prompt.turns(facts[row]) for row in more]
        drawn = writer.write(asked, max_tokens=prompt.max_tokens, temperature=writer.settings.temperature, seed=seed)
        lines += zip(more, drawn, strict=True)
    return [(row, text.split("\n")[0].strip()) for row, text in lines]


def problem(text: str, fact: Fact, held_out: Sequence[str], items: Sequence[SelfEdit]) -> str | None:
    """Why a written question can't be used, or None."""
    if not text.endswith("?") or not 3 <= len(words(text)) <= 25:
        return "no question"
    if not set(content_words(text)) & set(content_words(f"{fact.quote} {fact.scope.subject}")):
        return "ungrounded"
    if any(overlap(text, other) >= LEAK for other in held_out):
        return "leaks a held-out question"
    if any(item.fact_id == fact.id and overlap(text, item.prompt) >= LEAK for item in items):
        return "repeats"
    return None


def leads_elsewhere(text: str, row: int, vectors: Vectors, embedder: Embedder) -> bool:
    """Whether searching with the question would not find its own fact first."""
    similarity = vectors @ embedder.embed([text])[0]
    return bool(similarity[row] < LEAST_SIMILARITY or int(np.argmax(similarity)) != row)


def overlap(one: str, other: str) -> float:
    """Share of common words of two questions (Jaccard)."""
    left, right = set(normalised(one)), set(normalised(other))
    return len(left & right) / len(left | right) if left | right else 1.0


def normalised(text: str) -> list[str]:
    return re.sub(r"[^\w\s]", " ", text.lower()).split()
