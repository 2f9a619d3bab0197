"""`/v1/memory`: the facade as a REST interface. The scope is the credential's; see `service.py`.

Searches are POSTs, so that what people ask stands in no address and in no log of a machine between. Deliberately thin: parse, call the
scope, print. Records are those of `seal_agent.types`, as `--json` prints them.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from seal_agent.server.refusals import Json
from seal_agent.server.service import AgentScope, ReaderScope, Served, documented
from seal_agent.server.strict_json import StrictRoute
from seal_agent.turns import MAX_CHARACTERS, MAX_LABEL, MAX_TURNS
from seal_agent.types import MAX_ID_LENGTH, Context, Episode, Fact, FactKind, FactState, Hit, Interaction, Role

router = APIRouter(prefix="/v1/memory", route_class=StrictRoute, tags=["memory"], dependencies=[documented])

MAX_BATCH = 1_000
MAX_K = 1_000
MAX_BUDGET = 100_000
PAGE = 100
MAX_PAGE = 1_000

Text = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]
Label = Annotated[str, Field(min_length=1, max_length=MAX_LABEL)]
Scalar = str | bool | Annotated[int, Field(strict=True)] | Annotated[float, Field(allow_inf_nan=False)]
Conditions = dict[str, Scalar | list[Scalar]]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TurnGiven(Request):
    role: Role
    content: Text
    name: Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)] | None = None


class EpisodeGiven(Request):
    """One interaction, as it happened."""

    messages: Text | Annotated[list[TurnGiven], Field(min_length=1, max_length=MAX_TURNS)]
    session: Label | None = None
    at: AwareDatetime | None = Field(None, description="When it happened; now, if left out.")
    source: Label = "api"
    outcome: Label | None = None
    id: Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)] | None = Field(None, description="Idempotency key.")
    metadata: dict[str, Scalar] | None = None

    def interaction(self) -> Interaction:
        messages = self.messages
        return Interaction(
            messages=messages if isinstance(messages, str) else [turn.model_dump(exclude_none=True) for turn in messages],
            session=self.session,
            at=self.at,
            source=self.source,
            outcome=self.outcome,
            id=self.id,
            metadata=self.metadata,
        )


class BatchGiven(Request):
    episodes: Annotated[list[EpisodeGiven], Field(min_length=1, max_length=MAX_BATCH)]


class Asked(Request):
    """What is looked for, and under which conditions."""

    query: Text
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    where: Conditions | None = Field(None, description="session, source, outcome, author, role, kind, or a key of the metadata.")

    @property
    def conditions(self) -> dict[str, Any]:  # Any: the keyword arguments of Scope.search
        return {"since": self.since, "until": self.until, "where": self.where}


class SearchGiven(Asked):
    k: Annotated[int, Field(strict=True, ge=1, le=MAX_K)] | None = None


class ContextGiven(Asked):
    budget: Annotated[int, Field(strict=True, ge=1, le=MAX_BUDGET)] | None = Field(None, description="Most tokens of the block.")


class FactGiven(Request):
    text: Text
    kind: FactKind = "knowledge"


class Episodes(BaseModel):
    episodes: list[Episode]


class Hits(BaseModel):
    hits: list[Hit]


class Facts(BaseModel):
    facts: list[Fact]
    more: bool = Field(description="Whether there are facts after these; ask with `after` set to the last one's id.")


@router.post("/episodes", status_code=201, summary="Record an interaction", response_model=Episode)
async def add(given: EpisodeGiven, scope: AgentScope, service: Served) -> Json:
    """On disk when this is answered. The same `id` again changes nothing and is answered with what was recorded."""
    (episode,) = await scope.aadd_many([given.interaction()])
    service.metrics.recorded.inc()
    return Json(episode, 201)


@router.post("/episodes/batch", status_code=201, summary="Record interactions in one transaction", response_model=Episodes)
async def add_batch(given: BatchGiven, scope: AgentScope, service: Served) -> Json:
    """All of them, or none if one can't be recorded."""
    episodes = await scope.aadd_many([one.interaction() for one in given.episodes])
    service.metrics.recorded.inc(len(episodes))
    return Json({"episodes": episodes}, 201)


@router.post("/search", summary="Find what is relevant", response_model=Hits)
async def search(given: SearchGiven, scope: ReaderScope, service: Served) -> Json:
    """The best turns and facts that this scope may see, best first."""
    with service.metrics.search_seconds.time():
        hits = await scope.asearch(given.query, given.k, **given.conditions)
    return Json({"hits": hits})


@router.post("/context", summary="Write the block for a prompt", response_model=Context)
async def context(given: ContextGiven, scope: ReaderScope, service: Served) -> Json:
    """The profile, then what was found: fenced as data, cited, within a budget of tokens."""
    with service.metrics.search_seconds.time():
        block = await scope.acontext(given.query, given.budget, **given.conditions)
    return Json(block)


@router.get("/facts", summary="List facts", response_model=Facts)
async def facts(
    scope: ReaderScope,
    state: Annotated[list[FactState] | None, Query(description="Only in these states.")] = None,
    after: Annotated[str | None, Query(max_length=MAX_ID_LENGTH, description="The last id of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = PAGE,
) -> Json:
    """In recorded order. An `after` that is no fact of this scope begins at the beginning."""
    found = await scope.afacts(state)
    first = next((place + 1 for place, fact in enumerate(found) if fact.id == after), 0)
    page = found[first : first + limit]
    return Json({"facts": page, "more": first + limit < len(found)})


@router.post("/facts", status_code=201, summary="State a fact outright", response_model=Fact)
async def remember(given: FactGiven, scope: AgentScope) -> Json:
    """True from now on. One that is told already is answered as it is."""
    return Json(await scope.aremember(given.text, given.kind), 201)
