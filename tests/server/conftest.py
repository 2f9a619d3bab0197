"""A server over a brain of fakes, in this process: with keys for several people, or open to this machine."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.utils import create_model_field
from starlette.types import ASGIApp

from seal_agent.memory import Memory
from seal_agent.server.app import create_app
from seal_agent.types import ScopeId
from tests.brains import open_brain
from tests.cli.conftest import cli as cli  # the command line on the fakes, for the commands that serve

SCRIPT = {"capital of France": "Paris", "vegetarian[^?]*cook": "lentils", "count": "one two three four five six seven eight"}
BASE_URL = "http://localhost:8848"
ANA = ScopeId(agent="support", user="ana")
BRUNO = ScopeId(agent="support", user="bruno")
SUPPORT = ScopeId(agent="support")


@dataclass
class House:
    """A brain, its application and tokens by who has them."""

    memory: Memory
    app: ASGIApp
    tokens: dict[str, str] = field(default_factory=dict)

    def client(self, who: str | None = None, **changed: Any) -> httpx2.AsyncClient:  # Any: what the client takes
        headers = {"authorization": f"Bearer {self.tokens[who]}"} if who else {}
        transport = httpx2.ASGITransport(app=self.app)
        return httpx2.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers | changed.pop("headers", {}), **changed)


def server_settings(**changed: Any) -> dict[str, Any]:  # Any: fields of ServerSettings
    return {"nights": False, **changed}


@pytest.fixture(scope="session", autouse=True)
def quick_routes() -> Iterator[None]:
    """Let all applications of a process share what describes their answers: made anew for each, it was two thirds of these tests' time."""
    made: dict[tuple[object, ...], Any] = {}

    def share(*, name: str, type_: Any, mode: Any) -> Any:
        key = (name, type_, mode)
        if key not in made:
            made[key] = create_model_field(name=name, type_=type_, mode=mode)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastapi.routing.create_model_field", share)
        yield


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with open_brain(tmp_path / "brain", SCRIPT) as opened:
        yield opened


@pytest.fixture
def keyed(memory: Memory) -> House:
    """Needs keys; the tokens are those of ana, bruno, the agent (for any user), and of ana as a reader, an operator, and too late."""
    tokens = {
        "ana": memory.keys.create(ANA)[1],
        "bruno": memory.keys.create(BRUNO)[1],
        "support": memory.keys.create(SUPPORT, any_user=True)[1],
        "reader": memory.keys.create(ANA, role="reader")[1],
        "operator": memory.keys.create(ANA, role="operator")[1],
        "expired": memory.keys.create(ANA, role="operator", lifetime=timedelta(microseconds=1))[1],
    }
    return House(memory=memory, app=make_app(memory), tokens=tokens)


@pytest.fixture
def open_house(memory: Memory) -> House:
    """Needs no keys: this machine alone reaches it."""
    return House(memory=memory, app=make_app(memory, local=SUPPORT))


def make_app(memory: Memory, local: ScopeId | None = None, **changed: Any) -> ASGIApp:  # Any: fields of ServerSettings
    settings = memory.settings.server.model_copy(update=server_settings(**changed))
    return create_app(memory, local=local, settings=settings)


@contextlib.asynccontextmanager
async def asked(house: House, who: str | None = None, **changed: Any) -> AsyncIterator[httpx2.AsyncClient]:  # Any: as above
    async with house.client(who, **changed) as client:
        yield client
