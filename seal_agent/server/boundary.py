"""What every request passes first, whatever it asks for: host, key, rate, size. Plain ASGI, outside of routing and of any parsing.

So a route that somebody adds later, a path that does not exist and the OpenAPI document are guarded like all others. The two probes are
open, and say nothing but whether the process lives and is ready. Deliberately decides nothing about roles and scopes: routes do.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seal_agent.server.credentials import Doorkeeper
from seal_agent.server.limits import Places, RateLimit
from seal_agent.server.metrics import Metrics
from seal_agent.server.refusals import Refusal, bad_request, fault

logger = logging.getLogger(__name__)

PROBES = frozenset({"/healthz", "/readyz"})
REQUEST_ID = "x-request-id"
MAX_HEADER_BYTES = 16_384
"""Of all header lines together: ten times what clients send."""
MAX_PATH_BYTES = 4_096
BULK_PATH = "/v1/memory/episodes/batch"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
ANY_HOST = "*"
SECURITY_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""Nothing here is a page, and nothing is to be kept by a cache between us and the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What is answered at all."""

    hosts: frozenset[str]
    """Names that a Host header may hold, lower case, without ports; `*` is any."""
    max_body_bytes: int
    max_bulk_bytes: int
    body_seconds: float


class Boundary:
    """The outermost application: every answer leaves through here, an unforeseen exception as a 500 without a word of its cause."""

    def __init__(self, app: ASGIApp, bounds: Bounds, doorkeeper: Doorkeeper, rate: RateLimit, places: Places, metrics: Metrics) -> None:
        self._app = app
        self._bounds = bounds
        self._doorkeeper = doorkeeper
        self._rate = rate
        self._places = places
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # there are no web sockets here; returning unanswered makes the server close the connection
        answer = Answering(send)
        scope.setdefault("state", {})["request_id"] = answer.request_id
        started = time.perf_counter()
        try:
            with self._places.hold():
                await self._answered(scope, receive, answer)
        except Refusal as refused:
            await answer.refuse(refused, scope, receive)
        except Exception as error:  # the last boundary: logged with its trace, and the client gets no word of it
            logger.error("request %s failed: %s", answer.request_id, type(error).__name__, exc_info=scrubbed(error))
            await answer.refuse(fault(answer.request_id), scope, receive)
        finally:
            self._tell(scope, answer, time.perf_counter() - started)

    async def _answered(self, scope: Scope, receive: Receive, answer: "Answering") -> None:
        headers = Headers(scope=scope)
        check_head(scope)
        check_host(headers, self._bounds.hosts)
        if scope["path"] not in PROBES:
            sent = headers.get("authorization")
            admit = self._doorkeeper.admit
            credential = admit(sent) if self._doorkeeper.is_open else await asyncio.to_thread(admit, sent)
            scope["state"]["credential"] = credential
            self._rate.spend(credential.key_id)
        limit = self._bounds.max_bulk_bytes if scope["path"] == BULK_PATH else self._bounds.max_body_bytes
        check_encoding(headers)
        body = await receive_body(receive, limit, self._bounds.body_seconds)
        check_type(headers, body)
        await self._app(scope, Replay(body, receive), answer)

    def _tell(self, scope: Scope, answer: "Answering", seconds: float) -> None:
        route = scope.get("route")
        path = getattr(route, "path", "unknown")  # the template: an id or a name in a path is no label
        credential = scope["state"].get("credential")
        self._metrics.answered(path, scope["method"], answer.status, seconds)
        logger.info(
            "request %s key %s %s %s %d %.1f ms",
            answer.request_id,
            credential.key_id if credential else "-",
            scope["method"] if scope["method"].isalpha() else "?",
            path,
            answer.status,
            seconds * 1000,
        )


class Answering:
    """`send` with the headers that every answer has, and a memory of what was sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.request_id = uuid.uuid4().hex

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=list(message.get("headers", [])))
            headers[REQUEST_ID] = self.request_id
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            message = {**message, "headers": headers.raw}
        await self._send(message)

    async def refuse(self, refusal: Refusal, scope: Scope, receive: Receive) -> None:
        """Answer with the refusal, unless an answer has begun: then it breaks off."""
        if self.status:
            return  # the server closes a connection whose answer was not ended, and the client sees that it is not whole
        response = refusal.response()
        response.headers["connection"] = "close"  # what is left of the request is not read
        await response(scope, receive, self)


class Replay:
    """`receive` for the application: the body as it was received, then what comes after it, the client's going away."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()


def check_head(scope: Scope) -> None:
    """Refuse a head that no honest client sends."""
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
        raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's headers are too large.", code="headers_too_large")
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_PATH_BYTES:
        raise Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "The request's address is too long.", code="uri_too_long")


def check_host(headers: Headers, hosts: frozenset[str]) -> None:
    """Refuse names that are not ours: a web page that had its name point to this address (DNS rebinding) sends its own."""
    if ANY_HOST in hosts:
        return
    sent = [headers.get("host"), *([urlsplit(origin).netloc] if (origin := headers.get("origin")) else [])]
    for name in sent:
        if not name or host_of(name) not in hosts:
            raise Refusal(
                HTTPStatus.FORBIDDEN,
                "This server does not answer under that name or for pages of that origin; server.allowed_hosts names those that it does.",
                code="host_not_allowed",
            )


def host_of(name: str) -> str:
    """Return the host without its port, lower case; "" for what is none."""
    try:
        return (urlsplit(f"//{name}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def hosts_for(bound: str, allowed: Iterable[str], *, has_keys: bool) -> frozenset[str]:
    """Return the names answered to: all names of loopback, the address itself, and those allowed by hand.

    Any name, where keys are needed and none is allowed by hand: a page that tricks a browser into asking us has no key to send.
    """
    named = [name.lower() for name in allowed]
    if has_keys and not named:
        return frozenset({ANY_HOST})
    return frozenset([*LOOPBACK, bound, *named])


def check_encoding(headers: Headers) -> None:
    if headers.get("content-encoding", "identity").lower() not in {"", "identity"}:
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Compressed bodies are not read; send it as it is.", code="unsupported_encoding")


def check_type(headers: Headers, body: bytes) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind != "application/json":
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A body must be application/json.", code="unsupported_media_type", param="content-type"
        )


async def receive_body(receive: Receive, limit: int, seconds: float) -> bytes:
    """Read the whole body, counting what comes and not what was announced; raise a 413 past `limit` bytes, a 408 past `seconds`."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise bad_request("The request ended before its body did.", code="incomplete_body")
                part = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is over {limit:,} bytes.", code="body_too_large")
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, f"The body took over {seconds:g} seconds.", code="body_too_slow") from None


def scrubbed(error: Exception) -> Exception:
    """The error's trace without its words, which may quote what was remembered."""
    return RuntimeError(f"{type(error).__name__}, its message left out").with_traceback(error.__traceback__)
