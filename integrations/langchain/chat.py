"""ChatSeal: the brain's own model, with the adapter that the nights trained, as a LangChain chat model.

Streams, works asynchronously, calls tools, gives structured output. Deliberately remembers nothing by itself: an agent's memory is
`SealMemoryMiddleware`, and `use` says whether this model answers from its weights alone (the default) or looks things up too.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Self

from seal_agent.answer_stream import AnswerStream
from seal_agent.errors import MissingDependencyError, OverloadedError, UsageError
from seal_agent.sampling import Sampling
from seal_agent.scope import Scope
from seal_agent.types import Answer, Route

try:
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.language_models.base import LangSmithParams
    from langchain_core.language_models.chat_models import (
        BaseChatModel,
        agenerate_from_stream,
        generate_from_stream,
    )
    from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
    from langchain_core.messages.ai import UsageMetadata
    from langchain_core.outputs import ChatGenerationChunk, ChatResult
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool
    from langchain_core.utils.function_calling import convert_to_openai_tool
except ImportError as error:
    raise MissingDependencyError("LangChain is not installed: pip install 'langchain-core>=1.7,<2'") from error
from pydantic import ConfigDict, Field, model_validator

from .chat_messages import to_conversation
from .chat_tools import Speech, ToolChoice, instructions

NAME = "seal-agent"
BASE = "base"
"""`model="seal-agent:base"` is the model without any adapter."""
RETRY_SECONDS = 0.1
"""Wait before the first new try when too many requests were waiting; doubled each time."""
FROM_WEIGHTS: frozenset[Route] = frozenset({"weights", "base"})
"""Routes whose answers depend on the prompt, the model and its adapter only: they may be cached."""
Bindable = Mapping[str, Any] | type | Callable[..., Any] | BaseTool


class ChatSeal(BaseChatModel):
    """Chat with a scope's model: `ChatSeal(scope=memory.scope(user="ana"))`.

    `model` is `"seal-agent"` for whatever adapter is live at each request, `"seal-agent:<adapter>"` for one by name and
    `"seal-agent:base"` for none; it may also be given per call. The adapter's name is part of `_identifying_params`, so that a LangChain
    cache never gives an answer of before a hot-swap; where `use` looks things up (`"auto"`, `"text"`, `"both"`), which changes with every
    new turn, answers are not cached at all. `response_metadata` holds the adapter, the route and what was cited.

    Raise `UsageError` (a wrong parameter, a message that is no text), `UnknownRecordError` (an adapter this scope may not use),
    `GenerationError`, `DeadlineError` after `timeout` seconds, `OverloadedError` after `max_retries` new tries.

    >>> import tempfile
    >>> from seal_agent import Memory
    >>> from seal_agent.testing import HashEmbedder, ScriptedModel
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Memory.open(folder, model=ScriptedModel({"capital": "Paris"}), embedder=HashEmbedder()) as memory:
    ...         ChatSeal(scope=memory.scope()).invoke("What is the capital of France?").content
    'Paris'
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, populate_by_name=True)

    scope: Scope = Field(exclude=True, repr=False)
    model: str = Field(default=NAME, alias="model_name")
    use: Route = "weights"
    temperature: float | None = None
    """0 and None are greedy."""
    max_tokens: int = 256
    top_p: float = 1.0
    seed: int = 0
    stop: list[str] | None = Field(default=None, alias="stop_sequences")
    timeout: float | None = None
    """Seconds, waiting for a place included."""
    max_retries: int = Field(default=2, ge=0)

    @model_validator(mode="after")
    def _keep_what_changes_out_of_caches(self) -> Self:
        if self.use not in FROM_WEIGHTS:
            if self.cache:
                raise UsageError(f"Answers with use={self.use!r} depend on what is remembered and can't be cached; leave cache out.")
            self.cache = False
        return self

    @property
    def _llm_type(self) -> str:
        return NAME

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self._identity(self.model)

    def _identity(self, model: str) -> dict[str, Any]:
        adapters = self.scope.adapters
        live = adapters.live if model == NAME and self.use != "base" else None
        named = adapter_of(model)
        return {
            "model": model,
            "base": adapters.base_id,
            "adapter": (live.name if live else BASE) if model == NAME else named or BASE,
            "use": self.use,
            "temperature": self.temperature or 0.0,
            "max_tokens": self.max_tokens,
            "top_p": self.top_p,
            "seed": self.seed,
            "stop_sequences": self.stop,
        }

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        params: dict[str, Any] = super()._get_invocation_params(stop=stop, **kwargs)
        return params | self._identity(kwargs.get("model") or self.model)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = LangSmithParams(
            ls_provider=NAME,
            ls_model_type="chat",
            ls_model_name=kwargs.get("model") or self.model,
            ls_temperature=kwargs.get("temperature", self.temperature),
            ls_max_tokens=kwargs.get("max_tokens", self.max_tokens),
        )
        stops = stop or self.stop
        if stops:
            params["ls_stop"] = stops
        return params

    def bind_tools(self, tools: Sequence[Bindable], *, tool_choice: ToolChoice = None, **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Let the model call these tools. Whether it can is the model's skill: small ones seldom write a sound call."""
        described = [convert_to_openai_tool(tool) for tool in tools]
        instructions(described, tool_choice)  # refuses a choice that names none of them now, not at the first request
        return self.bind(tools=described, tool_choice=tool_choice, **kwargs)

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, None, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, None, **kwargs))

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        speech = Speech(bool(kwargs.get("tools")))
        with self._open(messages, stop, kwargs) as stream:
            for piece in stream:
                yield from told(speech.feed(piece), run_manager)
            yield from told([*speech.end(), last_chunk(stream.answer)], run_manager)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        speech = Speech(bool(kwargs.get("tools")))
        async with await asyncio.to_thread(self._open, messages, stop, kwargs) as stream:
            async for piece in stream:
                for chunk in speech.feed(piece):
                    yield await atold(chunk, run_manager)
            for chunk in [*speech.end(), last_chunk(stream.answer)]:
                yield await atold(chunk, run_manager)

    def _open(self, messages: list[BaseMessage], stop: list[str] | None, asked: Mapping[str, Any]) -> AnswerStream:
        model = asked.get("model") or self.model
        adapter = adapter_of(model)
        turns = to_conversation(messages, instructions(asked.get("tools") or (), asked.get("tool_choice")))
        sampling = Sampling(
            max_tokens=asked.get("max_tokens") or self.max_tokens,
            temperature=asked.get("temperature", self.temperature) or 0.0,
            top_p=asked.get("top_p", self.top_p),
            seed=asked.get("seed", self.seed),
            stop=tuple(dict.fromkeys([*(stop or ()), *(self.stop or ())])),
        )
        use: Route = "base" if model == f"{NAME}:{BASE}" else self.use
        for attempt in range(self.max_retries + 1):
            try:
                return self.scope.stream(turns, use=use, sampling=sampling, timeout=asked.get("timeout", self.timeout), adapter=adapter)
            except OverloadedError:
                if attempt == self.max_retries:
                    raise
                time.sleep(RETRY_SECONDS * 2**attempt)
        raise AssertionError("unreachable: the last try returns or raises")


def adapter_of(model: str) -> str | None:
    """The adapter that a model's name asks for, None for the live one or none; raise `UsageError` for a name that is not ours."""
    name, colon, adapter = model.partition(":")
    if name != NAME or (colon and not adapter):
        raise UsageError(f"model={model!r} is not one of ours: say {NAME!r}, '{NAME}:<adapter>' or '{NAME}:{BASE}'.")
    return None if adapter in ("", BASE) else adapter


def last_chunk(answer: Answer) -> ChatGenerationChunk:
    """Ends a stream: what was used, how it ended and why it came out so."""
    trace = answer.trace
    read, said = trace.prompt_tokens, trace.answer_tokens
    how = {
        "model_name": NAME if trace.adapter is None else f"{NAME}:{trace.adapter}",
        "finish_reason": "stop" if answer.finished else "length",
        "adapter": trace.adapter,
        "route": trace.route,
        "cited": list(trace.cited),
    }
    if trace.adapter is None and trace.route == "base":
        how["model_name"] = f"{NAME}:{BASE}"
    message = AIMessageChunk(
        content="",
        usage_metadata=UsageMetadata(input_tokens=read, output_tokens=said, total_tokens=read + said),
        response_metadata=how,
        chunk_position="last",
    )
    return ChatGenerationChunk(message=message, generation_info={"finish_reason": how["finish_reason"]})


def told(chunks: Sequence[ChatGenerationChunk], run_manager: CallbackManagerForLLMRun | None) -> Iterator[ChatGenerationChunk]:
    for chunk in chunks:
        if run_manager:
            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
        yield chunk


async def atold(chunk: ChatGenerationChunk, run_manager: AsyncCallbackManagerForLLMRun | None) -> ChatGenerationChunk:
    if run_manager:
        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
    return chunk
