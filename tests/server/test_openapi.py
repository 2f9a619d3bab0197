"""The OpenAPI document holds: whatever it allows is answered as it says, and nothing that is sent makes the server fail."""

import asyncio
import os
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from schemathesis.core.result import Ok

from seal_agent.server.app import OPENAPI_PATH
from tests.brains import open_brain
from tests.server.conftest import BASE_URL, SUPPORT, House, make_app

CASES = int(os.environ.get("SEAL_API_CASES", "0"))
"""Cases per operation; before a release 1,000: SEAL_API_CASES=1000 pytest tests/server/test_openapi.py -n 0"""
PATHS = os.environ.get("SEAL_API_PATHS", "/")
"""Only operations whose address holds this: the long run in portions."""
FEW = 2


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_brain(tmp_path_factory.mktemp("brain")) as memory:
        yield House(memory=memory, app=make_app(memory, local=SUPPORT, requests_per_minute=0))


def document(house: House) -> dict[str, Any]:  # Any: OpenAPI
    async def fetch() -> Any:
        async with house.client() as client:
            return (await client.get(OPENAPI_PATH)).json()

    found = asyncio.run(fetch())
    assert isinstance(found, dict)
    return found


def test_the_document_names_every_operation_of_the_facade_once(house: House) -> None:
    paths = document(house)["paths"]
    operations = [operation["operationId"] for item in paths.values() for operation in item.values()]
    assert len(operations) == len(set(operations)) >= 20
    for name in ("episodes", "search", "context", "facts", "consolidate", "nights", "adapters"):
        assert f"/v1/memory/{name}" in paths
    assert all("422" not in operation["responses"] for item in paths.values() for operation in item.values())


def send_cases(house: House, number: int) -> tuple[int, list[str]]:
    """Send generated cases to every operation; return how many, and what was wrong."""
    schema = schemathesis.openapi.from_dict(document(house))
    sent, wrong = 0, []

    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        if PATHS not in operation.path:
            continue

        @hypothesis.settings(max_examples=number, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @hypothesis.given(case=operation.as_strategy(schemathesis.GenerationMode.NEGATIVE) | operation.as_strategy())
        def probe(case: Any) -> None:  # Any: schemathesis' case is typed by its schema
            nonlocal sent
            sent += 1
            answer = asyncio.run(answered(house, case))
            label = f"{case.method} {case.formatted_path}: {answer.status_code} {answer.text[:200]}"
            if answer.status_code >= 500 or str(answer.status_code) not in case.operation.definition.raw["responses"]:
                wrong.append(label)
            elif "json" in answer.headers.get("content-type", ""):
                try:
                    case.operation.validate_response(answer)
                except Exception as error:  # noqa: BLE001 - whatever the validator raises is a finding, and is reported
                    wrong.append(f"{label} {str(error)[:300]}")

        probe()
    return sent, wrong


async def answered(house: House, case: Any) -> httpx2.Response:
    sent = case.as_transport_kwargs(base_url=BASE_URL)
    async with house.client() as client:
        headers = {name: value for name, value in dict(sent.get("headers") or {}).items() if name.lower() not in {"authorization", "host"}}
        known = {key: sent[key] for key in ("params", "json", "data", "content") if sent.get(key) is not None}
        if "data" in known:
            known["content"] = known.pop("data")
        try:
            return await client.request(sent["method"], sent["url"], headers=headers, **known)
        except (httpx2.InvalidURL, UnicodeEncodeError, ValueError, TypeError) as error:
            return httpx2.Response(400, json={"error": {"message": str(error), "type": "", "param": None, "code": None}})  # can't be sent


@pytest.mark.slow
def test_generated_requests_are_answered_as_the_document_says(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    sent, wrong = send_cases(house, CASES or FEW)
    if CASES:
        with capsys.disabled():
            sys.stdout.write(f"\n{sent} cases, {len(wrong)} wrong\n")
    assert sent >= (20 if PATHS == "/" else 1)
    assert wrong == []
