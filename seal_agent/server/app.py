"""The application: routes over one open brain, behind the boundary. `run.py` binds it; a test or another server may call it as ASGI.

Deliberately opens no brain: whoever opened it closes it, after the application has ended.
"""

import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from seal_agent import __version__
from seal_agent.config import ServerSettings
from seal_agent.errors import SealAgentError
from seal_agent.memory import Memory
from seal_agent.server import chat, forget_routes, learning_routes, memory_routes, models, probes
from seal_agent.server.boundary import Boundary, Bounds, hosts_for
from seal_agent.server.credentials import Doorkeeper
from seal_agent.server.cycles import Cycles
from seal_agent.server.limits import Places, RateLimit
from seal_agent.server.metrics import Metrics
from seal_agent.server.refusals import Json, Refusal, error_body, fault, refusal_of
from seal_agent.server.service import Service
from seal_agent.server.upstream import Upstream
from seal_agent.types import ScopeId

OPENAPI_PATH = "/v1/memory/openapi.json"
ABOUT = """A memory for agents that remembers by day and learns by night.

`/v1/chat/completions` and `/v1/models` speak OpenAI's protocol, `/v1/memory` is the memory itself. Whose memory a request uses follows from
its key alone."""
ERRORS = {
    400: "The request makes no sense as it stands.",
    401: "No valid key.",
    403: "The key does not reach so far.",
    404: "No such thing in this scope.",
    408: "The body took too long.",
    409: "Something else is at it already.",
    413: "The body is too large.",
    414: "The address is too long.",
    415: "Not JSON.",
    429: "Too much at once; Retry-After says when.",
    431: "The headers are too large.",
    500: "A fault of the server.",
    503: "The model or the store can't serve this now.",
}
"""What any route may answer beside its own."""


class Problem(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class Failure(BaseModel):
    """An error in OpenAI's form."""

    error: Problem


def create_app(
    memory: Memory,
    *,
    local: ScopeId | None = None,
    settings: ServerSettings | None = None,
    upstream_transport: httpx.AsyncBaseTransport | None = None,
) -> ASGIApp:
    """Return the application for an open brain; its settings are those of the brain, unless passed.

    `local` is the scope of requests without a key, for a server that only this machine reaches; with None everybody needs one.
    Raise `SettingsError`.
    """
    settings = memory.settings.server if settings is None else settings
    metrics = Metrics(memory)
    service = Service(
        memory=memory,
        settings=settings,
        metrics=metrics,
        places=Places(settings.max_answers, "answers"),
        pool=ThreadPoolExecutor(settings.max_answers, thread_name_prefix="seal-chat"),
        cycles=Cycles(metrics),
        upstream=Upstream(settings, upstream_transport) if settings.upstream_url else None,
    )
    bounds = Bounds(
        hosts=hosts_for(settings.host, settings.allowed_hosts, has_keys=local is None),
        max_body_bytes=settings.max_body_bytes,
        max_bulk_bytes=max(settings.max_bulk_bytes, settings.max_body_bytes),
        body_seconds=settings.body_seconds,
    )
    doorkeeper = Doorkeeper(memory.keys, local)
    requests = Places(settings.max_requests, "requests")
    return Boundary(routes(service), bounds, doorkeeper, RateLimit(settings.requests_per_minute), requests, metrics)


def routes(service: Service) -> FastAPI:
    app = FastAPI(
        title="seal-agent",
        version=__version__,
        description=ABOUT,
        openapi_url=OPENAPI_PATH,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        responses={status: {"model": Failure, "description": about} for status, about in ERRORS.items()},
        lifespan=lambda _: living(service),
        default_response_class=Json,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.service = service
    for module in (chat, models, memory_routes, forget_routes, learning_routes, probes):
        app.include_router(module.router)
    app.add_exception_handler(HTTPException, on_http)  # type: ignore[arg-type]  # Starlette types every handler for Exception
    app.add_exception_handler(RequestValidationError, on_invalid)  # type: ignore[arg-type]  # as above
    app.add_exception_handler(Exception, on_fault)
    app.add_exception_handler(SealAgentError, on_memory)  # type: ignore[arg-type]  # as above
    app.openapi = lambda: document(app)  # type: ignore[method-assign]  # FastAPI's own way to change the document
    return app


@contextlib.asynccontextmanager
async def living(service: Service) -> AsyncIterator[None]:
    """Hold the nights while the server runs; end what was begun: cycles stop at their next step, answers that were given are recorded."""
    if service.settings.nights:
        service.memory.nights.start()
    try:
        yield
    finally:
        await run_in_threadpool(service.memory.nights.stop)
        await run_in_threadpool(service.cycles.stop)
        if service.upstream is not None:
            await service.upstream.aclose()
        service.pool.shutdown(wait=True)


async def on_http(_: Request, error: HTTPException) -> Response:
    if isinstance(error, Refusal):
        return error.response()
    status = HTTPStatus(error.status_code)
    message = {404: "There is nothing at this address.", 405: "This address does not take that method."}.get(status, status.phrase)
    return Json(error_body(status, message, code=status.name.lower()), status, headers=error.headers)


async def on_invalid(_: Request, error: RequestValidationError) -> Response:
    """Say what is wrong with the first thing that is, and where; not what was sent, which the caller knows."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:] if isinstance(part, int) or part.isidentifier())[:200]
    code = "missing_parameter" if first["type"] == "missing" else "invalid_parameter"
    message = f"{where or 'The body'}: {first['msg']}."
    return Json(error_body(400, message, code=code, param=where or None), 400)


async def on_memory(_: Request, error: SealAgentError) -> Response:
    return refusal_of(error).response()


async def on_fault(request: Request, _: Exception) -> Response:
    """Say nothing of the cause: the boundary, to which it is raised on, logs it."""
    return fault(request.state.request_id).response()


def document(app: FastAPI) -> dict[str, Any]:  # Any: OpenAPI
    """The OpenAPI document: FastAPI's, without the 422 that is a 400 here."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        for unused in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(unused, None)
        app.openapi_schema = schema
    return app.openapi_schema
