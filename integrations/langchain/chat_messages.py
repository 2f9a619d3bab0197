"""LangChain's messages as turns of a conversation. Deliberately text only: what can't be read is refused, never dropped in silence."""

import json
from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, FunctionMessage, HumanMessage, SystemMessage, ToolMessage

from seal_agent.errors import UsageError
from seal_agent.turns import ROLES
from seal_agent.types import Role, Turn

SPOKEN_ELSEWHERE = frozenset({"tool_use", "tool_call", "function_call", "invalid_tool_call", "tool_call_chunk"})
"""Blocks that repeat what `tool_calls` holds."""
THOUGHTS = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_content"})
"""Blocks that another model thought to itself: no part of the conversation."""
TEXT = frozenset({"text", "text-plain"})


def to_conversation(messages: Sequence[BaseMessage], instructions: str = "") -> list[Turn]:
    """Return the turns; system messages become one, in front, with `instructions` after them.

    Raise `UsageError` for images, audio and other blocks that a text model can't read, and for unknown roles.
    """
    said = [(message, text_of(message)) for message in messages]
    system = [text for message, text in said if role_of(message) == "system" and text.strip()]
    turns = [turn(message, text) for message, text in said if role_of(message) != "system"]
    front = "\n\n".join([*system, *([instructions] if instructions else [])])
    return [*([Turn(role="system", content=front)] if front else []), *(kept for kept in turns if kept.content.strip())]


def turn(message: BaseMessage, text: str) -> Turn:
    if isinstance(message, AIMessage):
        text = "\n".join([*([text] if text.strip() else []), *(call_text(call["name"], call["args"]) for call in message.tool_calls)])
    elif isinstance(message, ToolMessage):
        failed = "The tool failed: " if message.status == "error" else ""
        text = f"<tool_response>\n{failed}{text}\n</tool_response>"
    return Turn(role=role_of(message), content=text, name=message.name or None)


def call_text(name: str, arguments: object) -> str:
    """A call as models of the Hermes and Qwen families write it."""
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}\n</tool_call>"


def role_of(message: BaseMessage) -> Role:
    if isinstance(message, SystemMessage):
        return "system"
    if isinstance(message, HumanMessage):
        return "user"
    if isinstance(message, AIMessage):
        return "assistant"
    if isinstance(message, ToolMessage | FunctionMessage):
        return "tool"
    named = {"human": "user", "ai": "assistant"}.get(message.role, message.role) if isinstance(message, ChatMessage) else message.type
    for role in ROLES:
        if named == role:
            return role
    raise UsageError(f"A message of type {type(message).__name__} and role {named!r} is no turn; roles are {', '.join(ROLES)}.")


def text_of(message: BaseMessage) -> str:
    """The text of a message; raise `UsageError` for blocks that hold something else."""
    if isinstance(message.content, str):
        return message.content
    texts: list[str] = []
    for block in message.content:
        kind = "text" if isinstance(block, str) else block.get("type")
        if kind in TEXT:
            texts.append(block if isinstance(block, str) else str(block.get("text", "")))
        elif kind == "tool_result" and not isinstance(block, str):
            texts.append(str(block.get("content", "")))
        elif kind not in SPOKEN_ELSEWHERE and kind not in THOUGHTS:
            raise UsageError(f"A message holds a block of type {kind!r}, and seal-agent's models read text only; describe it in words.")
    return "\n".join(texts)
