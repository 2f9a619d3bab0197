"""Reading a request's JSON strictly: one meaning, finite numbers, bounded depth.

Python's parser accepts NaN, keeps the last of two equal keys and recurses as deep as it is told; each of these has been a hole elsewhere
(two readers that see two messages, a crash). FastAPI asks `StrictRequest.json` for the body of every route made with `StrictRoute`.
"""

import json
import math
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from seal_agent.server.refusals import Refusal, bad_request

MAX_DEPTH = 64
"""Levels of lists and objects. The deepest thing that any route reads has seven."""


def read_json(body: bytes) -> Any:  # Any: whatever the caller sent
    """Return the value; raise a 400 that says what is wrong with it."""
    try:
        value = json.loads(body, parse_float=finite, parse_constant=refuse_constant, object_pairs_hook=unique)
    except RecursionError:
        raise too_deep() from None
    except (ValueError, UnicodeDecodeError) as error:
        raise bad_request(f"The body is not JSON: {str(error)[:200]}.", code="invalid_json") from error
    if depth(value) > MAX_DEPTH:
        raise too_deep()
    return value


def too_deep() -> Refusal:
    return bad_request(f"The body is nested more than {MAX_DEPTH} levels deep.", code="invalid_json")


def finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise bad_request(f"{text[:40]} is too large a number.", code="invalid_json")
    return number


def refuse_constant(text: str) -> float:
    raise bad_request(f"{text} is not JSON.", code="invalid_json")


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise bad_request("An object in the body holds the same key twice; which of them counts would be a guess.", code="invalid_json")
    return found


def depth(value: Any) -> int:
    """Count the levels, without recursion."""
    deepest, level = 0, [value]
    while level:
        inner: list[Any] = []
        for item in level:
            inner.extend(item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
        deepest += any(isinstance(item, dict | list) for item in level)
        level = inner
        if deepest > MAX_DEPTH:
            break
    return deepest


class StrictRequest(Request):
    async def json(self) -> Any:  # Any: as in the class it extends
        if not hasattr(self, "_json"):
            self._json = read_json(await self.body())
        return self._json


class StrictRoute(APIRoute):
    """A route whose body is read strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strict
