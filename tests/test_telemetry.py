"""Each operation on a memory is one span with the conventions' names, and neither spans nor logs ever hold what was said."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from seal_agent import telemetry
from seal_agent.errors import InvalidTurnError
from seal_agent.scope import Scope
from tests.brains import open_brain
from tests.server.conftest import SUPPORT, House, make_app

SECRET = "zanzibar-4711"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "tracer", lambda: provider.get_tracer("seal_agent"))
    return exporter


@pytest.fixture
def ana(tmp_path: Path) -> Iterator[Scope]:
    with open_brain(tmp_path, {"colour": f"It is {SECRET}."}) as memory:
        yield memory.scope(user="ana")


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans.get_finished_spans()}


def test_operations_are_spans_with_ids_and_counts(spans: InMemorySpanExporter, ana: Scope) -> None:
    episode = ana.add("My parcel is late")
    ana.search("parcel")
    ana.ask("Which colour?")
    found = by_name(spans)
    created, searched, asked = (dict(found[name].attributes or {}) for name in ("create_memory", "search_memory", "chat"))
    assert created[telemetry.RECORD] == episode.id
    assert created[telemetry.STORE] == ana.id.key
    assert searched[telemetry.RECORDS] == 1
    assert asked[telemetry.MODEL] == telemetry.BASE
    assert isinstance(asked[telemetry.OUTPUT_TOKENS], int)


def test_a_search_for_an_answer_is_a_child_of_the_answer(spans: InMemorySpanExporter, ana: Scope) -> None:
    ana.ask("Which colour?")
    found = by_name(spans)
    parent = found["search_memory"].parent
    assert parent is not None
    assert parent.span_id == found["chat"].context.span_id


def test_an_error_is_noted_by_its_kind_alone(spans: InMemorySpanExporter, ana: Scope) -> None:
    with pytest.raises(InvalidTurnError):
        ana.add([{"role": SECRET, "content": "x"}])
    (span,) = spans.get_finished_spans()
    assert dict(span.attributes or {})["error.type"] == "InvalidTurnError"
    assert SECRET not in span.to_json()


def test_a_query_is_attached_on_request_only(spans: InMemorySpanExporter, ana: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    ana.search("blue")
    monkeypatch.setenv(telemetry.CAPTURE_CONTENT, "true")
    ana.search("green")
    queries = [(span.attributes or {}).get(telemetry.QUERY) for span in spans.get_finished_spans()]
    assert queries == [None, "green"]


def test_without_the_api_everything_works_untraced(ana: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "tracer", lambda: None)
    ana.add("My parcel is late")
    assert [hit.text for hit in ana.search("parcel")] == ["My parcel is late"]


async def test_no_log_and_no_span_ever_holds_what_was_said(
    tmp_path: Path, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="seal_agent")  # which other tests leave at what the command line sets
    talk = [{"role": "user", "content": f"My colour is {SECRET}"}]
    with open_brain(tmp_path / "brain", {"colour": f"It is {SECRET}."}) as memory:
        house = House(memory=memory, app=make_app(memory, local=SUPPORT))
        async with house.client() as client:
            for stream in (False, True):
                body = {"model": "seal-agent", "messages": talk, "stream": stream}
                assert SECRET in (await client.post("/v1/chat/completions", json=body)).text
            for path, sent in {
                "episodes": {"messages": talk},
                "search": {"query": SECRET},
                "context": {"query": SECRET},
                "facts": {"text": f"The colour is {SECRET}."},
            }.items():
                assert (await client.post(f"/v1/memory/{path}", json=sent)).status_code < 300
            await client.post("/v1/memory/episodes", json={"messages": [{"role": SECRET, "content": SECRET}]})
            await client.post("/v1/chat/completions", json={"model": SECRET, "messages": talk, SECRET: 1})
            await client.post("/v1/memory/episodes", json={"messages": talk, "session": SECRET * 100})
            await client.get(f"/v1/models/{SECRET}?q={SECRET}")
            assert SECRET not in (await client.get("/metrics")).text
        ana = memory.scope(user="ana")
        ana.remember(f"The colour is {SECRET}.")
        ana.consolidate()
    ours = [record for record in caplog.records if not record.name.startswith("httpx")]  # the test's own client logs its addresses
    assert any(record.name.startswith("seal_agent.server") for record in ours)
    assert [record.name for record in ours if SECRET in logging.Formatter().format(record)] == []
    assert [span.name for span in spans.get_finished_spans() if SECRET in span.to_json()] == []
