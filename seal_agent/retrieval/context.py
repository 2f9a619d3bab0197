"""The block that goes into a prompt: the profile, then the hits, fenced as data, cited, within a budget of tokens.

Deliberately no search and no store: pure functions over what was found. The budget is measured with the model's own tokenizer on the
block as a whole, because token counts do not add up.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from seal_agent.retrieval.fence import Fence, random_nonce
from seal_agent.retrieval.lexical import STOP_WORDS, terms, text_key
from seal_agent.types import Context, Fact, FactKind, FactState, Hit, ScopeId

PROFILE_KINDS: frozenset[FactKind] = frozenset({"preference", "procedure", "profile"})
STANDING: frozenset[FactState] = frozenset({"active", "queued", "learned", "not_learned"})
FEWEST_WORDS = 4
"""An entry cut shorter than this tells nothing, so it is left out."""
WORDS_BEFORE = 8
"""Words kept before the query's first word when an entry has to be cut from the middle."""
SHORTEST_CITATION = 6
"""Characters of an id that are cited, more where two in one block would look the same."""
MOST_MISSES = 3
"""Entries without room after which the block counts as full: trying on costs time, and the best were tried first."""
WORD = re.compile(r"\s*(?:[\u2e80-\u9fff\uf900-\ufaff]|[^\s\u2e80-\u9fff\uf900-\ufaff]+)")
"""A word with the space before it. Chinese and Japanese write no spaces, so there each character counts."""
EMPTY = Context(text="", tokens=0, cited=())


def profile_facts(facts: Sequence[Fact]) -> list[Fact]:
    """Return the facts of the always-on block: what is pinned, then standing preferences, procedures, profile, and what corrected one of
    these; newest first.

    Give the superseded facts too: without them it can't be seen what a correction corrects, and the correction is left out.
    """
    by_id = {fact.id: fact for fact in facts}
    belongs: set[str] = set()
    for fact in facts:
        following: Fact | None = fact if fact.kind in PROFILE_KINDS else None
        while following is not None and following.id not in belongs:
            if following is fact or following.kind == "correction":
                belongs.add(following.id)
            following = by_id.get(following.superseded_by or "")
    kept = [fact for fact in facts if (fact.id in belongs or fact.pinned) and fact.state in STANDING]
    return sorted(kept, key=lambda fact: (not fact.pinned, -fact.valid_from.timestamp(), fact.id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line to be."""

    tier: Literal["f", "e"]
    """Cited as a fact or as an episode."""
    id: str
    label: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What is written on: the fence, whom it is about, and how much room there is."""

    fence: Fence
    about: str
    budget: int
    count_tokens: Callable[[str], int]

    def written(self, lines: Sequence[str]) -> str:
        return self.fence.wrap(list(lines), self.about)

    def fits(self, lines: Sequence[str], head: str, text: str) -> bool:
        """Is there room for one more line?"""
        return self.count_tokens(self.written([*lines, head + text])) <= self.budget


def build_context(
    scope: ScopeId,
    query: str,
    hits: Sequence[Hit],
    profile: Sequence[Fact],
    budget: int,
    count_tokens: Callable[[str], int],
    nonce: Callable[[], str] = random_nonce,
) -> Context:
    """Write the profile and the hits into one fenced block of at most `budget` tokens; empty when not even one entry fits.

    The first entry that is too long is cut at a word, around the words of the query, and is the last. Hits and facts of a scope that
    `scope` may not see are left out, whoever passed them.
    """
    fence = Fence(nonce=nonce())
    page = Page(fence=fence, about=fence.neutralise(scope.subject), budget=budget, count_tokens=count_tokens)
    lines: list[str] = []
    cited: dict[str, None] = {}
    misses = 0
    found = list(items(scope, hits, profile))
    length = citation_length({item.id for item in found})
    for item in found:
        head = f"[{item.tier}:{fence.neutralise(item.id[:length])}] {item.label}: "
        text = fence.neutralise(item.text)
        whole = page.fits(lines, head, text)
        shown = text if whole else excerpt(text, query, partial(page.fits, tuple(lines), head))
        if shown:
            lines.append(head + shown)
            cited[item.id] = None
        misses += not shown
        if misses == MOST_MISSES or (shown and not whole):
            break
    if not lines:
        return EMPTY
    written = page.written(lines)
    return Context(text=written, tokens=count_tokens(written), cited=tuple(cited))


def items(scope: ScopeId, hits: Sequence[Hit], profile: Sequence[Fact]) -> Iterator[Item]:
    """Yield what is to be written, each text once."""
    allowed = {scope, *scope.ancestors}
    seen: set[str] = set()
    for fact in profile:
        if fact.scope in allowed and text_key(fact.text) not in seen:
            # The user's own words, which a hit may hold, say the same as the fact drawn from them.
            seen |= {text_key(fact.text), text_key(fact.quote)}
            yield Item(tier="f", id=fact.id, label=fact.kind, text=fact.text)
    for hit in hits:
        if hit.scope in allowed and text_key(hit.text) not in seen:
            seen.add(text_key(hit.text))
            yield from cited_hit(hit)


def cited_hit(hit: Hit) -> Iterator[Item]:
    day = hit.at.date().isoformat()
    if hit.fact_id is not None:
        yield Item(tier="f", id=hit.fact_id, label=day, text=hit.text)
    elif hit.episode_id is not None:
        yield Item(tier="e", id=hit.episode_id, label=f"{day} {hit.role}", text=hit.text)


def citation_length(ids: Collection[str]) -> int:
    """Return how much of an id tells it from the others: whole ids would cost a fifth of the budget."""
    longest_id = max(map(len, ids), default=SHORTEST_CITATION)
    return next((n for n in range(SHORTEST_CITATION, longest_id) if len({i[:n] for i in ids}) == len(ids)), longest_id)


def excerpt(text: str, query: str, fits: Callable[[str], bool]) -> str:
    """Return the longest run of whole words that fits, from the start, or from near the query's words if that run would lack them."""
    words = WORD.findall(text)
    asked = set(terms(query)) - STOP_WORDS
    first = next((place for place, word in enumerate(words) if asked.intersection(terms(word))), 0)
    start, end = 0, longest(words, 0, fits)
    if first >= end:
        start = max(0, first - WORDS_BEFORE)
        end = longest(words, start, fits)
    return with_ellipses(words, start, end) if end - start >= FEWEST_WORDS else ""


def longest(words: list[str], start: int, fits: Callable[[str], bool]) -> int:
    """Find by bisection the last end up to which the words from `start` fit."""
    low, high = start, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(with_ellipses(words, start, middle)) else (low, middle - 1)
    return low


def with_ellipses(words: list[str], start: int, end: int) -> str:
    return ("… " if start else "") + "".join(words[start:end]).strip() + (" …" if end < len(words) else "")
