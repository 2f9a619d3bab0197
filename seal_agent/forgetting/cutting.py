"""What remains of a turn when something that was said in it is forgotten: the other sentences, as they were said."""

from collections.abc import Sequence

from seal_agent.consolidation.sentences import sentence_places
from seal_agent.ledger.tombstones import FORGOTTEN_TURN, value_of

JOINT = " ... "
"""Between the two halves of a quote that answers a question (`consolidation/facts.py`)."""


def parts_of(quote: str) -> list[str]:
    """The runs of words that a quote is made of."""
    return [part for part in quote.split(JOINT) if value_of(part)]


def says(text: str, part: str) -> bool:
    """Whether the words occur in the text as a run, whatever the case and punctuation."""
    return f" {value_of(part)} " in f" {value_of(text)} "


def cut(text: str, parts: Sequence[str]) -> str:
    """Return the text without the sentences that say one of the parts, or belong to one; `FORGOTTEN_TURN` when none stays."""
    pieces = [text[start:end] for start, end in sentence_places(text)]
    kept = [piece for piece in pieces if not any(says(piece, part) or says(part, piece) for part in parts)]
    return " ".join(kept) if any(c.isalnum() for piece in kept for c in piece) else FORGOTTEN_TURN
