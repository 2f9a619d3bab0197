"""The lexical arm: which entries hold the query's words, and how much these tell.

Reads the ledger's full-text index word by word, and remembers where each word stood, so that a word asked for again costs only what was
recorded since. Deliberately weighs nothing against meaning; that is `fusion.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seal_agent.ledger.ledger import Ledger
from seal_agent.retrieval.bm25 import Lexical, bm25
from seal_agent.retrieval.catalogue import Catalogue, Catalogues, Numbers, Positions
from seal_agent.retrieval.lexical import query_words
from seal_agent.types import ScopeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the words say of one scope."""

    scope: ScopeId
    catalogue: Catalogue
    lexical: Lexical
    spoken_of: Numbers
    """1 for what was said by somebody whom the query names, else 0."""


class ByWords:
    """Safe to use from several threads."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._catalogues = Catalogues()

    def find(self, scopes: Sequence[ScopeId], query: str) -> list[Found]:
        """Score all entries of these exact scopes by the words of the query."""
        words = query_words(query)
        catalogues: list[Catalogue] = []
        spoken: list[Numbers] = []
        held: list[list[Positions]] = []
        for scope in scopes:
            shelf = self._catalogues.shelf(scope)
            # The lock first: what another thread has added to the shelf, this connection then sees too.
            with shelf.lock, self._ledger.read() as connection:
                catalogues.append(shelf.refresh(connection))
                held.append(shelf.holding(connection, words))
                spoken.append(shelf.spoken_of(words))
        lexical = bm25(catalogues, distinct(held, len(words)))
        return [
            Found(scope=scope, catalogue=catalogue, lexical=scores, spoken_of=named)
            for scope, catalogue, scores, named in zip(scopes, catalogues, lexical, spoken, strict=True)
        ]


def distinct(held: Sequence[Sequence[Positions]], words: int) -> list[list[Positions]]:
    """Turn scope by scope into word by word, each stem once: two forms of a word ("run", "running") stand in the same places."""
    kept: list[list[Positions]] = []
    for word in range(words):
        places = [of_scope[word] for of_scope in held]
        if any(len(found) for found in places) and not any(all(map(np.array_equal, places, other)) for other in kept):
            kept.append(places)
    return kept
