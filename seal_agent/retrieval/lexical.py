"""The words of a query, whatever the user typed, and what two texts share that say the same.

Deliberately ignorant of the index: the ledger owns the table and its tokenizer, which stems. Any of the words counts, because people ask
in other words than they told; BM25 ranks the entry higher that holds more and rarer ones.
"""

import unicodedata

MAX_TERMS = 64
"""Terms kept of a long query. Beyond that the pasted text, not the question, decides, and the time grows with each term."""

STOP_WORDS = frozenset(
    """
    a about after again all also am an and any are as at be because been before being but by can could did do does doing don for from
    had has have having he her here hers him his how i if in into is it its just ll me more most my no nor not now of off on once only
    or other our ours out over own re s same she should so some such t than that the their them then there these they this those
    through to too under until up us ve very was we were what when where which while who whom whose why will with would you your yours
    """.split()  # noqa: SIM905 - as prose it can be read
)
"""English words that say nothing about the subject. Removing them from queries raised recall@10 from 56 to 60 % on LoCoMo."""


def query_words(text: str) -> list[str]:
    """Return the words of a query that tell something, in order; all of them if none does. Each holds a letter or a digit."""
    found = terms(text)
    telling = [term for term in found if term not in STOP_WORDS] or found
    # Of too many, the longest: length is the best guess at rarity that needs no statistics.
    kept = set(sorted(telling, key=lambda term: (-len(term), term))[:MAX_TERMS])
    return [term for term in telling if term in kept]


def terms(text: str) -> list[str]:
    """Return the distinct lower-case words of a text, in order of appearance.

    Marks stay within a word, for the scripts that write vowels with them; a word of marks alone is none.
    """
    spaced = "".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in text.lower())
    return list(dict.fromkeys(word for word in spaced.split() if any(unicodedata.category(c)[0] != "M" for c in word)))


def text_key(text: str) -> str:
    """Return what two texts share that say the same in the same words: case, width, white space and end punctuation do not count."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(" .!")
