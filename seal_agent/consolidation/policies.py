"""Edit policies: which prompts the writer is asked with, how often, and how much deterministic material is mixed in.

A night uses the policy that won in practice, or the settings where none did. Deliberately few: each one costs inner loops to tell apart.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from seal_agent.config import SelfEditSettings
from seal_agent.consolidation.prompts import PORTFOLIO, QUESTION, REMINDER, WriterPrompt

PromptName = Literal["question", "reminder"]
PROMPTS: dict[PromptName, WriterPrompt] = {"question": QUESTION, "reminder": REMINDER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One way to come by a self-edit."""

    prompts: tuple[PromptName, ...]
    per_fact: int
    """Lines asked for, per fact and prompt."""
    floor: int
    """Most deterministic items per fact beside what was written."""

    @property
    def asked_with(self) -> tuple[WriterPrompt, ...]:
        return tuple(PROMPTS[name] for name in self.prompts)

    @property
    def text(self) -> str:
        """The policy as one line of JSON."""
        return POLICY.dump_json(self).decode()


POLICY = TypeAdapter(Policy)

POLICIES = (
    Policy(prompts=("question",), per_fact=4, floor=2),
    Policy(prompts=("question", "reminder"), per_fact=4, floor=2),
    Policy(prompts=("question", "reminder"), per_fact=2, floor=4),
)
"""Tried in turn, one per self-edit of a context. Little of the floor, so that what is written shows in the reward."""


def adopted(policy: Policy | None, settings: SelfEditSettings) -> tuple[tuple[WriterPrompt, ...], SelfEditSettings]:
    """The prompts and settings of a night: the winner's, whose floor fills up what it leaves, or the settings as they are."""
    if policy is None:
        return PORTFOLIO, settings
    return policy.asked_with, settings.model_copy(update={"questions_per_fact": policy.per_fact})
