"""Find secrets and personal data in a text: all detectors, each asked only where something could be.

Best effort, by patterns: `docs/privacy.md` has the measured recall per kind. Deliberately decides nothing about what was found; that is
`screen.py`.
"""

import functools
import re
from collections.abc import Iterator

from seal_agent.config import PrivacySettings
from seal_agent.privacy import named, recognisers
from seal_agent.privacy.kinds import Detection, merged
from seal_agent.privacy.patterns import CONFIDENTIAL, own_patterns
from seal_agent.privacy.recognisers import Recognisers

PIECE, OVERLAP = 2_000, 400
"""Characters. Patterns that take quadratic time on hostile text take it on a piece; what is longer than the overlap has a pattern of its
own that reads on."""
LONG_WORD = re.compile(r"[A-Za-z0-9_+/=.:-]{14,}")
KEY_MARKS = ("private key", "putty-user-key", "://", "accountkey")
SEVERAL_DIGITS = re.compile(r"(?:\d[^\d\n]{0,3}){5}")
DOTTED = re.compile(r"\d\.\d{1,3}\.\d|[0-9a-f]{1,4}:[0-9a-f]{0,4}:|[0-9a-f]{2}-[0-9a-f]{2}-[0-9a-f]{2}|[0-9a-f]{4}\.[0-9a-f]{4}\.")
PHONE_DIGITS = re.compile(r"(?:\d[ ().+/–-]{0,3}){7}")
PHONE_CONTEXT = re.compile(
    r"\b(?:tel|telephone|phone|mobile|cell|cellphone|fax|whatsapp|call|ring|text|sms|dial|reach me|telefon|handy|my number)\b",
    re.IGNORECASE,
)
TABLE_LENGTH, TABLE_SHARE = 400, 0.35
"""Longer pieces with a higher share of digits are tables of numbers."""
MAIL_BEFORE, MAIL_AFTER = 70, 260
"""Characters around an @ that an address can take: RFC 5321 allows 64 and 255."""


def scan(text: str, settings: PrivacySettings) -> list[Detection]:
    """Return what was found, sorted by place, without overlaps.

    >>> [(d.kind, d.start, d.end) for d in scan("write to ana@example.com", PrivacySettings())]
    [('email', 9, 24)]
    """
    found = list(in_whole(text, settings))
    for start in range(0, max(len(text) - OVERLAP, 1), PIECE - OVERLAP):
        found += [moved(one, start) for one in in_piece(text[start : start + PIECE], settings)]
    return merged(found)


def moved(one: Detection, by: int) -> Detection:
    return Detection(kind=one.kind, start=one.start + by, end=one.end + by, detector=one.detector)


def in_whole(text: str, settings: PrivacySettings) -> Iterator[Detection]:
    """What may be longer than a piece, or concerns the text as a whole."""
    lowered = text.lower()
    if len(text) > PIECE and "private key" in lowered:
        yield from (one for one in own_patterns(text, "private key") if one.kind == "private_key")
    if CONFIDENTIAL.search(text):
        yield Detection(kind="confidential", start=0, end=len(text), detector="seal:said in confidence")
    for name, regex in custom(tuple(settings.patterns.items())):
        for match in regex.finditer(text):
            if match.end() > match.start():
                yield Detection(kind="custom", start=match.start(), end=match.end(), detector=f"custom:{name}")


def in_piece(text: str, settings: PrivacySettings) -> Iterator[Detection]:
    lowered = text.lower()
    yield from own_patterns(text, lowered)
    if LONG_WORD.search(text) or any(mark in lowered for mark in KEY_MARKS):
        yield from named.keys(text)
    digits = SEVERAL_DIGITS.search(text) is not None
    dotted = DOTTED.search(lowered) is not None
    if not (digits or dotted or "@" in text or LONG_WORD.search(text)):
        return
    personal = recognisers.load(tuple(settings.phone_regions))
    if "@" in text:
        yield from emails(text, personal)
    if digits or LONG_WORD.search(text):
        yield from personal.money(text)
    if digits:
        yield from personal.identities(text)
        yield from phones(text, personal)
    if dotted:
        yield from personal.addresses(text)


def emails(text: str, personal: Recognisers) -> Iterator[Detection]:
    """Look only around each @: the pattern takes quadratic time on long runs of letters and dots."""
    at = text.find("@")
    while at >= 0:
        start = max(0, at - MAIL_BEFORE)
        for one in personal.emails(text[start : at + MAIL_AFTER]):
            yield moved(one, start)
        at = text.find("@", at + MAIL_AFTER // 2)  # those between were seen with room for any usual domain


def phones(text: str, personal: Recognisers) -> Iterator[Detection]:
    """A bare run of digits is a phone number only where the text speaks of one: else it is an order's."""
    if not PHONE_DIGITS.search(text) or is_table(text):
        return
    spoken_of = PHONE_CONTEXT.search(text) is not None
    for one in personal.phones(text):
        if spoken_of or not text[one.start : one.end].isdigit():
            yield one


def is_table(text: str) -> bool:
    """Whether a piece is rather data than talk: there every row would be tried as a number of each country, for seconds."""
    return len(text) > TABLE_LENGTH and sum(map(str.isdigit, text)) > TABLE_SHARE * len(text)


@functools.lru_cache(maxsize=8)
def custom(patterns: tuple[tuple[str, str], ...]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((name, re.compile(pattern)) for name, pattern in patterns)
