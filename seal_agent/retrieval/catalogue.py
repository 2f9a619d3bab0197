"""The catalogue: what ranking needs to know of every entry of a scope besides its words and its vector, in memory.

Where it stands in its conversation, who said it, on which day, how long it is. About 40 bytes an entry. Deliberately holds no text; kept
current by reading what was recorded since, and read anew when something earlier was changed or removed.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from seal_agent.ledger.postings import Placed, Seqs, Standing, placed_after, seqs_with, standing
from seal_agent.retrieval.labels import author, day_words
from seal_agent.retrieval.lexical import terms
from seal_agent.types import ScopeId

Positions = npt.NDArray[np.int64]
"""Places of entries in their catalogue, ascending."""
Numbers = npt.NDArray[np.float64]

KEPT_ENTRIES = 1_000_000
"""Entries of all catalogues kept in memory; the scope in use is kept whatever its size."""
KEPT_POSTINGS = 2_000_000
"""Places of words kept per scope, 16 MB."""
LABEL_CHARACTERS = 15
"""The author's name and the date count as part of a turn, about as long as "Ana, 8 May 2023"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The entries of one scope, in recorded order; never changed once made."""

    seqs: Seqs
    before: Positions
    """Place of the turn before in the same conversation; the number of entries, which is also the last place here, stands for none."""
    after: Positions
    characters: Numbers
    """Of the text with its author and date."""
    spans: Numbers
    """Characters of the window around each entry."""
    conversations: Positions
    """Number of the conversation that the entry is part of; a fact is one of its own."""
    conversation_characters: Numbers
    """One per conversation."""
    authors: npt.NDArray[np.int64]
    """Number of the author, into `Names`."""
    days: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.seqs)

    def places(self, seqs: Seqs) -> Positions:
        """Where these entries are; those of other scopes are left out."""
        if not len(self.seqs):
            return np.empty(0, dtype=np.int64)
        found = np.searchsorted(self.seqs, seqs)
        inside = np.minimum(found, len(self.seqs) - 1)
        places: Positions = inside[self.seqs[inside] == seqs]
        return places

    def neighbours(self, places: Positions) -> list[Positions]:
        """The turns one before, two before, one after and two after each of these."""
        before, after = self.before[places], self.after[places]
        return [before, self.before[before], after, self.after[after]]

    def around(self, values: Numbers) -> Numbers:
        """The sum of each entry's value and its neighbours'."""
        padded = np.append(values, 0.0)
        total: Numbers = values + np.sum([padded[places] for places in self.neighbours(np.arange(len(self)))], axis=0)
        return total


EMPTY = Catalogue(
    seqs=np.empty(0, dtype=np.int64),
    before=np.zeros(1, dtype=np.int64),
    after=np.zeros(1, dtype=np.int64),
    characters=np.empty(0),
    spans=np.empty(0),
    conversations=np.empty(0, dtype=np.int64),
    conversation_characters=np.empty(0),
    authors=np.empty(0, dtype=np.int64),
    days=np.empty(0, dtype=np.int64),
)
NOT_READ: tuple[int, Positions] = (0, np.empty(0, dtype=np.int64))
"""Of a word that nobody asked for yet."""


class Names:
    """Words for authors and days, each distinct one numbered."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.words: list[frozenset[str]] = []

    def number(self, name: str, words: Callable[[str], Iterable[str]]) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self.words)
            self.words.append(frozenset(words(name)))
        return self._numbers[name]

    def named(self, word: str) -> npt.NDArray[np.bool_]:
        """Which of the numbers this word names."""
        return np.fromiter((word in words for words in self.words), dtype=np.bool_, count=len(self.words))

    def places(self, word: str, numbers: npt.NDArray[np.int64]) -> Positions:
        """Where the numbers are those that this word names; few words name any, and then no entry is looked at."""
        named = self.named(word)
        return np.flatnonzero(named[numbers]) if named.any() else np.empty(0, dtype=np.int64)


@dataclass(slots=True)
class Shelf:
    """A scope's catalogue with what it is kept current by."""

    scope: ScopeId
    standing: Standing = field(default_factory=lambda: Standing(newest=0, changes=0))
    catalogue: Catalogue = EMPTY
    authors: Names = field(default_factory=Names)
    days: Names = field(default_factory=Names)
    threads: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Number of each conversation and place of its last turn."""
    postings: OrderedDict[str, tuple[int, Positions]] = field(default_factory=OrderedDict)
    """Where each word asked for so far stands, and up to which sequence number that was read; the last asked for last."""
    kept_postings: int = 0
    """Places in `postings`."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def refresh(self, connection: Connection) -> Catalogue:
        """Bring the catalogue up to what the connection sees, and return it."""
        now = standing(connection, self.scope.key)
        if now == self.standing:
            return self.catalogue
        if now.changes != self.standing.changes:
            self.catalogue, self.threads, self.postings, self.kept_postings = EMPTY, {}, OrderedDict(), 0
            self.authors, self.days = Names(), Names()  # a name that was forgotten is not kept here either
            self._append(placed_after(connection, self.scope.key, 0))
        else:
            self._append(placed_after(connection, self.scope.key, self.standing.newest))
        self.standing = now
        return self.catalogue

    def _append(self, placed: list[Placed]) -> None:
        old = self.catalogue
        start, total = len(old), len(old) + len(placed)
        before, after = np.full(total + 1, total), np.full(total + 1, total)
        # "None" is written as the number of entries, which has grown.
        before[:start] = np.where(old.before[:start] == start, total, old.before[:start])
        after[:start] = np.where(old.after[:start] == start, total, old.after[:start])
        conversations = np.concatenate([old.conversations, np.zeros(len(placed), dtype=np.int64)])
        count = len(old.conversation_characters)
        for place, entry in enumerate(placed, start):
            number, last = self.threads.get(entry.thread or "", (count, total))
            if last < total:
                before[place], after[last] = last, place
            count += number == count
            conversations[place] = number
            if entry.thread is not None:
                self.threads[entry.thread] = (number, place)
        characters = np.concatenate([old.characters, np.array([e.characters + LABEL_CHARACTERS for e in placed], dtype=np.float64)])
        said_by = [author(self.scope, entry.role, entry.name) for entry in placed]
        catalogue = Catalogue(
            seqs=np.concatenate([old.seqs, np.array([entry.seq for entry in placed], dtype=np.int64)]),
            before=before,
            after=after,
            characters=characters,
            conversations=conversations,
            conversation_characters=np.bincount(conversations, weights=characters, minlength=count).astype(np.float64),
            authors=np.concatenate([old.authors, self._numbered(self.authors, said_by, terms)]),
            days=np.concatenate([old.days, self._numbered(self.days, [entry.day for entry in placed], day_words)]),
            spans=np.empty(0),
        )
        self.catalogue = replace(catalogue, spans=catalogue.around(catalogue.characters))

    @staticmethod
    def _numbered(names: Names, given: list[str], words: Callable[[str], Iterable[str]]) -> npt.NDArray[np.int64]:
        return np.array([names.number(name, words) for name in given], dtype=np.int64)

    def spoken_of(self, words: Sequence[str]) -> Numbers:
        """1 for each entry by an author whom one of the words names, else 0. Call after `refresh`."""
        nobody = np.zeros(len(self.authors.words), dtype=np.bool_)  # a query need not hold a word
        named = np.any([nobody, *(self.authors.named(word) for word in words)], axis=0)
        said_by = self.catalogue.authors
        return named.astype(np.float64)[said_by] if named.any() else np.zeros(len(said_by))

    def holding(self, connection: Connection, words: Sequence[str]) -> list[Positions]:
        """Where each word stands: in the text, in the author's name, or in the date. Call after `refresh` on the same connection."""
        unread = any(self.postings.get(word, NOT_READ)[0] < self.standing.newest for word in words)
        total = connection.exec_driver_sql("SELECT max(seq) FROM entries").scalar_one() if unread else None
        share = len(self.catalogue) / (total or 1)
        return [self._read(connection, word, share) for word in words]

    def _read(self, connection: Connection, word: str, share: float) -> Positions:
        catalogue = self.catalogue
        read_up_to, known = self.postings.pop(word, NOT_READ)
        self.kept_postings -= len(known)
        if read_up_to < self.standing.newest:
            fresh = catalogue.places(seqs_with(connection, word, self.scope.key, read_up_to, share=share))
            named = np.union1d(self.authors.places(word, catalogue.authors), self.days.places(word, catalogue.days))
            known = np.concatenate([known, np.union1d(fresh, named[catalogue.seqs[named] > read_up_to])])
        if len(catalogue):
            self.postings[word] = (self.standing.newest, known)
            self.kept_postings += len(known)
        while len(self.postings) > 1 and self.kept_postings > KEPT_POSTINGS:
            self.kept_postings -= len(self.postings.popitem(last=False)[1][1])
        return known


class Catalogues:
    """The catalogues of a brain, the most recently used kept. Safe to use from several threads."""

    def __init__(self, kept_entries: int = KEPT_ENTRIES) -> None:
        self._kept_entries = kept_entries
        self._shelves: OrderedDict[str, Shelf] = OrderedDict()
        self._lock = threading.Lock()

    def shelf(self, scope: ScopeId) -> Shelf:
        """Return the scope's shelf, to be locked while it is used."""
        with self._lock:
            found = self._shelves.setdefault(scope.key, Shelf(scope))
            self._shelves.move_to_end(scope.key)
            while len(self._shelves) > 1 and sum(len(shelf.catalogue) for shelf in self._shelves.values()) > self._kept_entries:
                self._shelves.popitem(last=False)
            return found
