"""`/v1/memory/consolidate`, `nights` and `adapters`: when a scope learns, by hand and by itself, and what is live.

Whoever may read may look; changes are for operators.
"""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field, StrictBool
from starlette.concurrency import run_in_threadpool

from seal_agent.errors import UnknownRecordError
from seal_agent.ledger.nights import NightEvent, NightRow
from seal_agent.scope import Scope
from seal_agent.server.memory_routes import Request
from seal_agent.server.refusals import Json
from seal_agent.server.service import OperatorScope, ReaderScope, Served, Service, documented
from seal_agent.server.strict_json import StrictRoute
from seal_agent.types import MAX_ID_LENGTH, Adapter

router = APIRouter(prefix="/v1/memory", route_class=StrictRoute, tags=["learning"], dependencies=[documented])

Name = Annotated[str, Path(min_length=1, max_length=2 * MAX_ID_LENGTH)]


class ConsolidateGiven(Request):
    dry_run: StrictBool = False


class Adapters(BaseModel):
    adapters: list[Adapter]
    live: str | None


class Live(BaseModel):
    live: Adapter | None


@router.post("/consolidate", status_code=202, summary="Begin to learn now, or only plan it", responses={200: {"model": dict[str, Any]}})
async def consolidate(given: ConsolidateGiven, scope: OperatorScope, service: Served) -> dict[str, Any]:  # Any: documented as such
    """With `dry_run` the plan, at once. Else 202: it takes minutes; `GET` says how it stands. 409 while one is running."""
    if given.dry_run:
        return Json(await run_in_threadpool(scope.consolidate, dry_run=True), 200)  # type: ignore[return-value]  # a response goes as it is
    return Json(service.cycles.start(scope), 202)  # type: ignore[return-value]  # as above


@router.get("/consolidate", summary="Say how the last consolidation stands", response_model=dict[str, Any])
async def last_cycle(scope: ReaderScope, service: Served) -> Json:
    """Running, with its stage; or the report of the last one that this server ran for the scope."""
    outcome = service.cycles.outcome(scope.id)
    if outcome is None:
        raise UnknownRecordError(f"No consolidation of {scope.id.key!r} was begun by this server.")
    return Json(outcome)


class Nights(BaseModel):
    """The nights of one scope."""

    running: bool = Field(description="Whether this server holds nights at all.")
    opens: datetime = Field(description="When the window opens that is open now or comes next.")
    closes: datetime
    due: bool = Field(description="Whether this scope's night could begin now.")
    paused: bool
    waits_for: str | None = Field(description="Why nothing begins at this moment.")
    history: list[NightRow]
    events: list[NightEvent]


class Paused(BaseModel):
    paused: bool


def nights_of(service: Service, scope: Scope) -> dict[str, object]:
    nights = service.memory.nights
    coming = nights.next()
    return {
        "running": nights.is_running,
        "opens": coming.night.opens,
        "closes": coming.night.closes,
        "due": scope.id in coming.due,
        "paused": nights.is_paused(scope.id),
        "waits_for": coming.waits_for,
        "history": nights.history(scope.id),
        "events": nights.events(scope.id),
    }


@router.get("/nights", summary="Say when this scope learns by itself, and how its last nights went", response_model=Nights)
async def nights(scope: ReaderScope, service: Served) -> Json:
    return Json(await run_in_threadpool(nights_of, service, scope))


@router.post("/nights/pause", summary="Hold no nights of this scope", response_model=Paused)
async def pause(scope: OperatorScope, service: Served) -> Json:
    """Until `resume`. A night that is under way ends as usual."""
    await run_in_threadpool(service.memory.nights.pause, scope.id)
    return Json({"paused": True})


@router.post("/nights/resume", summary="Hold the nights of this scope again", response_model=Paused)
async def resume(scope: OperatorScope, service: Served) -> Json:
    """`paused` stays true while the nights of everybody are paused."""
    await run_in_threadpool(service.memory.nights.resume, scope.id)
    return Json({"paused": await run_in_threadpool(service.memory.nights.is_paused, scope.id)})


def described(scope: Scope) -> Json:
    live = scope.adapters.live
    return Json({"adapters": scope.adapters.list(), "live": live.name if live else None})


@router.get("/adapters", summary="List adapters", response_model=Adapters)
async def adapters(scope: ReaderScope) -> Json:
    """This scope's own, the rejected ones too; and the name of the one that answers, which may be a shared one."""
    return await run_in_threadpool(described, scope)


@router.get("/adapters/{name}", summary="Describe one adapter", response_model=Adapter)
async def adapter(name: Name, scope: ReaderScope) -> Json:
    return Json(await run_in_threadpool(scope.adapters.get, name))


@router.post("/adapters/{name}/promote", summary="Make an adapter live that the gate promoted before", response_model=Live)
async def promote(name: Name, scope: OperatorScope) -> Json:
    return Json({"live": await run_in_threadpool(scope.adapters.promote, name)})


@router.post("/rollback", summary="Go back to what was live before", response_model=Live)
async def rollback(scope: OperatorScope) -> Json:
    """Requests that are being answered keep the adapter that they began with."""
    return Json({"live": await run_in_threadpool(scope.adapters.rollback)})


@router.post("/forward", summary="Undo a roll back", response_model=Live)
async def forward(scope: OperatorScope) -> Json:
    return Json({"live": await run_in_threadpool(scope.adapters.forward)})


@router.post("/base", summary="Answer with the base model again", response_model=Live)
async def base(scope: OperatorScope) -> Json:
    """Or with the nearest shared adapter. Promoting an adapter undoes it."""
    await run_in_threadpool(scope.adapters.base)
    return Json({"live": None})
