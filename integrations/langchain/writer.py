"""LangChainWriter: any LangChain chat model as the writer of self-edits, and as the reader of what users said.

It reads users' turns for facts and writes study material for these; what it writes is checked like anybody's. Deliberately no `Model`: it
answers no user, scores nothing and carries no adapter.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from seal_agent.errors import GenerationError, MissingDependencyError
from seal_agent.types import Generation, Turn

try:
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
except ImportError as error:
    raise MissingDependencyError("LangChain is not installed: pip install 'langchain-core>=1.7,<2'") from error

CONCURRENT = 8
"""Requests at a time, unless said otherwise."""


class LangChainWriter:
    """`Memory.open(folder, writer=LangChainWriter(chat_model))`: the nights write with this model and train the brain's own.

    What users said leaves the machine if the chat model is a remote one: facts, and unless `facts.reader` is "rules" their turns. `options`
    are passed to each call (`{"max_tokens": 400}` where the model takes that: its lists of up to eight lines must not be cut); length and
    temperature are otherwise the chat model's own.
    """

    def __init__(
        self, model: BaseChatModel, *, id: str | None = None, concurrent: int = CONCURRENT, options: Mapping[str, Any] | None = None
    ) -> None:
        self._model = model
        self._id = model_id(model) if id is None else id
        self._concurrent = concurrent
        self._options = dict(options or {})

    @property
    def id(self) -> str:
        """Kept with every item of study material that it wrote."""
        return self._id

    def generate(
        self,
        prompts: Sequence[Sequence[Turn]],
        *,
        adapter: str | None = None,
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Generation]:
        """Answer each prompt, in order; raise `GenerationError` whatever the chat model raised. Of the parameters none is passed on."""
        asked: list[Any] = [[to_message(turn) for turn in prompt] for prompt in prompts]
        try:
            replies = self._model.batch(asked, config={"max_concurrency": self._concurrent}, **self._options)
        except Exception as error:
            # Providers raise errors of their own kinds; a night that can't write fails by this name.
            raise GenerationError(f"The writer {self._id!r} failed: {type(error).__name__}: {error}") from error
        return [to_generation(reply) for reply in replies]


def to_message(turn: Turn) -> BaseMessage:
    kinds: dict[str, type[BaseMessage]] = {"system": SystemMessage, "assistant": AIMessage}
    return kinds.get(turn.role, HumanMessage)(content=turn.content)


def to_generation(reply: BaseMessage) -> Generation:
    text = str(reply.text)
    usage = reply.usage_metadata if isinstance(reply, AIMessage) else None
    finished = reply.response_metadata.get("finish_reason") != "length"
    return Generation(text=text, tokens=usage["output_tokens"] if usage else len(text.split()), finished=finished)


def model_id(model: BaseChatModel) -> str:
    """The class and the model's name, if it has one."""
    named = next(
        (name for name in (getattr(model, key, None) for key in ("model", "model_name", "model_id")) if isinstance(name, str)), None
    )
    return f"langchain:{type(model).__name__}" + (f":{named}" if named else "")
