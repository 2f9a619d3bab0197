"""Which part of a list of messages is remembered: what the user said last, and the final reply to it.

Deliberately not the tools' output, nor what was recalled, nor earlier turns, which were recorded when they were said.
"""

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from seal_agent.errors import UsageError
from seal_agent.types import Turn

from .chat_messages import text_of


def questions(messages: Sequence[BaseMessage]) -> list[HumanMessage]:
    """The user's last messages: the last one, and those right before it."""
    end = next((place for place in range(len(messages), 0, -1) if isinstance(messages[place - 1], HumanMessage)), 0)
    start = end
    while start > 0 and isinstance(messages[start - 1], HumanMessage):
        start -= 1
    return [message for message in messages[start:end] if isinstance(message, HumanMessage)]


def question_text(messages: Sequence[BaseMessage]) -> str:
    """What to search with; empty when the user said nothing that can be read."""
    return "\n".join(filter(None, map(readable, questions(messages)[-1:])))


def exchange(messages: Sequence[BaseMessage]) -> list[Turn]:
    """The turns to record; empty when the user said nothing."""
    asked = questions(messages)
    said = [Turn(role="user", content=text) for text in map(readable, asked) if text]
    if not said:
        return []
    after = list(messages)[list(messages).index(asked[-1]) + 1 :]
    final = next((message for message in reversed(after) if isinstance(message, AIMessage)), None)
    reply = "" if final is None or final.tool_calls else readable(final)
    return [*said, *([Turn(role="assistant", content=reply)] if reply else [])]


def readable(message: BaseMessage) -> str:
    """The text of a message; of one with images and the like, the text beside them."""
    try:
        text = text_of(message)
    except UsageError:
        text = str(message.text)
    return text if text.strip() else ""


def failure(error: BaseException) -> str:
    """The outcome of an exchange that failed: what kind of error, without its words, which may hold anything."""
    return f"failed: {type(error).__name__}"
