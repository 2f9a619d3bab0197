"""`/v1/chat/completions`: what any OpenAI client speaks, with memory behind it.

What is remembered of the caller's scope goes into the prompt, fenced as data; the exchange is recorded once it is answered. A client that
leaves frees its generation at once. Deliberately chooses neither adapter nor route: scope and router do.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Header, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from seal_agent.answer_stream import AnswerStream
from seal_agent.errors import SealAgentError
from seal_agent.scope import Scope
from seal_agent.server.chat_request import ChatRequest, last_exchange
from seal_agent.server.completions import KEEP_ALIVE, Chunks, Heading, completion, event
from seal_agent.server.models import adapter_of
from seal_agent.server.refusals import Json, Refusal, bad_request, error_body, refusal_of
from seal_agent.server.remembering import INTERRUPTED, Recorder
from seal_agent.server.service import Caller, Served, Service, documented, user_of
from seal_agent.server.strict_json import StrictRoute
from seal_agent.turns import check_label
from seal_agent.types import Answer, Turn

logger = logging.getLogger(__name__)

router = APIRouter(route_class=StrictRoute, tags=["chat"], dependencies=[documented])

KEEP_ALIVE_SECONDS = 15.0
SWITCH = {"on": True, "off": False}
CLIENT_LEFT = 499
"""nginx's status for a client that went away; nobody reads it but the log."""
R = TypeVar("R")


class Wishes:
    """The memory's switches, as headers: any OpenAI client can send them (`default_headers`)."""

    def __init__(
        self,
        seal_session: Annotated[
            str | None, Header(alias="Seal-Session", max_length=512, description="Id of the conversation that is recorded.")
        ] = None,
        seal_context: Annotated[
            str | None, Header(alias="Seal-Context", description="on or off: what is remembered in the prompt.")
        ] = None,
        seal_record: Annotated[str | None, Header(alias="Seal-Record", description="on or off: record the exchange.")] = None,
    ) -> None:
        self.session = seal_session
        self.context = switch("Seal-Context", seal_context)
        self.record = switch("Seal-Record", seal_record)
        if seal_session is not None:
            check_label("Seal-Session", seal_session, 512)


def switch(name: str, value: str | None) -> bool | None:
    if value is not None and value.lower() not in SWITCH:
        raise bad_request(f"{name}: {value[:40]!r} is neither on nor off.", code="invalid_header", param=name)
    return None if value is None else SWITCH[value.lower()]


@router.post("/v1/chat/completions", summary="Answer a conversation", response_model=None, responses={200: {"model": dict[str, Any]}})
async def chat(
    request: Request,
    body: ChatRequest,
    service: Served,
    caller: Caller,
    wishes: Annotated[Wishes, Depends()],
    user: Annotated[str | None, Depends(user_of)],
) -> Response:
    """Answer as OpenAI's API does: whole, or as a stream of server-sent events; see `ChatRequest` for what is supported."""
    caller.check_role("agent")
    if user is not None and body.user is not None and user != body.user:
        raise bad_request("Seal-User and user name two people.", code="invalid_user", param="user")
    scope = service.scope(caller.scope_for(user if body.user is None else body.user))
    if service.upstream is not None:
        from seal_agent.server.proxy import relay

        return await relay(request, body, service, scope, wishes)
    body.check_supported()
    recorder = recorder_for(service, scope, body.turns(), wishes)
    heading = Heading(model=body.model, created=int(time.time()))
    place = service.places.take()
    with contextlib.ExitStack() as leaving:
        leaving.callback(place.leave)
        stream = await in_pool(service, partial(open_stream, service, scope, body, wishes))
        if body.stream:
            chunks = Chunks(heading=heading, with_usage=body.wants_usage)
            leaving.callback(service.pool.submit, stream.close)
            return EventStream(events(service, stream, chunks, recorder), leaving.pop_all().close)
        answer = await read_while_connected(request, service, stream)
        episode_id = await in_pool(service, partial(recorder.record, answer.text))
    service.metrics.spent(answer.trace.prompt_tokens, answer.trace.answer_tokens)
    return Json(completion(heading, answer, episode_id))


def recorder_for(service: Service, scope: Scope, turns: tuple[Turn, ...], wishes: Wishes) -> Recorder:
    wanted = service.settings.record if wishes.record is None else wishes.record
    return Recorder(scope=scope, said=last_exchange(turns), session=wishes.session, wanted=wanted, metrics=service.metrics)


def open_stream(service: Service, scope: Scope, body: ChatRequest, wishes: Wishes) -> AnswerStream:
    """Search, choose the adapter and begin to answer. Blocks; what can be refused is refused here, before the first byte is sent."""
    adapter, is_base = adapter_of(scope, body.model)
    remembers = service.settings.inject_context if wishes.context is None else wishes.context
    with service.metrics.search_seconds.time() if remembers else contextlib.nullcontext():
        return scope.stream(
            body.turns(),
            use=("text" if remembers else "base") if is_base else ("auto" if remembers else "weights"),
            sampling=body.sampling(service.memory.settings.model.max_answer_tokens),
            timeout=service.settings.answer_seconds,
            adapter=adapter,
        )


async def in_pool(service: Service, work: Callable[[], R]) -> R:
    return await asyncio.get_running_loop().run_in_executor(service.pool, work)


async def read_while_connected(request: Request, service: Service, stream: AnswerStream) -> Answer:
    """Return the whole answer, or stop the model and raise once the client has gone."""
    with service.metrics.answers_open.track_inprogress():
        reading = asyncio.ensure_future(in_pool(service, stream.read))
        leaving = asyncio.ensure_future(gone(request))
        try:
            await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                return reading.result()
            service.metrics.disconnects.inc()
            raise Refusal(CLIENT_LEFT, "The client went away.", code="client_left")
        finally:
            leaving.cancel()
            service.pool.submit(stream.close)
            reading.add_done_callback(lambda done: done.cancelled() or done.exception())  # what a stopped answer raises is no news


async def gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def pieces(service: Service, stream: AnswerStream) -> AsyncGenerator[str | None]:
    """Yield the pieces as they come, and None whenever there was none for a while. Closed or cancelled, it stops the model."""
    loop = asyncio.get_running_loop()
    try:
        while True:
            waiting: Awaitable[str | None] = loop.run_in_executor(service.pool, next, stream, None)
            future = asyncio.ensure_future(waiting)
            while not (await asyncio.wait({future}, timeout=KEEP_ALIVE_SECONDS))[0]:
                yield None
            piece = future.result()
            if piece is None:
                return
            yield piece
    finally:
        service.pool.submit(stream.close)


class EventStream(StreamingResponse):
    """Server-sent events that let go of what they hold however they end, also when the client left before the first."""

    def __init__(self, content: AsyncIterator[bytes], on_end: Callable[[], None]) -> None:
        super().__init__(content, media_type="text/event-stream")
        self._on_end = on_end

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


async def events(service: Service, stream: AnswerStream, chunks: Chunks, recorder: Recorder) -> AsyncIterator[bytes]:
    """Write the answer as server-sent events. An error on the way is the last event, in OpenAI's form."""
    said: list[str] = []
    started = time.perf_counter()
    whole = False
    try:
        with service.metrics.answers_open.track_inprogress():
            yield chunks.begin()
            async with contextlib.aclosing(pieces(service, stream)) as coming:
                async for piece in coming:
                    if piece and not said:
                        service.metrics.first_piece.observe(time.perf_counter() - started)
                    said.append(piece or "")
                    yield chunks.piece(piece) if piece else KEEP_ALIVE
            answer = stream.answer
            whole = True
            episode_id = await in_pool(service, partial(recorder.record, answer.text))
            service.metrics.spent(answer.trace.prompt_tokens, answer.trace.answer_tokens)
            yield chunks.end(answer, episode_id)
    except SealAgentError as error:
        whole = True
        refusal = refusal_of(error)
        logger.warning("an answer broke off: %s", type(error).__name__)
        yield event(error_body(refusal.status_code, refusal.detail, code=refusal.code))
    finally:
        if not whole:  # the client left, or the server is going down
            service.metrics.disconnects.inc()
            service.pool.submit(recorder.record, "".join(said), INTERRUPTED)
