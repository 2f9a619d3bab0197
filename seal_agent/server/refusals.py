"""How a request that fails is answered: a status, and the error body that OpenAI's clients read.

    {"error": {"message": "...", "type": "invalid_request_error", "param": "n", "code": "unsupported_parameter"}}

Deliberately says no more than the caller may know: what is a fault of ours goes to the log under the request's id.
"""

import math
import re
from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from seal_agent import errors
from seal_agent.serialise import to_json

RETRY_SECONDS = 1
"""Sent with 429 where nothing better is known."""

TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}
STATUS: tuple[tuple[type[errors.SealAgentError], int], ...] = (
    # The first that fits counts, so a class stands before its parent.
    (errors.UnknownRecordError, HTTPStatus.NOT_FOUND),
    (errors.SettingsError, HTTPStatus.INTERNAL_SERVER_ERROR),
    (errors.UsageError, HTTPStatus.BAD_REQUEST),
    (errors.MissingDependencyError, HTTPStatus.NOT_IMPLEMENTED),
    (errors.OverloadedError, HTTPStatus.TOO_MANY_REQUESTS),
    (errors.DeadlineError, HTTPStatus.GATEWAY_TIMEOUT),
    (errors.CycleInterruptedError, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.BackendError, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.StoreLockedError, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.StoreFullError, HTTPStatus.INSUFFICIENT_STORAGE),
)


class Json(JSONResponse):
    """A record, or anything made of records, as JSON in ASCII: no text that was remembered can fail to be encoded."""

    def render(self, content: object) -> bytes:
        return to_json(content).encode("ascii")


class Refusal(HTTPException):
    """A request that is refused by the server itself, not by the memory. An `HTTPException`, because FastAPI lets nothing else through."""

    def __init__(self, status: int, message: str, *, code: str, param: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(int(status), message, dict(headers or {}))
        self.code = code
        self.param = param

    def response(self) -> Json:
        return Json(error_body(self.status_code, self.detail, code=self.code, param=self.param), self.status_code, headers=self.headers)


def bad_request(message: str, *, code: str = "invalid_request", param: str | None = None) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, message, code=code, param=param)


def too_many(message: str, seconds: float = RETRY_SECONDS) -> Refusal:
    """Say when to come back; whole seconds, as the header asks."""
    wait = max(1, math.ceil(seconds))
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, message, code="rate_limit_exceeded", headers={"retry-after": str(wait)})


def fault(request_id: str) -> Refusal:
    """What a client is told of a bug of ours."""
    message = f"Something went wrong here; the server's log has it under {request_id}."
    return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, message, code="internal_error")


def error_body(status: int, message: str, *, code: str, param: str | None = None) -> dict[str, object]:
    kind = TYPES.get(status, "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refusal_of(error: errors.SealAgentError) -> Refusal:
    """Name an error of the memory in HTTP's words. A fault of the store is told by its kind only: its message holds paths."""
    status = next((status for kind, status in STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    code = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower().removesuffix("_error")
    if isinstance(error, errors.OverloadedError):
        return too_many(str(error))
    ours = isinstance(error, errors.StoreError | errors.IntegrityError | errors.SettingsError | errors.ModelNotFoundError)
    message = f"The server's memory can't serve this now ({type(error).__name__}); its log and `seal-agent doctor` say why."
    return Refusal(status, message if ours else str(error), code=code)
