"""The portfolio of prompts with which the model writes study material.

Worked examples come first in every prompt, because small models write by imitation; they are the same for all facts, so they are encoded
once per batch. Prompts after SEAL (arXiv 2506.10943) and SPA (arXiv 2603.22213), shortened to one line of output each.
"""

from dataclasses import dataclass

from seal_agent.types import Fact, SelfEditKind, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterPrompt:
    """One way to ask the model for one line about one fact."""

    kind: SelfEditKind
    task: str
    examples: tuple[tuple[str, str], ...]
    max_tokens: int

    def turns(self, fact: Fact) -> tuple[Turn, ...]:
        """The chat that ends where the model writes."""
        chat = [Turn(role="system", content=self.task)]
        for note, line in self.examples:
            chat += [Turn(role="user", content=note), Turn(role="assistant", content=line)]
        return (*chat, Turn(role="user", content=f"{fact.scope.subject}: {fact.quote}"))


QUESTION = WriterPrompt(
    kind="question",
    task="Write one question that the note answers.",
    examples=(
        ("Tom: I play the cello in a small orchestra.", "Which instrument does Tom play?"),
        ("Mia: please put the invoices in the blue folder", "Where should Mia's invoices be put?"),
    ),
    max_tokens=18,
)

PORTFOLIO = (QUESTION,)
