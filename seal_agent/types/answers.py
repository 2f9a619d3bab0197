"""A reply with how it came about, and what somebody said of it."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Route = Literal["auto", "text", "weights", "both", "base"]
"""Where an answer may come from. "auto" lets the router choose one of the others; with "both" the text holds what the weights don't know;
"base" is the untouched model without context."""
AnswerVerdict = Literal["good", "bad"]
BASE = "base"
"""Stands for the untouched model in an answer's id; no adapter's name is so short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Why an answer came out as it did."""

    route: Route
    """The route taken, never "auto"."""
    adapter: str | None
    cited: tuple[str, ...]
    prompt_tokens: int
    answer_tokens: int
    seconds: dict[str, float]
    why: str = ""
    """Why this route, in words."""
    confidence: float | None = None
    """Calibrated probability that the weights alone are right about this; None where it was not asked for."""
    abstained: bool = False
    """True when neither text nor weights knew, so that the reply says so."""
    answer_id: str = ""
    """Names this answer, for `Scope.feedback`: `<unique>@<adapter, or base>`. Made by itself."""

    def __post_init__(self) -> None:
        if not self.answer_id:
            object.__setattr__(self, "answer_id", f"a_{uuid.uuid4().hex[:16]}@{self.adapter or BASE}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply with its trace."""

    text: str
    trace: Trace
    finished: bool = True
    """False when the token limit cut it off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What somebody said of an answer."""

    answer_id: str
    adapter: str | None
    """Which adapter gave it; None is the base."""
    verdict: AnswerVerdict
    note: str
    at: datetime
    rolled_back: str | None = None
    """Name of the adapter that was taken back because of it."""
