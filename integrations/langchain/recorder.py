"""SealCallbackHandler: record what any LangChain code says to a chat model, without touching that code.

For agents there is `SealMemoryMiddleware`. Deliberately records exchanges only: what the user said last and the final reply; no system
prompt, no tool output, no intermediate call. A failure to record is logged and never reaches the caller.
"""

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from seal_agent.errors import MissingDependencyError, SealAgentError
from seal_agent.types import Turn

try:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.messages import AIMessage, BaseMessage
    from langchain_core.outputs import ChatGeneration, LLMResult
except ImportError as error:
    raise MissingDependencyError("LangChain is not installed: pip install 'langchain-core>=1.7,<2'") from error

from .conversation import exchange, failure
from .whose import ScopeSource, scope_of

logger = logging.getLogger(__name__)

SOURCE = "langchain"
MOST_PENDING = 10_000
"""Calls remembered while they run: one that never ends must not be kept for ever."""


class SealCallbackHandler(BaseCallbackHandler):
    """Pass it as a callback: `model.invoke(..., config={"callbacks": [SealCallbackHandler(ana)]})`.

    With a brain instead of a scope, `config["metadata"]["user_id"]` says whose words they are.
    """

    def __init__(self, memory: ScopeSource, *, agent: str = "default", session: str | None = None) -> None:
        self._memory = memory
        self._agent = agent
        self._session = session
        self._pending: dict[UUID, tuple[Sequence[BaseMessage], dict[str, Any]]] = {}

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **_: Any,  # Any: LangChain passes more than is used here
    ) -> None:
        """Keep what is asked until it is answered."""
        if len(self._pending) >= MOST_PENDING:
            self._pending.pop(next(iter(self._pending)))
        self._pending[run_id] = (messages[0] if messages else [], metadata or {})

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """Record the exchange, unless the reply only calls tools."""
        asked, metadata = self._pending.pop(run_id, ([], {}))
        generation = response.generations[0][0] if response.generations and response.generations[0] else None
        reply = generation.message if isinstance(generation, ChatGeneration) else None
        if asked and isinstance(reply, AIMessage) and not reply.tool_calls:
            self._record([*asked, reply], metadata, run_id, None)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Record what was asked, and that it failed."""
        asked, metadata = self._pending.pop(run_id, ([], {}))
        if asked:
            self._record(asked, metadata, run_id, failure(error))

    def _record(self, messages: Sequence[BaseMessage], metadata: dict[str, Any], run_id: UUID, outcome: str | None) -> None:
        try:
            turns: list[Turn] = exchange(messages)
            if turns:
                scope = scope_of(self._memory, self._agent, None, {"configurable": metadata})
                scope.add(turns, session=self._session or metadata.get("thread_id"), source=SOURCE, outcome=outcome, id=f"lc-{run_id.hex}")
        except SealAgentError as error:
            logger.warning("an exchange of run %s was not recorded: %s", run_id, error)
