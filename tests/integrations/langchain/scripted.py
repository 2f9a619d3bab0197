"""A scripted engine that can do what LangChain's suites ask of a model: it calls the tools it is told of."""

import json
import re
from collections.abc import Sequence
from typing import Any

from seal_agent.types import Turn

SAYS = "Hello there, this is what the script says."


def engine(prompt: Sequence[Turn]) -> str:
    """Call a tool when one must be called or is spoken of, else say something."""
    system = "\n".join(turn.content for turn in prompt if turn.role == "system")
    asked = next((turn.content for turn in reversed(prompt) if turn.role == "user"), "")
    tools = {tool["name"]: tool for tool in described(system)}
    if not tools or prompt[-1].role == "tool":
        return SAYS
    forced = re.search(r"You must call the tool '(.+)' now", system)
    spoken_of = [name for name in tools if name in asked or name.split("_")[-1] in asked]
    if forced is None and "You must call" not in system and not spoken_of:
        return SAYS
    tool = tools[forced.group(1) if forced else [*spoken_of, *tools][0]]
    call = {"name": tool["name"], "arguments": by_schema(tool.get("parameters") or {}, asked)}
    return f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>"


def described(system: str) -> list[dict[str, Any]]:
    found = []
    for line in system.splitlines():
        if line.startswith("{") and '"description"' in line:
            found.append(json.loads(line))
    return found


def by_schema(schema: dict[str, Any], asked: str) -> dict[str, Any]:
    return {name: value(about, asked) for name, about in schema.get("properties", {}).items() if name in schema.get("required", ())}


def value(about: dict[str, Any], asked: str) -> Any:
    numbers = re.findall(r"\d+", asked)
    if about.get("type") == "integer":
        return int(numbers[0]) if numbers else 3
    if about.get("type") == "number":
        return float(numbers[0]) if numbers else 3.0
    if about.get("type") == "object":
        return by_schema(about, asked)
    if about.get("type") == "array":
        return []
    quoted = re.search(r"['\"](.+?)['\"]", asked)
    return quoted.group(1) if quoted else "cats"
