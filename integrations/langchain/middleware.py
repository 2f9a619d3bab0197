"""SealMemoryMiddleware: memory for an agent of `create_agent`, in one line.

Before the agent runs it searches once; around each model call it puts what was found into the prompt and lets the user's adapter answer;
afterwards it records what was said, failures too. Deliberately never in the way: each step is time-boxed, and one that fails is logged and
left out. What was recalled goes into the request only: no checkpoint holds it, and it is never recorded again as something said.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from seal_agent.errors import MissingDependencyError, UsageError
from seal_agent.scope import Scope

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse, ToolCallRequest
    from langchain.agents.middleware.types import PrivateStateAttr
    from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage, ToolMessage
    from langgraph.channels.untracked_value import UntrackedValue
    from langgraph.errors import GraphBubbleUp
    from langgraph.runtime import Runtime
    from langgraph.types import Command
except ImportError as error:
    raise MissingDependencyError("LangChain's agents are not installed: pip install 'langchain>=1.4,<2'") from error

from seal_agent.time_box import awithin, within

from .chat import BASE, NAME, ChatSeal
from .conversation import exchange, failure, question_text, questions
from .recorder import SOURCE
from .whose import ScopeSource, current_config, scope_of, thread_of

logger = logging.getLogger(__name__)

Placement = Literal["user", "system"]
Recording = Literal["all", "user", "none"]
SEARCH_SECONDS = 8.0
"""Longest that an answer waits for what is remembered; the first search of a process loads the embedder."""
RECORD_SECONDS = 8.0


class Recalled(TypedDict):
    """What was found for one message of the user."""

    question: str
    """Hash of the text that was searched with: of another one it is searched anew."""
    block: str
    cited: list[str]
    model: str
    """The model's name with the adapter that was live then: one run, one adapter."""


class SealState(AgentState[Any]):
    """The state of an agent with what was recalled, private to the middleware and kept out of checkpoints."""

    seal_recalled: NotRequired[Annotated[Recalled | None, UntrackedValue(dict), PrivateStateAttr]]


class SealMemoryMiddleware(AgentMiddleware[SealState, Any]):
    """`create_agent(model, tools, middleware=[SealMemoryMiddleware(memory)])`.

    `memory` is a brain, then `user_id` of the run (its context, or `config["configurable"]`) says whose; or a scope; or a function of both.
    `placement` "user" puts what is remembered ahead of the user's message, where it has no more authority than the user and small models
    heed it best; "system" appends it to the system message. `budget` is in tokens, None being the brain's setting; 0 recalls nothing, so
    that the agent knows only what its weights learnt. `record` "user" leaves the replies out, "none" records nothing. Where the model is a
    `ChatSeal` for the live adapter, it answers from this user's scope, with one adapter for the whole run.

    Raise `UsageError`, at the run, when nothing says who the user is: that is the one failure that is not passed over.
    """

    state_schema = SealState

    def __init__(
        self,
        memory: ScopeSource,
        *,
        agent: str = "default",
        budget: int | None = None,
        placement: Placement = "user",
        record: Recording = "all",
        timeout: float = SEARCH_SECONDS,
    ) -> None:
        super().__init__()
        if placement not in ("user", "system") or record not in ("all", "user", "none"):
            raise UsageError(f"placement={placement!r}, record={record!r}: say user or system, and all, user or none.")
        self.tools = []
        self._memory = memory
        self._agent = agent
        self._budget = budget
        self._placement = placement
        self._record = record
        self._timeout = timeout

    def before_agent(self, state: SealState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Search once, by what the user said last."""
        return {"seal_recalled": self._search(self._scope(runtime), state["messages"])}

    async def abefore_agent(self, state: SealState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """The same without blocking the event loop."""
        return {"seal_recalled": await self._asearch(self._scope(runtime), state["messages"])}

    def wrap_model_call(self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]) -> ModelResponse[Any]:
        """Add what was recalled, choose the adapter, and record a failure."""
        scope = self._scope(request.runtime)
        # Not known when resumed after an interrupt: no checkpoint holds it.
        recalled = known(request) or self._search(scope, request.messages)
        try:
            return handler(self._prepared(request, scope, recalled))
        except GraphBubbleUp:
            raise  # a pause, not a failure
        except Exception as error:
            self._add(scope, request.messages, failure(error))
            raise

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """The same without blocking the event loop."""
        scope = self._scope(request.runtime)
        recalled = known(request) or await self._asearch(scope, request.messages)
        try:
            return await handler(self._prepared(request, scope, recalled))
        except GraphBubbleUp:
            raise
        except Exception as error:
            await self._aadd(scope, request.messages, failure(error))
            raise

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Record the exchange when a tool brings the agent down."""
        try:
            return handler(request)
        except GraphBubbleUp:
            raise
        except Exception as error:
            self._add(self._scope(request.runtime), request.state["messages"], failure(error))
            raise

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """The same without blocking the event loop."""
        try:
            return await handler(request)
        except GraphBubbleUp:
            raise
        except Exception as error:
            await self._aadd(self._scope(request.runtime), request.state["messages"], failure(error))
            raise

    def after_agent(self, state: SealState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Record what the user said and the final reply."""
        self._add(self._scope(runtime), state["messages"], None)
        return None

    async def aafter_agent(self, state: SealState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """The same without blocking the event loop."""
        await self._aadd(self._scope(runtime), state["messages"], None)
        return None

    def _scope(self, runtime: Any) -> Scope:  # Any: a runtime of a run, of a tool, or none in a test of the request alone
        return scope_of(self._memory, self._agent, getattr(runtime, "context", None))

    def _search(self, scope: Scope, messages: Sequence[BaseMessage]) -> Recalled:
        text = question_text(messages)
        found = within(self._timeout, f"recalling for {scope.id.key}", lambda: self._recall(scope, text))
        return found or nothing(text)

    async def _asearch(self, scope: Scope, messages: Sequence[BaseMessage]) -> Recalled:
        text = question_text(messages)
        found = await awithin(self._timeout, f"recalling for {scope.id.key}", lambda: self._recall(scope, text))
        return found or nothing(text)

    def _recall(self, scope: Scope, text: str) -> Recalled:
        live = scope.adapters.live
        found = nothing(text) | {"model": f"{NAME}:{live.name if live else BASE}"}
        if text and self._budget != 0:
            context = scope.context(text, self._budget)
            found |= {"block": context.text, "cited": list(context.cited)}
        return found

    def _prepared(self, request: ModelRequest[Any], scope: Scope, recalled: Recalled) -> ModelRequest[Any]:
        model, block = request.model, recalled["block"]
        if isinstance(model, ChatSeal) and model.model == NAME:
            request = request.override(model=model.model_copy(update={"scope": scope, "model": recalled["model"]}))
        if not block:
            return request
        if self._placement == "system":
            before = request.system_message.content_blocks if request.system_message else []
            return request.override(system_message=SystemMessage(content_blocks=[*before, {"type": "text", "text": block}]))
        return request.override(messages=ahead_of_question(request.messages, block))

    def _recordable(self, messages: Sequence[BaseMessage], outcome: str | None) -> dict[str, Any] | None:
        turns = [] if self._record == "none" else exchange(messages)
        if self._record == "user" or outcome is not None:
            turns = [turn for turn in turns if turn.role == "user"]
        if not turns:
            return None
        thread = thread_of(current_config())
        said = "\x1f".join([thread or "", outcome or "", *(message.id or "" for message in questions(messages))])
        # The same messages of the same conversation are the same episode, however often a step is tried.
        named = any(message.id for message in questions(messages))
        return {
            "messages": turns,
            "session": thread,
            "source": SOURCE,
            "outcome": outcome,
            "id": f"lc-{hashlib.sha256(said.encode()).hexdigest()[:32]}" if named else None,
        }

    def _add(self, scope: Scope, messages: Sequence[BaseMessage], outcome: str | None) -> None:
        episode = self._recordable(messages, outcome)
        if episode is not None:
            within(RECORD_SECONDS, f"recording for {scope.id.key}", lambda: scope.add(**episode))

    async def _aadd(self, scope: Scope, messages: Sequence[BaseMessage], outcome: str | None) -> None:
        episode = self._recordable(messages, outcome)
        if episode is not None:
            await awithin(RECORD_SECONDS, f"recording for {scope.id.key}", lambda: scope.add(**episode))


def nothing(text: str) -> Recalled:
    """What a search that failed or was not made stands for: it is not tried again for the same message."""
    return Recalled(question=digest(text), block="", cited=[], model=NAME)


def known(request: ModelRequest[Any]) -> Recalled | None:
    """What was recalled for the message that is to be answered, if it was."""
    recalled: Recalled | None = request.state.get("seal_recalled")  # type: ignore[assignment]  # the state is typed for any agent
    return recalled if recalled and recalled["question"] == digest(question_text(request.messages)) else None


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def ahead_of_question(messages: Sequence[Any], block: str) -> list[Any]:
    """The messages with a block in front of the user's last one; the messages of the conversation are left as they are."""
    changed = list(messages)
    for place in range(len(changed) - 1, -1, -1):
        message = changed[place]
        if isinstance(message, HumanMessage):
            content = message.content
            with_block = f"{block}\n\n{content}" if isinstance(content, str) else [{"type": "text", "text": block}, *content]
            changed[place] = message.model_copy(update={"content": with_block})
            break
    return changed
