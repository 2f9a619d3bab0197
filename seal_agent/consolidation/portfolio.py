"""The full portfolio of study material, for writers that can keep to a form: rewrites, implications, relations, questions in many wordings,
reverse questions, and questions that a fact answers with no, or not at all.

A writer only ever writes lists of sentences or questions; the answers that are learnt are made here, from the fact. What does not parse is
refused whole, what brings names or numbers of its own is refused singly, and a fact with too little is written for again. Small models fail
at the form: for them `self_edit.written` asks for single questions.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from pydantic import TypeAdapter, ValidationError

from seal_agent.consolidation.coverage import Reward, best_of, is_short
from seal_agent.consolidation.prompts import FULL_PORTFOLIO
from seal_agent.consolidation.self_edit import LEAK, LEAST_SIMILARITY, Material, Writer, leads_elsewhere, overlap, problem
from seal_agent.consolidation.sentences import content_spans, content_words, root, words
from seal_agent.protocols import Embedder, Vectors
from seal_agent.types import Fact, SelfEdit, SelfEditKind

LISTED = TypeAdapter(list[str])
FENCED = re.compile(r"\s*(?:```(?:json)?\s*)?(\[.*\])\s*(?:```)?\s*", re.DOTALL)
NAMED = re.compile(r"(?<=[\w,;:'’] )[A-Z][\w'’-]*|\d[\w:.,-]*")
"""Names within a sentence, and numbers anywhere: what must come from the fact."""
MARKS = ".,:;!?'’"
MOST_LINES = 24
"""Of a list that are looked at: three times what is asked for, whatever a writer that ignores its limits goes on to write."""
LONGEST = 60
"""Words of a sentence or question that is taken."""
QUESTIONS: frozenset[SelfEditKind] = frozenset({"question", "reverse", "negative", "unknown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What is to be written: facts with their vectors [facts, dim], the questions that nothing may give away, and what not knowing says."""

    facts: Sequence[Fact]
    vectors: Vectors
    held_out: Sequence[str]
    abstention: str
    reward: Reward


@dataclass(slots=True, kw_only=True)
class Desk:
    """What has been accepted and refused so far."""

    items: list[SelfEdit] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def of(self, fact: Fact) -> list[SelfEdit]:
        return [item for item in self.items if item.fact_id == fact.id]


def portfolio(task: Assignment, writer: Writer, seed: int) -> Material:
    """Have every kind written for every fact, the best of `samples` sets kept; where a fact stays short, once more with other draws."""
    desk = Desk()
    for attempt in range(writer.settings.rounds):
        rows = [row for row, fact in enumerate(task.facts) if is_short(fact, desk.of(fact))]
        if not rows:
            break
        numbers = range(attempt * writer.settings.samples, (attempt + 1) * writer.settings.samples)
        drafts = [drawn(task, rows, writer, desk, seed, number) for number in numbers]
        for place, row in enumerate(rows):
            desk.items += best_of([draft[place] for draft in drafts], partial(task.reward, task.facts[row]))
    return Material(items=tuple(desk.items), refused=dict(desk.refused))


def drawn(task: Assignment, rows: Sequence[int], writer: Writer, desk: Desk, seed: int, number: int) -> list[list[SelfEdit]]:
    """One set of items for each of the facts; number 0 is greedy, the others sampled."""
    asked = [(row, prompt) for row in rows for prompt in FULL_PORTFOLIO]
    replies = writer.write(
        [prompt.turns(task.facts[row]) for row, prompt in asked],
        max_tokens=max(prompt.max_tokens for prompt in FULL_PORTFOLIO),
        temperature=writer.settings.temperature if number else 0.0,
        seed=seed + number,
    )
    found: dict[int, list[SelfEdit]] = {row: [] for row in rows}
    for (row, prompt), reply in zip(asked, replies, strict=True):
        lines = parsed(reply)
        if lines is None:
            desk.refused["not the asked form"] += 1
            continue
        if len(lines) > MOST_LINES:
            desk.refused["more than was asked for"] += len(lines) - MOST_LINES
        for line in lines[:MOST_LINES]:
            reason = flaw(line, row, prompt.kind, task, [*desk.of(task.facts[row]), *found[row]], writer)
            if reason is None:
                found[row].append(item(line, prompt.kind, task.facts[row], len(found[row]), task.abstention, writer.model.id))
            else:
                desk.refused[reason] += 1
    return list(found.values())


def parsed(text: str) -> list[str] | None:
    """The strings of a JSON list, fenced or not, and nothing else around it; None for anything else."""
    match = FENCED.fullmatch(text)
    try:
        return [" ".join(line.split()) for line in LISTED.validate_json(match.group(1), strict=True)] if match else None
    except ValidationError:
        return None


def flaw(line: str, row: int, kind: SelfEditKind, task: Assignment, items: Sequence[SelfEdit], writer: Writer) -> str | None:
    """Why one line can't be used, or None."""
    fact = task.facts[row]
    if not line or len(words(line)) > LONGEST:
        return "too long or empty"
    if kind not in QUESTIONS:
        return flaw_of_statement(line, fact, items)
    reason = problem(line, fact, task.held_out, items)
    if reason is not None:
        return reason
    if kind in ("question", "reverse") and leads_elsewhere(line, row, task.vectors, writer.embedder):
        return "leads to another fact"
    if kind == "negative" and not of_its_own(line, fact):
        return "denies nothing"
    if kind in ("negative", "unknown") and told_elsewhere(line, row, task, writer.embedder):
        return "another fact may answer it"
    return None


def of_its_own(line: str, fact: Fact) -> set[str]:
    """What a line speaks of and its fact does not."""
    return roots(line) - roots(f"{fact.text} {fact.scope.subject}")


def roots(text: str) -> set[str]:
    return {root(word) for word in content_words(text)}


def told_elsewhere(line: str, row: int, task: Assignment, embedder: Embedder) -> bool:
    """Whether another fact speaks of what a line adds to its own, or is nearer: "no" and "not known" may be untrue then."""
    others = {word for place, fact in enumerate(task.facts) if place != row for word in roots(fact.quote)}
    if of_its_own(line, task.facts[row]) & others:
        return True
    similarity = task.vectors @ embedder.embed([line])[0]
    nearest = int(np.argmax(similarity))
    return nearest != row and bool(similarity[nearest] >= LEAST_SIMILARITY)


def flaw_of_statement(line: str, fact: Fact, items: Sequence[SelfEdit]) -> str | None:
    """A statement must speak of the fact and bring no name and no number of its own."""
    known = f"{fact.text} {fact.quote} {fact.scope.subject}"
    if line.endswith("?") or not set(content_words(line)) & set(content_words(fact.quote)):
        return "ungrounded"
    if names_of_its_own(line, known):
        return "brings names or numbers of its own"
    if any(overlap(line, other.answer) >= LEAK for other in items):
        return "repeats"
    return None


def names_of_its_own(line: str, known: str) -> set[str]:
    """The names and numbers in a line that what is known lacks."""
    return {plain(name) for name in NAMED.findall(line)} - {plain(word) for word in known.split()} - {"i", "i'm"}


def plain(word: str) -> str:
    return word.lower().replace("’", "'").strip(MARKS).removesuffix("'s")


def item(line: str, kind: SelfEditKind, fact: Fact, number: int, abstention: str, writer: str) -> SelfEdit:
    """What is learnt from a line: the answer to a question comes from the fact, the prompt to a statement from here."""
    spans = content_spans(fact.quote) or [fact.quote]
    span, other, name = spans[number % len(spans)], spans[(number + 1) % len(spans)], fact.scope.subject
    prompts = {
        "rewrite": f"Put into other words what {name} said about {span}.",
        "implication": f"What follows from what {name} said about {span}?",
        "relation": f"What has {name} to do with {span}?" if span == other else f"For {name}, what has {span} to do with {other}?",
    }
    answers = {"negative": f"No. {fact.text}", "unknown": abstention}
    if kind in QUESTIONS:
        return SelfEdit(fact_id=fact.id, kind=kind, prompt=line, answer=answers.get(kind, fact.text), writer=writer)
    return SelfEdit(fact_id=fact.id, kind=kind, prompt=prompts[kind], answer=line, writer=writer)
