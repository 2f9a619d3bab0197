"""Traces: one OpenTelemetry span for each operation on a memory, named as the conventions for generative AI name them.

Only the API is used, and only where it is installed (`pip install 'seal-agent[otel]'`); where the spans go is the application's choice, and
without an SDK they go nowhere. Ids, counts and times only: what was asked and found is attached on request alone, by the variable that the
conventions have for it. The conventions (open-telemetry/semantic-conventions-genai, in development) have no words for training, so these
begin with `seal.`. The API's own constants lack those for memory, so all stand here.
"""

import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar

from seal_agent.types import Answer, CycleReport, Episode, Fact, ScopeId

Operation = Literal["create_memory", "search_memory", "update_memory", "delete_memory", "chat", "seal.consolidate"]
Attribute = str | int | float | bool
Attributes = Mapping[str, Attribute]

PROVIDER = "seal-agent"
OPERATION = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
STORE = "gen_ai.memory.store.id"
RECORD = "gen_ai.memory.record.id"
RECORDS = "gen_ai.memory.record.count"
QUERY = "gen_ai.memory.query.text"
MODEL = "gen_ai.request.model"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
ERROR = "error.type"
CAPTURE_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
NANOSECONDS = 1_000_000_000
BASE = "base"
"""The model's name in a span where no adapter answered."""


class Scoped(Protocol):
    @property
    def id(self) -> ScopeId: ...


S = TypeVar("S", bound=Scoped)
P = ParamSpec("P")
R = TypeVar("R")


@functools.cache
def tracer() -> Any:  # Any: the API may be absent, for a type checker too
    """Return OpenTelemetry's tracer, None where its API is not installed."""
    try:
        from opentelemetry import trace  # here, because most processes never trace and it costs 40 ms
    except ImportError:
        return None
    return trace.get_tracer("seal_agent")


def traced(operation: Operation) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:
    """Make a method of a scope one span, with what its result says of itself."""

    def around(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        @functools.wraps(method)
        def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            with measured(operation, self.id, query_of(operation, args)) as told:
                result = method(self, *args, **kwargs)
                told(result)
            return result

        return call

    return around


@contextmanager
def measured(operation: Operation, scope: ScopeId, attributes: Attributes | None = None) -> Iterator[Callable[[object], None]]:
    """Make a block one span, and yield what adds a result's attributes to it. Nothing happens where OpenTelemetry is not installed.

    An exception is noted by its kind: its message may quote what was said.
    """
    if tracer() is None:
        yield lambda _: None
        return
    from opentelemetry.trace import SpanKind, StatusCode  # only ever reached where it is there

    described = {**common(operation, scope), **(attributes or {})}
    with tracer().start_as_current_span(
        operation, kind=SpanKind.INTERNAL, attributes=described, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield lambda result: span.set_attributes(attributes_of(result))
        except BaseException as error:
            span.set_attribute(ERROR, type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise


def record_chat(scope: ScopeId, answer: Answer, seconds: float) -> None:
    """Make a span of an answer that has just ended: a stream is read in whatever threads its reader likes, so no block surrounds it."""
    if tracer() is None:
        return
    end = time.time_ns()
    begun = end - int(seconds * NANOSECONDS)
    tracer().start_span("chat", start_time=begun, attributes={**common("chat", scope), **attributes_of(answer)}).end(end)


def common(operation: Operation, scope: ScopeId) -> dict[str, Attribute]:
    return {OPERATION: operation, PROVIDER_NAME: PROVIDER, STORE: scope.key}


def query_of(operation: Operation, args: tuple[object, ...]) -> Attributes:
    asked = operation == "search_memory" and args and isinstance(args[0], str)
    return {QUERY: str(args[0])} if asked and os.environ.get(CAPTURE_CONTENT, "").lower() == "true" else {}


def attributes_of(result: object) -> Attributes:
    """Say of a result what is no content: ids, counts, tokens, names."""
    if isinstance(result, Episode | Fact):
        return {RECORD: result.id, RECORDS: 1}
    if isinstance(result, Answer):
        return attributes_of_answers([result])
    if isinstance(result, list):
        return attributes_of_answers(result) if result and isinstance(result[0], Answer) else {RECORDS: len(result)}
    if isinstance(result, CycleReport):
        named = {"seal.adapter.name": result.adapter} if result.adapter else {}
        return {"seal.cycle.id": result.cycle_id, "seal.cycle.state": result.state, "seal.cycle.facts": len(result.facts), **named}
    return {}


def attributes_of_answers(answers: list[Answer]) -> Attributes:
    traces = [answer.trace for answer in answers]
    return {
        MODEL: traces[0].adapter or BASE,
        INPUT_TOKENS: sum(trace.prompt_tokens for trace in traces),
        OUTPUT_TOKENS: sum(trace.answer_tokens for trace in traces),
        "seal.route": traces[0].route,
    }
