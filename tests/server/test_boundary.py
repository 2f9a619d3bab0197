"""What is refused before any route is asked: wrong keys, foreign scopes, foreign hosts, what is too large, too deep or not JSON."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

from seal_agent.memory import Memory
from seal_agent.server.app import OPENAPI_PATH
from seal_agent.server.boundary import PROBES, Boundary, host_of, hosts_for
from tests.server.conftest import SUPPORT, House, make_app

JSON = {"content-type": "application/json"}


def routes_of(house: House) -> list[tuple[str, str]]:
    """Method and address of every route, those that FastAPI adds included."""
    app = house.app
    assert isinstance(app, Boundary)
    paths: Any = app._app
    described = paths.openapi()["paths"]
    found = [(method.upper(), path.replace("{name}", "x").replace("{model}", "x")) for path, item in described.items() for method in item]
    assert len(found) >= 20
    assert not any(isinstance(route, APIRoute) and not route.include_in_schema for route in paths.routes)
    return [*found, ("GET", OPENAPI_PATH), ("GET", "/nothing/here"), ("OPTIONS", "/v1/models"), ("TRACE", "/")]


async def test_every_route_refuses_every_wrong_key(keyed: House) -> None:
    right = keyed.tokens["ana"]
    wrong = {
        "none": None,
        "empty": "Bearer ",
        "not bearer": f"Basic {right}",
        "bare": right,
        "wrong secret": f"Bearer {right[:-1]}{'A' if right[-1] != 'A' else 'B'}",
        "unknown": "Bearer seal-000000000000-" + "a" * 43,
        "expired": f"Bearer {keyed.tokens['expired']}",
        "beyond ascii": "Bearer \xff\xfe",
        "long": "Bearer " + "x" * 10_000,
    }
    async with keyed.client() as nobody:
        for method, path in routes_of(keyed):
            for name, header in wrong.items():
                raw = [(b"authorization", header.encode("latin-1"))] if header is not None else []
                answer = await nobody.request(method, path, headers=raw)
                expected = 401 if path not in PROBES else 200
                assert answer.status_code == expected, (method, path, name, answer.status_code)


async def test_every_route_that_knows_a_scope_refuses_another_scopes_key(keyed: House) -> None:
    refused = 0
    async with keyed.client("bruno", headers={"Seal-User": "ana"}) as bruno:
        for method, path in routes_of(keyed):
            body = {"model": "seal-agent", "messages": [{"role": "user", "content": "hi"}]} if path.endswith("completions") else {}
            answer = await bruno.request(method, path, json=body if method == "POST" else None)
            needs_scope = path.startswith("/v1/") and path != OPENAPI_PATH and method in {"GET", "POST"}
            assert answer.status_code == 403 if needs_scope or path == "/metrics" else answer.status_code in {200, 404, 405}, (method, path)
            refused += answer.status_code == 403
    assert refused >= 18


@pytest.mark.parametrize(("who", "allowed"), [("reader", 0), ("ana", 0), ("operator", 1)])
async def test_only_operators_change_what_is_live_and_see_the_metrics(keyed: House, who: str, allowed: int) -> None:
    paths = [("POST", f"/v1/memory/{name}") for name in ("consolidate", "rollback", "forward", "base", "nights/pause", "nights/resume")]
    async with keyed.client(who) as client:
        answers = [await client.request(method, path, json={"dry_run": True} if path.endswith("date") else None) for method, path in paths]
        answers.append(await client.get("/metrics"))
    assert all((answer.status_code == 403) != allowed for answer in answers), [answer.status_code for answer in answers]


async def test_probes_are_open_and_say_one_word(keyed: House) -> None:
    async with keyed.client() as nobody:
        assert (await nobody.get("/healthz")).json() == {"status": "ok", "failed": None}
        assert (await nobody.get("/readyz")).json() == {"status": "ready", "failed": None}


async def test_a_server_whose_ledger_is_gone_is_not_ready(keyed: House) -> None:
    keyed.memory._parts.ledger.close()
    async with keyed.client() as nobody:
        answer = await nobody.get("/readyz")
    assert (answer.status_code, answer.json()["failed"]) == (503, "ledger")


async def test_answers_carry_security_headers_and_an_id(open_house: House) -> None:
    async with open_house.client() as client:
        for path in ("/v1/models", "/nothing"):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert len(headers["x-request-id"]) == 32
            assert "server" not in headers


@pytest.mark.parametrize(
    "headers", [{"host": "evil.example"}, {"host": "127.0.0.1.evil.example"}, {"origin": "http://evil.example"}, {"host": ""}]
)
async def test_a_page_that_tricks_a_browser_into_asking_is_refused_where_no_keys_are_needed(
    open_house: House, headers: dict[str, str]
) -> None:
    async with open_house.client() as client:
        answer = await client.get("/v1/models", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "host_not_allowed")


@pytest.mark.parametrize(
    ("name", "host"), [("LOCALHOST:80", "localhost"), ("[::1]:8848", "::1"), ("a.b.", "a.b"), ("[", ""), ("user@evil", "evil")]
)
def test_hosts_are_read_without_their_ports(name: str, host: str) -> None:
    assert host_of(name) == host


def test_names_allowed_by_hand_hold_with_keys_too() -> None:
    assert hosts_for("0.0.0.0", (), has_keys=True) == {"*"}
    assert "memory.example" in hosts_for("0.0.0.0", ("Memory.Example",), has_keys=True)
    assert "*" not in hosts_for("127.0.0.1", (), has_keys=False)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"{" + b'"query": ' + b"[" * 65 + b"]" * 65 + b"}",
        b'{"query": "x", "query": "y"}',
        b'{"query": "x", "k": NaN}',
        b'{"query": "x", "k": Infinity}',
        b'{"query": "x", "k": 1e999}',
        b'{"query": "x", "k": ' + b"9" * 401 + b"}",
        b'{"query": "x", "k": ' + b"9" * 5_000 + b"}",
        b"\xff\xfe{}",
        b'{"query": "\\ud800"}',
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_what_is_no_sound_json_is_a_400(open_house: House, body: bytes) -> None:
    async with open_house.client() as client:
        answer = await client.post("/v1/memory/search", content=body, headers=JSON)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_bodies_are_counted_as_they_come_whatever_was_announced(memory: Memory) -> None:
    house = House(memory=memory, app=make_app(memory, local=SUPPORT, max_body_bytes=10_000, max_bulk_bytes=20_000))
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1_000_000_000:
            sent += 1_000
            yield b" " * 1_000

    async with house.client() as client:
        chunked = await client.post("/v1/memory/search", content=endless(), headers=JSON)
        bulk = await client.post("/v1/memory/episodes/batch", content=b" " * 15_000, headers=JSON)
        too_much = await client.post("/v1/memory/episodes/batch", content=b" " * 21_000, headers=JSON)
    assert (chunked.status_code, bulk.status_code, too_much.status_code) == (413, 400, 413)


async def test_slow_bodies_headers_and_addresses_have_an_end(memory: Memory) -> None:
    house = House(memory=memory, app=make_app(memory, local=SUPPORT, body_seconds=0.05))

    async def slow() -> AsyncIterator[bytes]:
        import asyncio

        yield b"{"
        await asyncio.sleep(5)

    async with house.client() as client:
        assert (await client.post("/v1/memory/search", content=slow(), headers=JSON)).status_code == 408
        assert (await client.get("/v1/models", headers={"x": "y" * 20_000})).status_code == 431
        assert (await client.get("/v1/models?" + "a" * 5_000)).status_code == 414


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({}, 415),
        ({**JSON, "content-encoding": "gzip"}, 415),
        ({**JSON, "content-encoding": "br"}, 415),
    ],
)
async def test_other_forms_than_plain_json_are_refused(open_house: House, headers: dict[str, str], status: int) -> None:
    async with open_house.client() as client:
        answer = await client.post("/v1/memory/search", content=json.dumps({"query": "x"}).encode(), headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    "path", ["//v1/..%2fmodels", "/v1/models/../../etc/passwd", "/v1/memory/adapters/..%2f..%2fx", "/%00", "/v1/models/"]
)
async def test_crooked_addresses_lead_nowhere(open_house: House, path: str) -> None:
    async with open_house.client() as client:
        assert (await client.get(path)).status_code == 404


async def test_no_header_overrides_the_method(open_house: House) -> None:
    async with open_house.client() as client:
        answer = await client.post("/v1/models", headers={"X-HTTP-Method-Override": "GET"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")


async def test_a_key_may_ask_so_often_and_no_more(memory: Memory) -> None:
    ana = memory.keys.create(SUPPORT)[1]
    bruno = memory.keys.create(SUPPORT)[1]
    house = House(memory=memory, app=make_app(memory, requests_per_minute=3), tokens={"ana": ana, "bruno": bruno})
    async with house.client("ana") as first, house.client("bruno") as second:
        answers = [await first.get("/v1/models") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert int(answers[-1].headers["retry-after"]) >= 19
        assert (await second.get("/v1/models")).status_code == 200


async def test_an_unforeseen_fault_is_a_500_without_a_word_of_its_cause(
    open_house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the secret is " + "".join(["hun", "ter2"]))

    monkeypatch.setattr("seal_agent.scope.Scope.facts", fail)
    monkeypatch.setattr("seal_agent.scope_adapters.ScopeAdapters.answerable", fail)
    async with open_house.client() as client:
        answer = await client.get("/v1/models")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "hunter2" not in answer.text + caplog.text
    assert answer.headers["x-request-id"] in caplog.text
