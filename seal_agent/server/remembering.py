"""Recording a chat once it is answered. A chat that can't be recorded is answered all the same, and counted."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from seal_agent.errors import SealAgentError
from seal_agent.scope import Scope
from seal_agent.server.metrics import Metrics
from seal_agent.turns import is_blank
from seal_agent.types import Turn

logger = logging.getLogger(__name__)

SOURCE = "chat"
INTERRUPTED = "interrupted"
"""The outcome of a chat whose client left before the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """Where a chat goes once it is answered; `wanted=False` records nothing."""

    scope: Scope
    said: Sequence[Turn]
    """What is new in the request."""
    session: str | None
    wanted: bool
    metrics: Metrics

    def record(self, answer: str, outcome: str | None = None) -> str | None:
        """Record what was said and answered; return the episode's id, None when nothing was recorded."""
        if not self.wanted or not self.said:
            return None
        replied = () if is_blank(answer) else (Turn(role="assistant", content=answer),)
        try:
            episode = self.scope.add([*self.said, *replied], session=self.session, source=SOURCE, outcome=outcome)
        except SealAgentError as error:
            logger.error("a chat of %s was answered but not recorded: %s", self.scope.id.key, type(error).__name__)
            self.metrics.not_recorded.inc()
            return None
        self.metrics.recorded.inc()
        return episode.id
