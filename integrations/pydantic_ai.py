"""Pydantic AI: a capability that recalls before each model request and records each run, failures too.

What is recalled is put into the request only, ahead of the user's words; the message history stays as it is. Deliberately searches once per
run, however many requests it makes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from seal_agent.errors import MissingDependencyError
from seal_agent.scope import Scope
from seal_agent.time_box import awithin
from seal_agent.types import Turn

try:
    from pydantic_ai import AgentRunResult, RunContext
    from pydantic_ai.capabilities import AbstractCapability
    from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
    from pydantic_ai.models import ModelRequestContext
except ImportError as error:
    raise MissingDependencyError("Pydantic AI is not installed: pip install 'pydantic-ai-slim>=2.68,<3'") from error

SECONDS = 8.0
"""Longest that a run waits for what is remembered."""
MOST_RUNS = 1_000
"""Runs whose recalled text is kept: one that is given up in the middle must not be kept for ever."""


@dataclass
class SealMemory(AbstractCapability[Any]):  # type: ignore[misc]  # Pydantic AI is not installed where types are checked
    """`Agent(model, capabilities=[SealMemory(memory.scope(user="ana"))])`."""

    scope: Scope
    budget: int | None = None
    """Tokens of what is recalled; None is the brain's setting."""
    record: bool = True
    _recalled: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    async def before_model_request(self, ctx: RunContext[Any], request_context: ModelRequestContext) -> ModelRequestContext:
        """Add what is remembered to this request."""
        block = await self._block(str(ctx.run_id), prompt_text(ctx.prompt))
        return replace(request_context, messages=with_block(request_context.messages, block)) if block else request_context

    async def after_run(self, ctx: RunContext[Any], *, result: AgentRunResult[Any]) -> AgentRunResult[Any]:
        """Record what was said."""
        self._recalled.pop(str(ctx.run_id), None)
        await self._add(ctx, str(result.output), None)
        return result

    async def on_run_error(self, ctx: RunContext[Any], *, error: BaseException) -> AgentRunResult[Any]:
        """Record what was asked, and that it failed."""
        self._recalled.pop(str(ctx.run_id), None)
        await self._add(ctx, "", f"failed: {type(error).__name__}")
        raise error

    async def _block(self, run: str, asked: str) -> str:
        if run not in self._recalled:
            found = None
            if asked:
                found = await awithin(SECONDS, f"recalling for {self.scope.id.key}", lambda: self.scope.context(asked, self.budget))
            while len(self._recalled) >= MOST_RUNS:
                self._recalled.pop(next(iter(self._recalled)))
            self._recalled[run] = found.text if found is not None else ""
        return self._recalled[run]

    async def _add(self, ctx: RunContext[Any], reply: str, outcome: str | None) -> None:
        asked = prompt_text(ctx.prompt)
        if not self.record or not asked:
            return
        turns = [Turn(role="user", content=asked), *([Turn(role="assistant", content=reply)] if reply.strip() else [])]
        session = ctx.conversation_id
        await awithin(
            SECONDS,
            f"recording for {self.scope.id.key}",
            lambda: self.scope.add(turns, session=session, source="pydantic-ai", outcome=outcome, id=f"pydantic-ai-{ctx.run_id}"),
        )


def prompt_text(prompt: object) -> str:
    """The words of a prompt that may hold images too."""
    if isinstance(prompt, str):
        return prompt.strip()
    parts = prompt if isinstance(prompt, Sequence) else ()
    texts = [part if isinstance(part, str) else getattr(part, "content", "") for part in parts]
    return "\n".join(text for text in texts if isinstance(text, str) and text.strip())


def with_block(messages: Sequence[ModelMessage], block: str) -> list[ModelMessage]:
    """The messages with the block as a part ahead of the user's last words; no message of the history is changed."""
    changed = list(messages)
    for place in range(len(changed) - 1, -1, -1):
        message = changed[place]
        if isinstance(message, ModelRequest) and any(isinstance(part, UserPromptPart) for part in message.parts):
            first = next(number for number, part in enumerate(message.parts) if isinstance(part, UserPromptPart))
            parts = [*message.parts[:first], UserPromptPart(content=block), *message.parts[first:]]
            changed[place] = replace(message, parts=parts)
            break
    return changed
