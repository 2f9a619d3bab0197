"""The watch over a promotion: what people say of the new adapter's answers, and how many requests with it fail.

Worse than allowed, and worse than under its predecessor, beyond what chance explains: the live pointer goes back to the predecessor, and an
event says so. It never flaps: only what a night promoted is judged, and only by what happened since, so what a roll back or a person made
live stays; and what was taken back is not trained again as it was (`consolidation/settling.py`).
"""

import logging
import math
from typing import get_args

from sqlalchemy import Connection

from seal_agent.adapters.switch import promotion_reason, switch
from seal_agent.adapters.withdraw import clean_ancestor
from seal_agent.config import WatchSettings
from seal_agent.errors import (
    DeadlineError,
    GenerationError,
    IntegrityError,
    OverloadedError,
    SealAgentError,
    UnknownRecordError,
    UsageError,
)
from seal_agent.ledger.adapters import get_adapter
from seal_agent.ledger.feedback import count_feedback, record_feedback
from seal_agent.ledger.live import last_change
from seal_agent.ledger.nights import add_event
from seal_agent.parts import Parts
from seal_agent.types import BASE, Adapter, Answer, AnswerVerdict, Feedback, ScopeId, Trace

logger = logging.getLogger(__name__)

CHANCE = 1.645
"""Standard deviations: one-sided 95 %."""
PER_GIVER = 3
"""Verdicts of one user that count on an adapter shared by several: one loud voice must not take it from all."""
LONGEST_NOTE = 2000
ROLLED_BACK = "rolled_back"


def give(parts: Parts, scope: ScopeId, answer: Answer | Trace | str, verdict: AnswerVerdict, note: str) -> Feedback:
    """Record what somebody says of an answer, and take the adapter back if that was once too often; a later verdict replaces an earlier.

    Raise `UnknownRecordError` for an answer that was not given in this scope, `UsageError` for what is no verdict.
    """
    if verdict not in get_args(AnswerVerdict):
        raise UsageError(f"verdict={verdict!r}: say {' or '.join(get_args(AnswerVerdict))}.")
    if len(note) > LONGEST_NOTE:
        raise UsageError(f"The note is {len(note)} characters long; at most {LONGEST_NOTE} are kept.")
    trace = answer.trace if isinstance(answer, Answer) else answer
    answer_id = trace.answer_id if isinstance(trace, Trace) else trace
    if not isinstance(answer_id, str):
        raise UsageError(f"{type(answer).__name__} is no answer: pass the answer, its trace, or trace.answer_id.")
    adapter = adapter_of(answer_id)
    given = Feedback(answer_id=answer_id, adapter=adapter, verdict=verdict, note=note, at=parts.clock())
    with parts.ledger.write() as conn:
        if adapter is not None and get_adapter(conn, adapter).scope not in (scope, *scope.ancestors):
            raise UnknownRecordError(f"No adapter {adapter!r} answers in {scope.key!r}.")
        record_feedback(conn, scope, given)
    back = review(parts, adapter) if adapter is not None and verdict == "bad" else None
    return Feedback(answer_id=answer_id, adapter=adapter, verdict=verdict, note=note, at=given.at, rolled_back=back)


def adapter_of(answer_id: str) -> str | None:
    """An answer's id says by itself which adapter gave it, so that none needs to be recorded; raise `UnknownRecordError`."""
    nonce, separator, name = answer_id.partition("@")
    if not nonce or not separator or not name:
        raise UnknownRecordError(f"{answer_id!r} is no answer's id; pass the answer, its trace, or trace.answer_id.")
    return None if name == BASE else name


def note_request(parts: Parts, adapter: str | None, error: BaseException | None = None) -> None:
    """Count how a request with an adapter ended; enough of them failing takes it back. Raises nothing of its own."""
    if adapter is None:
        return
    failed = isinstance(error, GenerationError | IntegrityError) and not isinstance(error, OverloadedError | DeadlineError)
    parts.vitals.note(adapter, failed=failed)
    if not failed:
        return
    try:
        review(parts, adapter)
    except SealAgentError as problem:
        logger.warning("the watch could not judge %s: %s", adapter, problem)


def review(parts: Parts, name: str) -> str | None:
    """Take an adapter back if it does worse than it may; return its name if that was done."""
    settings = parts.settings.watch
    with parts.ledger.read() as conn:
        adapter = get_adapter(conn, name)
        reason = regression(conn, adapter, settings) or failing(*parts.vitals.of(name), settings)
        target = None if reason is None else clean_ancestor(conn, adapter.scope, parts.serving.is_sound)
    if reason is None:
        return None
    with parts.ledger.write() as conn:
        if not was_promoted(conn, adapter):
            return None
        at = parts.clock()
        switch(conn, adapter.scope, target, at, f"rolled back by the watch: {reason}")
        text = f"{name} was rolled back to {target or 'the base'}: {reason}"
        add_event(conn, adapter.scope.key, at, ROLLED_BACK, text, name)
    logger.warning("%s", text)
    return name


def was_promoted(conn: Connection, adapter: Adapter) -> bool:
    """Whether the adapter is live because a night made it so, and nobody has decided anything since."""
    change = last_change(conn, adapter.scope)
    return change is not None and change.adapter == adapter.name and change.reason == promotion_reason(adapter.cycle_id)


def regression(conn: Connection, adapter: Adapter, settings: WatchSettings) -> str | None:
    """Why its answers are worse than they may be, going by what was said of them since the promotion; or None."""
    change = last_change(conn, adapter.scope)
    if change is None or not was_promoted(conn, adapter):
        return None
    per_giver = PER_GIVER if adapter.scope.user is None else None
    verdicts, bad = count_feedback(conn, adapter.name, change.at, per_giver)
    if verdicts < settings.min_verdicts:
        return None
    allowed = settings.max_bad_share
    if adapter.parent is not None:
        before, bad_before = count_feedback(conn, adapter.parent, None, per_giver)
        if before >= settings.min_verdicts:
            allowed = max(allowed, bad_before / before)
    if least_share(bad, verdicts) <= allowed:
        return None
    return f"{bad} of {verdicts} answers were called bad (at most {allowed:.0%}, watch.max_bad_share)"


def failing(requests: int, failed: int, settings: WatchSettings) -> str | None:
    """Why too many requests fail, or None."""
    if requests < settings.min_requests or least_share(failed, requests) <= settings.max_error_share:
        return None
    return f"{failed} of {requests} requests failed (at most {settings.max_error_share:.0%}, watch.max_error_share)"


def least_share(part: int, whole: int) -> float:
    """Lower end of the Wilson score interval of a share: what it is at least, were it not for chance."""
    share, z = part / whole, CHANCE
    centre = share + z * z / (2 * whole)
    spread = z * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    return (centre - spread) / (1 + z * z / whole)
