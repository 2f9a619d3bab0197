"""What a chat completion asks for, from OpenAI's request body to turns and sampling.

A parameter that this server can't honour is refused by name, never ignored: an answer that silently lacks what was asked for is worse than
none. Nothing in a message is ever fetched: a picture's address is refused, not visited.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from seal_agent.errors import UsageError
from seal_agent.sampling import MAX_SEED, Sampling
from seal_agent.server.refusals import Refusal, bad_request
from seal_agent.turns import to_turns
from seal_agent.types import Turn

MAX_TOKENS = 32_768
MAX_MESSAGES = 1_000
NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "n": (None, 1),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "logit_bias": (None, {}),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "audio": (None,),
    "prediction": (None,),
    "web_search_options": (None,),
    "reasoning_effort": (None, "none"),
    "verbosity": (None,),
}
"""Parameters of OpenAI's that change an answer, and the values with which they change nothing."""
HARMLESS = frozenset(
    {"store", "metadata", "service_tier", "parallel_tool_calls", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}
)
"""Parameters of OpenAI's about its own house: accepted, and without effect here."""
WHY_NOT = {
    "n": "one answer is given at a time",
    "tools": "the embedded model calls no tools; put this server in front of one that does (server.upstream_url)",
}


class TextPart(BaseModel):
    """A part of a message; only text is read."""

    model_config = ConfigDict(extra="forbid")

    type: str
    text: str | None = None
    image_url: Any = None  # Any, like those below: refused by type, whatever it holds
    input_audio: Any = None
    file: Any = None


class Message(BaseModel):
    """One message of the conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[TextPart], Field(max_length=MAX_MESSAGES)] | None = None
    name: str | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    tool_calls: list[Any] | None = None  # Any: refused whatever it holds
    function_call: Any = None
    audio: Any = None
    annotations: Any = None

    def turn(self, position: int) -> Turn:
        """Return it as a turn; raise a 400 for what is no text."""
        where = f"messages.{position}"
        if self.tool_calls or self.function_call or self.audio:
            raise bad_request(f"{where}: {WHY_NOT['tools']}.", code="unsupported_parameter", param=where)
        if self.content is None:
            raise bad_request(f"{where} has no content.", code="invalid_messages", param=where)
        text = self.content if isinstance(self.content, str) else "\n".join(text_of(part, where) for part in self.content)
        role = "system" if self.role == "developer" else self.role
        try:
            return to_turns([{"role": role, "content": text, **({"name": self.name} if self.name else {})}])[0]
        except UsageError as error:
            raise bad_request(str(error).replace("Turn 0", where), code="invalid_messages", param=where) from error


def text_of(part: TextPart, where: str) -> str:
    if part.type != "text" or part.text is None:
        kind = part.type[:40]
        raise bad_request(f"{where}: a part of type {kind!r} is not read, only text is.", code="unsupported_content", param=where)
    return part.text


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    include_usage: StrictBool = False
    include_obfuscation: StrictBool = False


class ChatRequest(BaseModel):
    """OpenAI's request for a chat completion. Unlisted parameters are refused by name."""

    model_config = ConfigDict(extra="allow")

    model: Annotated[str, Field(min_length=1, max_length=512, description="`seal-agent`, `seal-agent:base` or `seal-agent:<adapter>`.")]
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(strict=True, ge=1, le=MAX_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Field(strict=True, ge=1, le=MAX_TOKENS)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = Field(None, description="0, the default, is greedy.")
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(strict=True, ge=0, le=MAX_SEED)] | None = None
    stop: Annotated[str, Field(min_length=1, max_length=200)] | Annotated[list[str], Field(max_length=16)] | None = None
    user: Annotated[str, Field(max_length=512)] | None = Field(None, description="Whose memory, for a key that may act for any user.")

    def check_supported(self) -> None:
        """Raise a 400 that names the first parameter which can't be honoured."""
        for name, value in (self.model_extra or {}).items():
            if name in HARMLESS or any(same(value, neutral) for neutral in NEUTRAL.get(name, ())):
                continue
            why = WHY_NOT.get(name, "this server can't honour it" if name in NEUTRAL else "no such parameter is known here")
            raise Refusal(400, f"{name[:80]!r} is not supported: {why}.", code="unsupported_parameter", param=name[:80])
        if self.stream_options is not None and not self.stream:
            raise bad_request("stream_options is for a stream.", code="invalid_request", param="stream_options")

    def turns(self) -> tuple[Turn, ...]:
        turns = tuple(message.turn(position) for position, message in enumerate(self.messages))
        if not any(turn.role == "user" for turn in turns):
            raise bad_request("messages holds nothing that the user said.", code="invalid_messages", param="messages")
        return turns

    def sampling(self, default_tokens: int) -> Sampling:
        return Sampling(
            max_tokens=self.max_completion_tokens or self.max_tokens or default_tokens,
            temperature=self.temperature or 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=self.seed or 0,
            stop=() if self.stop is None else (self.stop,) if isinstance(self.stop, str) else tuple(self.stop),
        )

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


def same(value: object, neutral: object) -> bool:
    """Equal, and not because True counts as 1."""
    return value == neutral and isinstance(value, bool) == isinstance(neutral, bool)


def last_exchange(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """Return what was said since the assistant last spoke: a client sends the whole conversation each time, and it is recorded once."""
    since = max((place for place, turn in enumerate(turns) if turn.role == "assistant"), default=-1)
    return tuple(turn for turn in turns[since + 1 :] if turn.role in {"user", "tool"})
