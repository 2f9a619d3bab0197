"""`/v1/models`: the names that a chat can ask for. Adapters are models whose parent is the agent's, as other engines list them.

`seal-agent` answers with whatever is live for the caller, `seal-agent:base` without any adapter, `seal-agent:<adapter>` with that one. Only
adapters that the caller's scope may answer with exist for it: any other name is a 404, never the base in its stead.
"""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from seal_agent.scope import Scope
from seal_agent.server.refusals import Json, Refusal
from seal_agent.server.service import ReaderScope, Served, documented

router = APIRouter(tags=["chat"], dependencies=[documented])

LIVE = "seal-agent"
BASE = "base"
SEPARATOR = ":"
OWNER = "seal-agent"
EPOCH = 0
"""`created` of the names that are older than any adapter."""


def adapter_of(scope: Scope, model: str) -> tuple[str | None, bool]:
    """Return the adapter that a model's name asks for (None is the live one), and whether it asks for the base; raise a 404."""
    if model == LIVE:
        return None, False
    family, _, name = model.partition(SEPARATOR)
    if family == LIVE and name == BASE:
        return None, True
    if family != LIVE or not name:
        raise no_such_model(model)
    if name not in {adapter.name for adapter in scope.adapters.answerable()}:
        raise no_such_model(model)
    return name, False


def no_such_model(model: str) -> Refusal:
    return Refusal(
        404, f"The model {model[:80]!r} does not exist or is not yours; GET /v1/models lists yours.", code="model_not_found", param="model"
    )


def listed(scope: Scope, base: str) -> list[dict[str, object]]:
    """Return the caller's models, the live one first."""
    live = scope.adapters.live
    found = [entry(LIVE, live.created_at if live else None, root=live.name if live else base), entry(f"{LIVE}:{BASE}", None, root=base)]
    return found + [
        entry(f"{LIVE}{SEPARATOR}{adapter.name}", adapter.created_at, root=adapter.name, parent=LIVE)
        for adapter in scope.adapters.answerable()
    ]


def entry(name: str, created: datetime | None, *, root: str, parent: str | None = None) -> dict[str, object]:
    at = EPOCH if created is None else int(created.timestamp())
    return {"id": name, "object": "model", "created": at, "owned_by": OWNER, "root": root, "parent": parent}


@router.get("/v1/models", summary="List the models of the caller", response_model=dict[str, Any])
async def list_models(scope: ReaderScope, service: Served) -> Json:
    models = await run_in_threadpool(listed, scope, service.memory.settings.model.id)
    return Json({"object": "list", "data": models})


@router.get("/v1/models/{model}", summary="Describe one model", response_model=dict[str, Any])
async def get_model(model: str, scope: ReaderScope, service: Served) -> Json:
    for found in await run_in_threadpool(listed, scope, service.memory.settings.model.id):
        if found["id"] == model:
            return Json(found)
    raise no_such_model(model)
