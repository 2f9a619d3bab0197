"""The connection to an OpenAI-compatible model upstream, for a server that stands in front of one.

Its address comes from the settings alone, never from a request; redirects are not followed, the machine's proxy settings are not used, and
what comes back is bounded in size and silence. Deliberately knows no memory: `proxy.py` joins the two.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx

from seal_agent.config import ServerSettings
from seal_agent.errors import SettingsError
from seal_agent.server.refusals import Refusal, too_many

CONNECT_SECONDS = 10.0
OURS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED})
"""The upstream refuses our key: the caller's was right."""
MAX_LINE = 1_048_576
"""Longest line of a stream, in characters."""


class Upstream:
    def __init__(self, settings: ServerSettings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`transport` is for tests. Raise `SettingsError` for an address that is none."""
        url = urlsplit(settings.upstream_url)
        if url.scheme not in {"http", "https"} or not url.hostname or url.username or url.query or url.fragment:
            raise SettingsError(f"server.upstream_url={settings.upstream_url!r} is no address of a model: give http(s)://host/v1.")
        if not settings.upstream_model:
            raise SettingsError("server.upstream_url needs server.upstream_model beside it: the model that `seal-agent` stands for.")
        key = settings.upstream_key.get_secret_value()
        self._limit = settings.upstream_max_bytes
        self.model = settings.upstream_model
        self._client = httpx.AsyncClient(
            base_url=f"{settings.upstream_url.rstrip('/')}/",
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(settings.upstream_seconds, connect=CONNECT_SECONDS),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def complete(self, body: dict[str, Any]) -> dict[str, Any]:  # Any: JSON in both directions
        """Return the upstream's whole answer; raise a refusal that says what went wrong there."""
        async with self._response(body) as response:
            return as_object(await self._read(response))

    @asynccontextmanager
    async def stream(self, body: dict[str, Any]) -> AsyncIterator[AsyncIterator[str]]:  # Any: as above
        """Yield the lines of a streamed answer; the connection ends with the block. Raise as `complete`."""
        async with self._response(body) as response:
            yield self._lines(response)

    @asynccontextmanager
    async def _response(self, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        try:
            async with self._client.stream("POST", "chat/completions", json=body) as response:
                if response.status_code != HTTPStatus.OK:
                    raise await self._refused(response)
                yield response
        except httpx.TimeoutException as error:
            raise Refusal(HTTPStatus.GATEWAY_TIMEOUT, "The upstream model took too long.", code="upstream_timeout") from error
        except httpx.HTTPError as error:
            raise broken(f"can't be reached ({type(error).__name__})") from error

    async def _refused(self, response: httpx.Response) -> Refusal:
        status = response.status_code
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            wait = response.headers.get("retry-after", "")
            return too_many("The upstream model is busy.", float(wait) if wait.isdecimal() else 1.0)
        if status in OURS or not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return broken(f"answered with status {status}")
        try:
            error = as_object(await self._read(response))["error"]
            return Refusal(status, str(error["message"])[:2000], code=str(error.get("code") or "upstream_error"), param=error.get("param"))
        except (Refusal, KeyError, TypeError, AttributeError):
            return Refusal(status, f"The upstream model refused the request with status {status}.", code="upstream_error")

    async def _read(self, response: httpx.Response) -> bytes:
        parts: list[bytes] = []
        async for part in response.aiter_bytes():
            parts.append(part)
            if sum(map(len, parts)) > self._limit:
                raise broken(f"answered with more than {self._limit:,} bytes")
        return b"".join(parts)

    async def _lines(self, response: httpx.Response) -> AsyncIterator[str]:
        size, rest = 0, ""
        async for text in response.aiter_text():
            size += len(text)
            *whole, rest = (rest + text).split("\n")
            if size > self._limit or len(rest) > MAX_LINE:
                raise broken(f"answered with more than {self._limit:,} bytes")
            for line in whole:
                yield line.rstrip("\r")
        if rest:
            yield rest


def as_object(body: bytes) -> dict[str, Any]:  # Any: as above
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise broken("answered with something that is not JSON") from error
    if not isinstance(value, dict):
        raise broken("answered with something that is no completion")
    return value


def broken(how: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_GATEWAY, f"The upstream model {how}.", code="upstream_error")
