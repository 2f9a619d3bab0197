"""`/healthz`, `/readyz` and `/metrics`: for whoever watches over the process.

The first two are open to all, as watchdogs send no keys, and say one word. Metrics are for operators: counts tell of a business too.
"""

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from seal_agent.errors import ModelNotFoundError, SealAgentError
from seal_agent.memory import Memory
from seal_agent.server.metrics import CONTENT_TYPE
from seal_agent.server.refusals import Json
from seal_agent.server.service import Caller, Served, documented

router = APIRouter(tags=["watching"])


class Status(BaseModel):
    status: str
    failed: str | None = None


@router.get("/healthz", summary="Is the process alive?", response_model=Status)
async def healthz() -> Json:
    return Json({"status": "ok", "failed": None})


@router.get("/readyz", summary="Can it serve?", response_model=Status, responses={503: {"model": Status}})
async def readyz(service: Served) -> Json:
    """503 while the ledger can't be read or the model's weights are not there; `failed` says which, and `seal-agent doctor` why."""
    failed = await run_in_threadpool(what_failed, service.memory, needs_model=service.upstream is None)
    return Json({"status": "unavailable" if failed else "ready", "failed": failed}, 503 if failed else 200)


def what_failed(memory: Memory, *, needs_model: bool) -> str | None:
    try:
        memory.check_ready(model=needs_model)
    except ModelNotFoundError:
        return "model"
    except SealAgentError:
        return "ledger"
    return None


@router.get("/metrics", summary="Prometheus metrics", response_class=Response, dependencies=[documented])
async def metrics(service: Served, caller: Caller) -> Response:
    caller.check_role("operator")
    text = await run_in_threadpool(service.metrics.expose)
    return Response(text, media_type=CONTENT_TYPE)
