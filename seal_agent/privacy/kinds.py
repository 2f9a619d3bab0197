"""What is looked for: the kinds, and what one detection says. Never the text itself: a detection can be logged."""

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal[
    "private_key",
    "api_key",
    "access_token",
    "password",
    "credit_card",
    "bank_account",
    "national_id",
    "crypto_wallet",
    "email",
    "ip_address",
    "phone",
    "birth_date",
    "confidential",
    "custom",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In this order: where two kinds overlap, the one that comes first gives its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """One place in a text: characters `start` to `end`, what is there, and which detector says so."""

    kind: Kind
    start: int
    end: int
    detector: str
    """`presidio:US_SSN`, `detect-secrets:AWS Access Key`, `seal:password phrase`, `custom:NAME`."""


def merged(detections: list[Detection]) -> list[Detection]:
    """Join detections that overlap, so that each character belongs to one; sorted by place."""
    result: list[Detection] = []
    for found in sorted(detections, key=lambda d: (d.start, -d.end)):
        if result and found.start < result[-1].end:
            last = result[-1]
            named = min(last, found, key=lambda d: KINDS.index(d.kind))
            result[-1] = Detection(kind=named.kind, start=last.start, end=max(last.end, found.end), detector=named.detector)
        else:
            result.append(found)
    return result
