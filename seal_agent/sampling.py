"""How one answer is drawn from the model: its length, its temperature, where it stops. One value per request, whatever it is batched with.

Deliberately knows no model: each implementation says in its own words what it can't do.
"""

import math
from dataclasses import dataclass

from seal_agent.errors import UsageError

MAX_STOPS = 16
MAX_STOP_CHARACTERS = 200
MAX_TEMPERATURE = 2.0
MAX_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Raise `UsageError` for what can't be sampled with; temperature 0 is greedy and then `top_p` and `seed` change nothing."""

    max_tokens: int = 64
    """Longest answer, in tokens of the model."""
    temperature: float = 0.0
    top_p: float = 1.0
    """Nucleus sampling (Holtzman et al. 2020, arXiv 1904.09751): only the likeliest tokens that together have this probability."""
    seed: int = 0
    """The same seed gives the same answer, whatever runs beside it."""
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these."""

    def __post_init__(self) -> None:
        if isinstance(self.max_tokens, bool) or not isinstance(self.max_tokens, int) or self.max_tokens < 1:
            raise UsageError(f"max_tokens={self.max_tokens!r} is no length of an answer: give 1 or more tokens.")
        if not is_number(self.temperature) or not 0 <= self.temperature <= MAX_TEMPERATURE:
            raise UsageError(f"temperature={self.temperature!r} is not in [0, {MAX_TEMPERATURE:g}]; 0 is greedy.")
        if not is_number(self.top_p) or not 0 < self.top_p <= 1:
            raise UsageError(f"top_p={self.top_p!r} is not in (0, 1]; 1 leaves every token in.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed <= MAX_SEED:
            raise UsageError(f"seed={self.seed!r} is no seed: give a whole number from 0 to 2**63 - 1.")
        if not isinstance(self.stop, tuple) or len(self.stop) > MAX_STOPS or not all(is_stop(text) for text in self.stop):
            raise UsageError(f"stop={str(self.stop)[:80]}: give at most {MAX_STOPS} non-empty texts of {MAX_STOP_CHARACTERS} characters.")


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_stop(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= MAX_STOP_CHARACTERS


def check_timeout(seconds: float | None) -> float | None:
    """Raise `UsageError` for what is no time to wait; None waits as long as it takes."""
    if seconds is not None and (not is_number(seconds) or seconds <= 0):
        raise UsageError(f"timeout={seconds!r} is no time to wait: give seconds above 0, or None.")
    return seconds


def cut_at(text: str, stops: tuple[str, ...]) -> tuple[str, bool]:
    """Return the text up to the first stop string in it, and whether there was one."""
    places = [place for place in (text.find(stop) for stop in stops) if place >= 0]
    return (text[: min(places)], True) if places else (text, False)


GREEDY = Sampling()
