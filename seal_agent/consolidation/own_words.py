"""What a user said in their own words: the part of a recorded turn from which facts may be drawn.

People paste: documents, tool output, mail, blocks of recalled memory. None of it is theirs, so it is left out here, and so is a turn
from the first sentence on that gives an order to the model. The ledger is not touched.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from seal_agent.consolidation.orders import is_order
from seal_agent.consolidation.sentences import split_sentences
from seal_agent.types import Episode, Turn

PASTED = re.compile(
    r"```.*?(?:```|\Z)"  # a code block, also one that nobody closed
    r"|^[ \t]*>[^\n]*$"  # quoted lines
    r"|<(?P<tag>documents?|doc|file|page|context|source|search_results?|results?|quote|blockquote|email|attachment|tool_\w+|article|web\w*)\b"
    r"[^>\n]{0,200}>.*?(?:</(?P=tag)>|\Z)"
    r"|<<(?P<nonce>[0-9a-f]{16})\b.*?(?:(?P=nonce)>>|\Z)"  # a fence of `retrieval/fence.py`
    r"|^-{3,} ?(?:begin|start|forwarded|original)\b.*?(?:^-{3,} ?end\b.*?$|\Z)",
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)


def in_own_words(episodes: Iterable[Episode], hearsay: Sequence[str]) -> tuple[Episode, ...]:
    """Copies of the episodes without what was pasted or ordered; those from a source that begins with one of `hearsay` are left out."""
    said = [episode for episode in episodes if not episode.source.lower().startswith(tuple(hearsay))]
    return tuple(replace(episode, turns=tuple(own_turn(turn) for turn in episode.turns)) for episode in said)


def own_turn(turn: Turn) -> Turn:
    return replace(turn, content=own_words(turn.content)) if turn.role == "user" else turn


def own_words(text: str) -> str:
    """The text without pasted blocks, up to the first sentence that gives an order."""
    # Stripping one "^[ \t]*>" line leaves a line break, so that the sentences around it stay apart.
    own = PASTED.sub("\n", text)
    start = 0
    for sentence in split_sentences(own):
        start = max(own.find(sentence, start), start)
        if is_order(sentence):
            return own[:start].rstrip()
        start += len(sentence)
    return own
