"""Tools for a model that only speaks text: how it is told of them, and how its calls are read back, also in mid-stream.

The form is that of the Hermes and Qwen families, `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`. Deliberately no grammar and no
second try: a call that can't be read is handed on as an invalid one.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

from seal_agent.errors import UsageError

OPEN, CLOSE = "<tool_call>", "</tool_call>"
ToolChoice = str | bool | Mapping[str, Any] | None
"""LangChain's: "auto", "none", "any" or True, a tool's name, or OpenAI's mapping."""


def instructions(tools: Sequence[Mapping[str, Any]], choice: ToolChoice) -> str:
    """What the system message says about tools; empty for none. Raise `UsageError` for a choice that names no tool."""
    forced = forced_name(tools, choice)
    if not tools or choice == "none":
        return ""
    described = "\n".join(json.dumps(tool.get("function", tool), ensure_ascii=False) for tool in tools)
    must = "" if forced is None else f"\nYou must call {'one of the tools' if forced == '' else 'the tool ' + repr(forced)} now."
    return (
        f"You can call tools. To call one, write\n{OPEN}\n"
        '{"name": the tool\'s name, "arguments": {its arguments}}\n'
        f"{CLOSE}\nand nothing else. The tools are:\n{described}{must}"
    )


def forced_name(tools: Sequence[Mapping[str, Any]], choice: ToolChoice) -> str | None:
    """The tool that must be called, "" for any one of them, None when calling is the model's to choose."""
    if choice in (None, False, "auto", "none"):
        return None
    if choice in (True, "any", "required"):
        return ""
    named = choice.get("function", choice).get("name") if isinstance(choice, Mapping) else choice
    known = [tool.get("function", tool).get("name") for tool in tools]
    if named not in known:
        raise UsageError(f"tool_choice={choice!r} names no tool that was bound; bound are {', '.join(map(repr, known)) or 'none'}.")
    return str(named)


class Speech:
    """Turns the pieces of an answer into chunks as they come: text at once, a tool call when it is whole.

    What might be the beginning of a call is held back until it is one or is not.
    """

    def __init__(self, tools: bool) -> None:
        self._tools = tools
        self._held = ""
        self._calls = 0

    def feed(self, piece: str) -> list[ChatGenerationChunk]:
        """Return what can be said now."""
        if not self._tools:
            return [self._text(piece)] if piece else []
        self._held += piece
        chunks: list[ChatGenerationChunk] = []
        while CLOSE in self._held and OPEN in self._held:
            before, _, rest = self._held.partition(OPEN)
            body, closed, self._held = rest.partition(CLOSE)
            if not closed:
                self._held = before + OPEN + rest
                break
            chunks += [*([self._text(before)] if before.strip() else []), self._call(body)]
        if OPEN not in self._held:
            safe = len(self._held) - possible_start(self._held)
            if self._held[:safe].strip() or not self._calls:
                chunks += [self._text(self._held[:safe])] if safe else []
            self._held = self._held[safe:]
        return chunks

    def end(self) -> list[ChatGenerationChunk]:
        """Return what was held back; a call without its end is read as one."""
        held, self._held = self._held, ""
        if not held.strip():
            return []
        before, opened, body = held.partition(OPEN)
        return [*([self._text(before)] if before.strip() else []), *([self._call(body)] if opened else [])]

    def _text(self, text: str) -> ChatGenerationChunk:
        return ChatGenerationChunk(message=AIMessageChunk(content=text))

    def _call(self, body: str) -> ChatGenerationChunk:
        name, arguments = read_call(body)
        chunk = tool_call_chunk(name=name, args=arguments, id=f"call_{uuid.uuid4().hex}", index=self._calls)
        self._calls += 1
        return ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[chunk]))


def read_call(body: str) -> tuple[str, str]:
    """Name and arguments (JSON) of what stands between the marks; of what can't be read, no name and the text itself, quoted.

    Quoted, because LangChain completes broken JSON by guessing: a call that was cut off must become an invalid one, not another one.
    """
    try:
        call = json.loads(body)
    except ValueError:
        return "", json.dumps(body.strip(), ensure_ascii=False)
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return "", json.dumps(body.strip(), ensure_ascii=False)
    arguments = call.get("arguments", call.get("parameters", {}))
    return call["name"], arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)


def possible_start(text: str) -> int:
    """How many of the last characters could be the beginning of a call."""
    return next((length for length in range(min(len(OPEN) - 1, len(text)), 0, -1) if OPEN.startswith(text[-length:])), 0)
