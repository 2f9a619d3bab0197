"""Microsoft Agent Framework: a context provider that recalls before each run and records after it.

What is recalled goes ahead of the user's message, with no more authority than the user. Deliberately keeps nothing in the session's state,
so that no session store holds what is remembered.
"""

from collections.abc import Sequence
from typing import Any

from seal_agent.errors import MissingDependencyError
from seal_agent.scope import Scope
from seal_agent.time_box import awithin
from seal_agent.types import Turn

try:
    from agent_framework import AgentSession, ContextProvider, Message, SessionContext
except ImportError as error:
    raise MissingDependencyError("Microsoft Agent Framework is not installed: pip install 'agent-framework-core>=1.23,<2'") from error

SOURCE = "agent-framework"
SECONDS = 8.0
"""Longest that a run waits for what is remembered."""


class SealContextProvider(ContextProvider):  # type: ignore[misc]  # the framework is not installed where types are checked
    """`Agent(client, context_providers=[SealContextProvider(memory.scope(user="ana"))])`."""

    def __init__(self, scope: Scope, *, source_id: str = "seal_agent", budget: int | None = None, record: bool = True) -> None:
        super().__init__(source_id)
        self._scope = scope
        self._budget = budget
        self._record = record

    async def before_run(self, *, agent: Any, session: AgentSession, context: SessionContext, state: dict[str, Any]) -> None:
        """Search by what the user says, once per run."""
        asked = "\n".join(turn.content for turn in to_turns(context.input_messages) if turn.role == "user")
        if not asked:
            return
        found = await awithin(SECONDS, f"recalling for {self._scope.id.key}", lambda: self._scope.context(asked, self._budget))
        if found is not None and found.text:
            context.extend_messages(self, [Message("user", [found.text])])

    async def after_run(self, *, agent: Any, session: AgentSession, context: SessionContext, state: dict[str, Any]) -> None:
        """Record what was said, without what was recalled."""
        turns = [turn for turn in to_turns(context.input_messages) if turn.role == "user"]
        if not self._record or not turns:
            return
        reply = [] if context.response is None else to_turns(context.response.messages)[-1:]
        said = [*turns, *(turn for turn in reply if turn.role == "assistant")]
        await awithin(
            SECONDS, f"recording for {self._scope.id.key}", lambda: self._scope.add(said, session=context.session_id, source=SOURCE)
        )


def to_turns(messages: Sequence[Message]) -> list[Turn]:
    """What the messages of user and assistant say."""
    said = [(str(getattr(message.role, "value", message.role)), message.text) for message in messages]
    return [
        Turn(role="user" if role == "user" else "assistant", content=text)
        for role, text in said
        if role in ("user", "assistant") and text.strip()
    ]
