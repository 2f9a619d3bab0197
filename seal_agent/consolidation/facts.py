"""Facts from what users said: their own sentences, attributed, checked and dated.

Only user turns count: not tool output, not retrieved text, not the assistant's guesses. A sentence is kept as it was said (that is the
floor that never invents anything); one that says little alone is kept with the words that it leans on. Where a writer reads the turns
(`reading.py`), what it claims and the turn bears out comes beside these, or in the place of one that says no more. It does not write to
the ledger; `cycle.py` does.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from seal_agent.config import FactSettings
from seal_agent.consolidation.durability import Durability, Verdict
from seal_agent.consolidation.sentences import content_words, leans_on_context, split_sentences, words
from seal_agent.consolidation.trust import refusal
from seal_agent.protocols import Embedder, Vectors
from seal_agent.types import Episode, Fact, FactKind, ScopeId, Source

CORRECTION = re.compile(
    r"\b(?:actually|instead|no longer|any ?more|from now on|these days|as of|change[ds]?|changing|switch(?:ed|ing)?|swapp?(?:ed|ing)?"
    r"|moved|now|new|old (?:place|one|address)|not .{1,30} but|rather than|correction|update[ds]?)\b",
    re.IGNORECASE,
)
NEGATION = re.compile(r"\b(?:not?|never|none|nor|neither|without|cannot|dont|\w+n['’]t|stop(?:ped)?|any ?more)\b", re.IGNORECASE)
OPEN_QUESTION = re.compile(r"^(?:(?:and|so|but|in|on|at|to|for|by|from|since) )?(?:which|what|where|when|who|whose|how)\b", re.IGNORECASE)
NAMED = re.compile(r"\b(?:[A-Z][\w'’-]*|\d[\w-]*)")
MOST_LEFT = 0.3
"""Share of a sentence's content words that may be missing from what a writer made of it: greetings and asides."""
LONGEST = 60
"""Words; longer quotes are cut at a comma, because a whole paragraph is no atomic fact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A fact that is not recorded yet, with its embedding and the earlier facts that it replaces."""

    fact: Fact
    vector: Vectors
    """[dim], of the quote."""
    supersedes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A sentence that may become a fact."""

    quote: str
    parts: tuple[str, ...]
    """The two sentences that a joined quote is made of; empty for a single one."""
    about: str
    """What the user had said before the question that this answers; empty for what speaks for itself."""
    episode: Episode
    turn: int
    read: bool = False
    """Pointed out by a writer, who is asked to judge what is worth keeping; the durability score then does not."""
    statement: str = ""
    """What the writer made of the quote; empty where the quote stands for itself."""
    kind: FactKind | None = None
    """As the writer sees it."""
    replaces: str = ""
    """What no longer holds, in the writer's words: it finds the fact that is replaced and is kept nowhere."""


def draw_facts(
    episodes: Sequence[Episode],
    known: Sequence[tuple[Fact, Vectors]],
    judge: Durability,
    embedder: Embedder,
    settings: FactSettings,
    read: Sequence[Candidate] = (),
) -> list[Draft]:
    """Draw the facts of episodes (oldest first); `known` are the scope's facts that hold, with their vectors; `read` is a writer's."""
    candidates = [*(candidate for episode in episodes for candidate in candidates_of(episode)), *read]
    if not candidates:
        return []
    vectors = embedder.embed([candidate.quote for candidate in candidates])
    verdicts = judge.judge([candidate.quote for candidate in candidates], vectors)
    held = [(fact.id, vector, fact.quote) for fact, vector in known]
    drafts: list[Draft] = []
    taken: dict[str, int] = {}
    for number in in_order(candidates, worth_keeping(candidates, verdicts, settings.min_score), episodes):
        candidate, verdict, vector = candidates[number], verdicts[number], vectors[number]
        full = taken.get(candidate.episode.id, 0) >= settings.max_per_episode
        if full or refusal(candidate.quote) or is_known(candidate.quote, vector, held, settings):
            continue
        taken[candidate.episode.id] = taken.get(candidate.episode.id, 0) + 1
        fact = fact_of(candidate, candidate.episode.scope, kind_of(candidate, verdict))
        about = embedder.embed([candidate.replaces])[0] if candidate.replaces else vector
        replaced = replaced_by(fact, about, held, settings)
        held = [row for row in held if row[0] not in replaced] + [(fact.id, vector, fact.quote)]
        drafts.append(Draft(fact=fact, vector=vector, supersedes=replaced))
    return drafts


def candidates_of(episode: Episode) -> Iterator[Candidate]:
    """Yield the sentences of the user's turns, and one that leans on words before it also together with these."""
    before = ""
    for position, turn in enumerate(episode.turns):
        if turn.role != "user":
            continue
        sentences = split_sentences(turn.content)
        for place, sentence in enumerate(sentences):
            yield from versions(sentence, sentences[place - 1] if place else None, before, episode, position)
        before = sentences[0] if sentences else ""


def versions(sentence: str, previous: str | None, before: str, episode: Episode, turn: int) -> Iterator[Candidate]:
    """Yield a sentence alone and, where it says little alone, with its predecessor or with what the user had said when asked."""
    if not content_words(sentence):
        return
    # "the tarvok 900." answers "Which one do you have?" after "shreder is dead again".
    about = before if previous is None and is_fragment(sentence) and is_answer(episode, turn) and not refusal(before) else ""
    yield Candidate(quote=shorten(sentence), parts=(), about=about, episode=episode, turn=turn)
    if previous is not None and leans_on_context(sentence):
        yield Candidate(quote=shorten(f"{previous} {sentence}"), parts=(previous, sentence), about="", episode=episode, turn=turn)


def worth_keeping(candidates: Sequence[Candidate], verdicts: Sequence[Verdict], least: float) -> list[int]:
    """The numbers of the candidates to keep: durable ones, and of a pair and its halves whichever say more."""
    scores = {(c.episode.id, c.turn, c.quote): v.score for c, v in zip(candidates, verdicts, strict=True)}
    chosen = [n for n, verdict in enumerate(verdicts) if verdict.score >= least or candidates[n].read]
    dropped: set[tuple[str, int, str]] = set()
    for number in chosen:
        pair = candidates[number]
        place = (pair.episode.id, pair.turn)
        if not pair.parts:
            continue
        # A follow-up that adds nothing durable ("that last one looked like a novel") must not lengthen the fact before it.
        if scores[(*place, pair.quote)] >= scores.get((*place, pair.parts[0]), 0.0):
            dropped.update((*place, part) for part in pair.parts)
        else:
            dropped.add((*place, pair.quote))
    place_of = [(candidate.episode.id, candidate.turn, candidate.quote) for candidate in candidates]
    return [n for n in chosen if candidates[n].read or place_of[n] not in dropped]


def in_order(candidates: Sequence[Candidate], chosen: Sequence[int], episodes: Sequence[Episode]) -> list[int]:
    """What is kept, as it was said, of each turn the writer's claims first; nothing that another one of the turn holds."""
    place = {episode.id: number for number, episode in enumerate(episodes)}
    by_turn: dict[tuple[int, int], list[int]] = {}
    for number in chosen:
        by_turn.setdefault((place[candidates[number].episode.id], candidates[number].turn), []).append(number)
    kept: list[int] = []
    for _, numbers in sorted(by_turn.items()):
        stated = [n for n in numbers if candidates[n].statement]
        rules = [n for n in numbers if not candidates[n].read and not is_covered(candidates[n], [candidates[s] for s in stated])]
        floor = [
            n for n in numbers if candidates[n].read and n not in stated and not is_covered(candidates[n], [candidates[r] for r in rules])
        ]
        kept += [*stated, *floor, *rules]
    return kept


def is_covered(candidate: Candidate, others: Sequence[Candidate]) -> bool:
    """Whether others hold nearly all of its content words, and all of its names and numbers."""
    said = set(content_words(f"{candidate.about} {candidate.quote}"))
    missing = said - {word for other in others for word in content_words(f"{other.about} {other.quote}")}
    named = {word.lower() for word in NAMED.findall(candidate.quote)}
    return len(missing) <= MOST_LEFT * len(said) and not missing & named


def kind_of(candidate: Candidate, verdict: Verdict) -> FactKind:
    """The writer's word for it, but that it corrects something must be heard in the user's own."""
    speaks_of_change = verdict.kind == "correction" or CORRECTION.search(candidate.quote) is not None
    return verdict.kind if candidate.kind is None or (candidate.kind == "correction" and not speaks_of_change) else candidate.kind


def is_answer(episode: Episode, turn: int) -> bool:
    """Whether the assistant had just asked which, what, where, when, who or how."""
    if turn == 0 or episode.turns[turn - 1].role != "assistant":
        return False
    asked = split_sentences(episode.turns[turn - 1].content)[-1:]
    return bool(asked) and asked[0].endswith("?") and OPEN_QUESTION.match(asked[0]) is not None


def is_fragment(sentence: str) -> bool:
    """Whether a sentence says little without the question that it answers: short, or about an "it"."""
    return leans_on_context(sentence) or len(content_words(sentence)) <= 3


def shorten(quote: str) -> str:
    """Cut a very long sentence at the last comma before the limit."""
    if len(words(quote)) <= LONGEST:
        return quote
    head = " ".join(quote.split()[:LONGEST])
    return head[: head.rfind(",")] if "," in head[LONGEST:] else head


def fact_of(candidate: Candidate, scope: ScopeId, kind: FactKind) -> Fact:
    """The attributed statement: the writer's, or `Ana said: ...`."""
    quote = f"{candidate.about} ... {candidate.quote}" if candidate.about else candidate.quote
    content = "\n".join(
        (scope.key, candidate.episode.id, str(candidate.turn), quote, *([candidate.statement] if candidate.statement else []))
    )
    return Fact(
        id=f"f_{hashlib.sha256(content.encode()).hexdigest()[:16]}",
        scope=scope,
        kind=kind,
        text=candidate.statement or f"{scope.subject} said: {quote}",
        quote=quote,
        sources=(Source(episode_id=candidate.episode.id, turn=candidate.turn),),
        valid_from=candidate.episode.at,
    )


def stated_fact(scope: ScopeId, text: str, kind: str, at: datetime) -> Fact:
    """A fact stated outright by `remember`."""
    content = "\n".join((scope.key, "stated", text))
    return Fact(
        id=f"f_{hashlib.sha256(content.encode()).hexdigest()[:16]}",
        scope=scope,
        kind=kind,  # type: ignore[arg-type]  # checked by the facade against FactKind
        text=text,
        quote=text,
        valid_from=at,
    )


Held = tuple[str, Vectors, str]
"""(fact id, vector, quote)"""


def is_known(quote: str, vector: Vectors, held: Sequence[Held], settings: FactSettings) -> bool:
    """Whether a fact that holds says the same already."""
    said = meaning(quote)
    for _, other, text in held:
        words_alike = said == meaning(text)
        # Nearly the same sentence with another number or name is news, not a repetition.
        if words_alike or (float(vector @ other) >= settings.duplicate_similarity and not said - meaning(text)):
            return True
    return False


def meaning(quote: str) -> set[str]:
    """The content words, and whether the sentence says yes or no: "ring me" is not "never ring me"."""
    return {*content_words(quote), "never ..." if NEGATION.search(quote) else "always ..."}


def replaced_by(fact: Fact, vector: Vectors, held: Sequence[Held], settings: FactSettings) -> tuple[str, ...]:
    """The earlier fact that a correction replaces: the most similar one, if it is similar enough and the wording speaks of a change."""
    if not held or not (fact.kind == "correction" or CORRECTION.search(fact.quote)):
        return ()
    similarities = np.array([float(vector @ other) for _, other, _ in held])
    best = int(similarities.argmax())
    return (held[best][0],) if similarities[best] >= settings.correction_similarity else ()
