"""Consolidations that were asked for over HTTP: they take minutes, so they run in a thread and are asked after.

One at a time over all scopes: two would only slow each other down, and the answers beside them. Deliberately keeps the last report of each
scope in memory only; the ledger has the history.
"""

import logging
import threading
from dataclasses import dataclass
from http import HTTPStatus

from seal_agent.errors import CycleInterruptedError, SealAgentError
from seal_agent.scope import Scope
from seal_agent.server.metrics import Metrics
from seal_agent.server.refusals import Refusal, error_body, refusal_of
from seal_agent.types import CycleReport, Progress, ScopeId

logger = logging.getLogger(__name__)

STOP_SECONDS = 20.0
"""How long the end of the server waits for a cycle to stop; then it is failed at the next start, as after a crash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A cycle that is on its way."""

    state: str = "running"
    stage: str = "begin"
    done: int = 0
    total: int = 0
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A cycle that could not be run at all. One that ran and failed has a report."""

    error: object
    state: str = "failed"


Outcome = Running | CycleReport | Failed


class Cycles:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._stop = threading.Event()
        self._outcomes: dict[ScopeId, Outcome] = {}
        self._thread: threading.Thread | None = None
        self._turn = threading.Lock()

    def start(self, scope: Scope) -> Running:
        """Begin a cycle; raise a 409 while one runs."""
        with self._turn:
            if self._thread is not None and self._thread.is_alive():
                raise Refusal(HTTPStatus.CONFLICT, "A consolidation is running already; ask again when it has ended.", code="cycle_running")
            running = Running()
            self._outcomes[scope.id] = running
            self._thread = threading.Thread(target=self._run, args=(scope,), name="seal-cycle", daemon=True)
            self._thread.start()
        return running

    def outcome(self, scope: ScopeId) -> Outcome | None:
        """Return how the last cycle of a scope stands; None when none was started here."""
        return self._outcomes.get(scope)

    def stop(self) -> None:
        """Stop what runs, at its next step, and wait for it."""
        self._stop.set()
        thread = self._thread
        if thread is not None:
            thread.join(STOP_SECONDS)

    def _run(self, scope: Scope) -> None:
        def note(progress: Progress) -> None:
            self._outcomes[scope.id] = Running(
                stage=progress.stage, done=progress.done, total=progress.total, seconds_left=progress.seconds_left
            )

        outcome: Outcome
        try:
            outcome = scope.consolidate(progress=note, should_stop=self._stop.is_set)
        except SealAgentError as error:
            level = logging.INFO if isinstance(error, CycleInterruptedError) else logging.ERROR
            logger.log(level, "the consolidation of %s ended: %s", scope.id.key, type(error).__name__)
            refusal = refusal_of(error)
            outcome = Failed(error=error_body(refusal.status_code, refusal.detail, code=refusal.code)["error"])
        except BaseException:  # a bug; whoever asks must not be told for ever that it runs
            self._outcomes[scope.id] = Failed(error=error_body(500, "Something went wrong in the cycle.", code="internal_error")["error"])
            raise
        self._outcomes[scope.id] = outcome
        self._metrics.cycles.labels(outcome.state).inc()
