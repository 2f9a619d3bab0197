"""Memory in front of somebody else's model: the text half of the brain, for any OpenAI-compatible upstream.

What is remembered goes ahead of the user's last message, fenced, as for our own model; everything else of the request passes as it is,
tools included. The exchange is recorded once it is answered. The weights' half is not there: an upstream's weights are not ours to train.
"""

import contextlib
import json
import logging
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response

from seal_agent.errors import SealAgentError
from seal_agent.scope import Scope
from seal_agent.server.chat_request import ChatRequest, Message
from seal_agent.server.completions import DONE, event
from seal_agent.server.models import LIVE
from seal_agent.server.refusals import Json, Refusal, bad_request, error_body
from seal_agent.server.remembering import INTERRUPTED, Recorder
from seal_agent.server.service import Service
from seal_agent.types import Turn

if TYPE_CHECKING:
    from seal_agent.server.chat import Wishes

logger = logging.getLogger(__name__)

PREFIX = "data:"
END = "[DONE]"
Body = dict[str, Any]
"""JSON; Any, because the upstream defines it."""


async def relay(request: Request, body: ChatRequest, service: Service, scope: Scope, wishes: "Wishes") -> Response:
    """Ask the upstream with what is remembered, answer with what it says, and record it."""
    from seal_agent.server.chat import EventStream, in_pool, recorder_for

    upstream = service.upstream
    assert upstream is not None
    given: Body = await request.json()
    recorder = recorder_for(service, scope, readable(body), wishes)
    remembers = service.settings.inject_context if wishes.context is None else wishes.context
    sent = {key: value for key, value in given.items() if key != "user"} | {"model": upstream.model if body.model == LIVE else body.model}
    if remembers:
        sent["messages"] = await in_pool(service, partial(with_context, scope, body, given["messages"]))
    place = service.places.take()
    with contextlib.ExitStack() as leaving:
        leaving.callback(place.leave)
        if not body.stream:
            answer = await upstream.complete(sent)
            episode_id = await in_pool(service, partial(recorder.record, said_in(answer)))
            return Json(answer | {"seal": {"route": "text" if remembers else "base", "adapter": None, "episode_id": episode_id}})
        opened = contextlib.AsyncExitStack()
        lines = await opened.enter_async_context(upstream.stream(sent))
        return EventStream(events(service, lines, recorder, opened), leaving.pop_all().close)


def readable(body: ChatRequest) -> tuple[Turn, ...]:
    """Return what can be recorded of the conversation: its texts. Calls, pictures and empty messages are the upstream's alone."""
    turns = []
    for position, message in enumerate(body.messages):
        if text_in(message):
            plain = message.model_copy(update={"content": text_in(message), "tool_calls": None, "function_call": None, "audio": None})
            turns.append(plain.turn(position))
    return tuple(turns)


def text_in(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content.strip() and message.content
    return "\n".join(part.text for part in message.content or () if part.type == "text" and part.text and part.text.strip())


def with_context(scope: Scope, body: ChatRequest, messages: list[Body]) -> list[Body]:
    """Return the messages with what is remembered ahead of the user's last one, as a part of its own text."""
    place = max((at for at, message in enumerate(body.messages) if message.role == "user"), default=None)
    if place is None:
        raise bad_request("messages holds nothing that the user said.", code="invalid_messages", param="messages")
    question = text_in(body.messages[place])
    block = scope.context(question).text if question else ""
    if not block:
        return messages
    asked = messages[place]
    content = asked["content"]
    told = f"{block}\n\n{content}" if isinstance(content, str) else [{"type": "text", "text": block}, *content]
    return [*messages[:place], {**asked, "content": told}, *messages[place + 1 :]]


def said_in(answer: Body) -> str:
    try:
        content = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return ""
    return content if isinstance(content, str) else ""


async def events(
    service: Service, lines: AsyncIterator[str], recorder: Recorder, opened: contextlib.AsyncExitStack
) -> AsyncIterator[bytes]:
    """Pass the upstream's events on as they come, and record what they said."""
    from seal_agent.server.chat import in_pool

    said: list[str] = []
    whole = False
    try:
        async with opened:
            async for line in lines:
                payload = line.removeprefix(PREFIX).strip() if line.startswith(PREFIX) else ""
                if payload == END:
                    whole = True
                    break
                if payload:
                    said.append(delta_of(payload))
                    yield f"{PREFIX} {payload}\n\n".encode()
        if not whole:
            raise Refusal(502, "The upstream model broke off.", code="upstream_error")
        await in_pool(service, partial(recorder.record, "".join(said)))
        yield DONE
    except (Refusal, SealAgentError) as error:
        logger.warning("an upstream's answer broke off: %s", type(error).__name__)
        told = error if isinstance(error, Refusal) else Refusal(502, "The upstream model broke off.", code="upstream_error")
        yield event(error_body(told.status_code, told.detail, code=told.code))
    finally:
        if not whole:
            service.metrics.disconnects.inc()
            service.pool.submit(recorder.record, "".join(said), INTERRUPTED)


def delta_of(payload: str) -> str:
    """Return the text that an event adds; what can't be read adds none and is passed on as it came."""
    try:
        content = json.loads(payload)["choices"][0]["delta"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return ""
    return content if isinstance(content, str) else ""
