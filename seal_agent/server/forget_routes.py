"""`/v1/memory/forget`: for good, in two steps. For operators."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, StrictBool
from starlette.concurrency import run_in_threadpool

from seal_agent.errors import UsageError
from seal_agent.server.memory_routes import Request, Text
from seal_agent.server.refusals import Json
from seal_agent.server.service import OperatorScope, Served, documented
from seal_agent.server.strict_json import StrictRoute
from seal_agent.turns import MAX_LABEL
from seal_agent.types import MAX_ID_LENGTH

router = APIRouter(prefix="/v1/memory", route_class=StrictRoute, tags=["memory"], dependencies=[documented])

MAX_IDS = 1_000
Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH + 8)]
"""Of a fact or an episode, or `episode:position` of a turn."""


class ForgetGiven(Request):
    """Either what to forget, said in one way, or the token of the plan that answered it."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_IDS)] | None = None
    query: Text | None = None
    author: Annotated[str, Field(min_length=1, max_length=MAX_LABEL)] | None = None
    everything: StrictBool = False
    confirm: Annotated[str, Field(min_length=1, max_length=MAX_LABEL)] | None = Field(None, description="The token of a plan, alone.")


@router.post("/forget", summary="Forget for good, in two steps", response_model=dict[str, Any])
async def forget(given: ForgetGiven, scope: OperatorScope, service: Served) -> Json:
    """First what is meant: the answer is a plan and, unless it is empty, a token. Then `confirm` with the token: the answer is the receipt.

    What is removed is exactly the plan: text, index, files and the adapters that were taught it. A token holds for ten minutes.
    """
    said = (given.ids, given.query, given.author, given.everything or None)
    if given.confirm is not None:
        if any(said):
            raise UsageError("Give either confirm, or what is to be forgotten; a token confirms exactly its plan.")
        confirmed = service.forgetting.take(scope.id.key, given.confirm)
        return Json({"forgotten": True, "receipt": await run_in_threadpool(scope.forget, confirmed)})
    look = partial(scope.forget, *(given.ids or ()), query=given.query, author=given.author, everything=given.everything, dry_run=True)
    plan = await run_in_threadpool(look)
    token = None if plan.is_empty else service.forgetting.offer(scope.id.key, plan)
    return Json({"forgotten": False, "plan": plan, "confirm": token})
