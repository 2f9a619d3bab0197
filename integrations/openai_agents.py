"""OpenAI Agents SDK: a session whose history lives in the brain, and whose conversations are remembered.

The history of one session is kept verbatim for the SDK; what user and assistant said in it is recorded as episodes of the scope, which is
what is searched and learnt from. Deliberately records no tool calls and no recalled text.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any

from seal_agent.errors import MissingDependencyError, UsageError
from seal_agent.ledger.items import Address, Namespace, NewItem
from seal_agent.scope import Scope
from seal_agent.time_box import awithin
from seal_agent.types import Turn

try:
    from agents.memory import SessionABC, SessionSettings
except ImportError as error:
    raise MissingDependencyError("The OpenAI Agents SDK is not installed: pip install 'openai-agents>=0.24,<1'") from error

logger = logging.getLogger(__name__)

Item = dict[str, Any]
"""An input item of the SDK: a message, a call, its output."""
SECONDS = 8.0
"""Longest that a run waits for what is remembered."""
DIGITS = 12


class SealSession(SessionABC):  # type: ignore[misc]  # the SDK is not installed where types are checked
    """Pass it to a run: `Runner.run(agent, "Hi", session=SealSession(memory.scope(user="ana"), "chat-1"))`.

    For recall, pass `RunConfig(session_input_callback=session.with_recall)` too. `clear_session` and `pop_item` change the history that the
    SDK sends, not what is remembered: that is for `Scope.forget`.
    """

    session_settings: SessionSettings | None = None

    def __init__(self, scope: Scope, session_id: str, *, budget: int | None = None, record: bool = True) -> None:
        if not session_id.strip():
            raise UsageError(f"session_id={session_id!r} names no session.")
        self.session_id = session_id
        self._scope = scope
        self._budget = budget
        self._record = record
        self._recalled: set[str] = set()
        self._turn = asyncio.Lock()

    @property
    def _namespace(self) -> Namespace:
        return ("openai-agents", self.session_id.replace("%", "%25").replace(".", "%2E"))

    async def get_items(self, limit: int | None = None) -> list[Item]:
        """Return the history, oldest first; with `limit` its newest items."""
        page = None if limit is None else (0, max(limit, 0))
        found = await asyncio.to_thread(self._scope.items.find, self._namespace, page=page)
        return [json.loads(item.value) for item in sorted(found, key=lambda item: item.key)]

    async def add_items(self, items: list[Item]) -> None:
        """Append to the history, in one transaction, and record what was said."""
        kept = [item for item in items if not self._is_recalled(item)]
        if not kept:
            return
        async with self._turn:
            await asyncio.to_thread(self._append, kept)
        turns = [turn for turn in map(to_turn, kept) if turn is not None]
        if self._record and turns:
            await awithin(
                SECONDS,
                f"recording for {self._scope.id.key}",
                lambda: self._scope.add(turns, session=self.session_id, source="openai-agents"),
            )

    async def pop_item(self) -> Item | None:
        """Take the newest item off the history."""
        async with self._turn:
            return await asyncio.to_thread(self._pop)

    async def clear_session(self) -> None:
        """Empty the history."""
        async with self._turn:
            found = await asyncio.to_thread(self._scope.items.find, self._namespace)
            gone: dict[Address, NewItem | None] = {(item.namespace, item.key): None for item in found}
            await asyncio.to_thread(self._scope.items.write, gone)

    async def with_recall(self, history: list[Item], new: list[Item]) -> list[Item]:
        """Put what is remembered ahead of the new input: for `RunConfig(session_input_callback=...)`. Time-boxed and failing open."""
        asked = "\n".join(turn.content for turn in map(to_turn, new) if turn is not None and turn.role == "user")
        if not asked:
            return [*history, *new]
        found = await awithin(SECONDS, f"recalling for {self._scope.id.key}", lambda: self._scope.context(asked, self._budget))
        if found is None or not found.text:
            return [*history, *new]
        self._recalled.add(found.text)
        return [*history, {"role": "user", "content": found.text}, *new]

    def _is_recalled(self, item: Item) -> bool:
        return item.get("content") in self._recalled if isinstance(item.get("content"), str) else False

    def _append(self, items: Sequence[Item]) -> None:
        newest = self._scope.items.find(self._namespace, page=(0, 1))
        number = int(newest[0].key) + 1 if newest else 0
        new: dict[Address, NewItem | None] = {}
        for place, item in enumerate(items):
            key = f"{number + place:0{DIGITS}d}"
            value = json.dumps(item, ensure_ascii=False, default=str)
            new[self._namespace, key] = NewItem(namespace=self._namespace, key=key, value=value, texts="[]", ttl=None, vectors={})
        self._scope.items.write(new)

    def _pop(self) -> Item | None:
        newest = self._scope.items.find(self._namespace, page=(0, 1))
        if not newest:
            return None
        self._scope.items.write({(newest[0].namespace, newest[0].key): None})
        item: Item = json.loads(newest[0].value)
        return item


def to_turn(item: Item) -> Turn | None:
    """What a message says, of user or assistant; None for everything else."""
    role, content = item.get("role"), item.get("content")
    if isinstance(content, list):
        content = "\n".join(
            str(part.get("text", "")) for part in content if isinstance(part, dict) and str(part.get("type", "")).endswith("text")
        )
    if role not in ("user", "assistant") or not isinstance(content, str) or not content.strip():
        return None
    return Turn(role=role, content=content)
