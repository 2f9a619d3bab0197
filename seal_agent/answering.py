"""Answering: the prompt, the adapter, the reply and its trace.

Asked for "auto", the router (`routing.py`) says which way. With "text" the remembered facts and turns stand in the prompt, with "weights"
the scope's live adapter answers, with "both" it does and the text completes what it doesn't know (`complement.py`), with "base" neither.
Deliberately chooses no adapter (the ledger's live pointer does) and records nothing: whether an exchange is remembered is its
host's to say.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import get_args

from sqlalchemy import Connection

from seal_agent import watch
from seal_agent.answer_stream import AnswerStream, open_text_stream
from seal_agent.chat import chat_prompt, last_question, question_prompt
from seal_agent.errors import DeadlineError, GenerationError, IntegrityError, UnknownRecordError, UsageError
from seal_agent.ledger.adapters import get_adapter, nearest_live
from seal_agent.ledger.skills import skill_adapters
from seal_agent.parts import Parts
from seal_agent.protocols import Model
from seal_agent.routing import ASKED_FOR, Routed, Shown, choose
from seal_agent.sampling import Sampling
from seal_agent.spoken import Spoken
from seal_agent.telemetry import record_chat
from seal_agent.types import Adapter, Answer, Context, Generation, Route, ScopeId, Trace, Turn

logger = logging.getLogger(__name__)

TOKENS_PER_WORD = 1.3
"""English in a vocabulary of 50,000; measured 1.25 to 1.3 on support conversations."""
CHARACTERS_PER_TOKEN = 4
NO_CONTEXT = Context(text="", tokens=0, cited=())
WITH_TEXT: frozenset[Route] = frozenset({"text", "both"})
WITH_WEIGHTS: frozenset[Route] = frozenset({"weights", "both"})

Find = Callable[[str, Shown | None], Context]
"""Returns the context for one question: of what is to be shown, or, without that, the whole."""


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has, without a tokenizer; long words and other scripts count for more."""
    by_words = TOKENS_PER_WORD * len(text.split())
    by_length = len(text) / CHARACTERS_PER_TOKEN
    return math.ceil(max(by_words, by_length)) + sum(not character.isascii() for character in text)


def check_route(use: Route) -> Route:
    routes: tuple[Route, ...] = get_args(Route)
    if use not in routes:
        raise UsageError(f"use={use!r} is no route; say one of {', '.join(routes)}.")
    return use


def route_for(use: Route, adapter: str | None) -> Route:
    """Return the route to take when an adapter may be asked for by name: then it has to be used, and is not the router's to leave out."""
    checked = check_route(use)
    if adapter is None:
        return checked
    if checked not in WITH_WEIGHTS | {"auto"}:
        raise UsageError(f"use={use!r} leaves the weights out, so adapter={adapter!r} can't answer: say weights, both or auto.")
    return "both" if checked == "auto" else checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One conversation to be answered, checked."""

    turns: tuple[Turn, ...]
    route: Route
    sampling: Sampling
    timeout: float | None = None
    adapter: str | None = None
    """The adapter asked for by name; None is the nearest live one."""

    @property
    def question(self) -> str:
        return self.turns[last_question(self.turns)].content


def answers(parts: Parts, scope: ScopeId, questions: Sequence[str], route: Route, find: Find) -> list[Answer]:
    """Answer checked questions, those of one route in one batch; `find` returns the context for one.

    Raise `ModelNotFoundError` or `GenerationError`.
    """
    started = time.perf_counter()
    parts.last_request = parts.clock()
    _ = parts.model
    seconds = {"load": time.perf_counter() - started}
    chosen = choose(parts, scope, questions, route)
    routed = [reconsidered(one, question, find) for one, question in zip(chosen, questions, strict=True)]
    seconds["route"] = time.perf_counter() - started - seconds["load"]
    found: dict[int, Answer] = {}
    for taken in dict.fromkeys(one.route for one in routed):
        places = [place for place, one in enumerate(routed) if one.route == taken and not one.abstained]
        batch = Batch(route=taken, questions=[questions[place] for place in places], routed=[routed[place] for place in places])
        if places:
            found.update(zip(places, answers_of(parts, scope, batch, find, seconds), strict=True))
    return [found.get(place) or abstention(parts, one, seconds) for place, one in enumerate(routed)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Questions that take one route."""

    route: Route
    questions: list[str]
    routed: list[Routed]


def answers_of(parts: Parts, scope: ScopeId, batch: Batch, find: Find, before: dict[str, float]) -> list[Answer]:
    model = parts.model
    started = time.perf_counter()
    system_prompt = parts.settings.model.system_prompt
    with lease(parts, scope) if batch.route in WITH_WEIGHTS else nullcontext(None) as adapter:
        leased = time.perf_counter()
        taken = [with_what_there_is(one, adapter) for one in batch.routed]
        contexts = [context_of(one, question, find) for one, question in zip(taken, batch.questions, strict=True)]
        prompts = [question_prompt(system_prompt, q, context.text) for q, context in zip(batch.questions, contexts, strict=True)]
        found = time.perf_counter()
        replies = model.generate(prompts, adapter=adapter, max_tokens=parts.settings.model.max_answer_tokens)
        watch.note_request(parts, adapter)
    ended = time.perf_counter()
    seconds = before | {"adapter": leased - started, "context": found - leased, "answer": ended - found}
    return [
        Answer(text=reply.text, finished=reply.finished, trace=trace_of(model, routed, adapter, context, prompt, reply, seconds))
        for reply, context, prompt, routed in zip(replies, contexts, prompts, taken, strict=True)
    ]


def with_what_there_is(routed: Routed, adapter: str | None) -> Routed:
    """What was left to the weights, or only completes them, is left to the text where that adapter can't be used after all."""
    if adapter == routed.adapter or routed.shown is None or routed.route not in WITH_WEIGHTS:
        return routed
    instead = "no adapter can be used" if adapter is None else "another adapter went live meanwhile"
    return replace(routed, route="both", why=f"{routed.why}; but {instead}, so the text has to do", shown=None)


def context_of(routed: Routed, question: str, find: Find) -> Context:
    return find(question, routed.shown) if routed.route in WITH_TEXT else NO_CONTEXT


def abstention(parts: Parts, routed: Routed, seconds: dict[str, float]) -> Answer:
    """Say that nothing is known, without asking the model: it would make something up."""
    trace = Trace(
        route=routed.route, adapter=None, cited=(), prompt_tokens=0, answer_tokens=0, seconds=seconds, why=routed.why, abstained=True
    )
    return Answer(text=parts.settings.routing.abstention, trace=trace)


def open_answer(parts: Parts, scope: ScopeId, request: Request, find: Find) -> AnswerStream:
    """Begin to answer one conversation; the adapter is held until the stream ends. Raise as `answers`, and `OverloadedError`."""
    started = time.perf_counter()
    parts.last_request = parts.clock()
    deadline = None if request.timeout is None else time.monotonic() + request.timeout
    model = parts.model
    loaded = time.perf_counter()
    routed = reconsidered(route_of(parts, scope, request), request.question, find)
    if routed.abstained:
        refusal = abstention(parts, routed, {"load": loaded - started, "route": time.perf_counter() - loaded})
        return AnswerStream(Spoken(Generation(text=refusal.text, tokens=0), [refusal.text]), lambda *_: refusal, lambda: None)
    routing = time.perf_counter()
    with ExitStack() as stack:
        adapter = stack.enter_context(lease(parts, scope, request.adapter)) if routed.route in WITH_WEIGHTS else None
        leased = time.perf_counter()
        routed = with_what_there_is(routed, adapter)
        context = context_of(routed, request.question, find)
        prompt = chat_prompt(parts.settings.model.system_prompt, request.turns, context.text)
        found = time.perf_counter()
        pieces = open_text_stream(model, prompt, adapter, request.sampling, left_until(deadline))
        release = stack.pop_all().close

    def failed(error: GenerationError) -> None:
        watch.note_request(parts, adapter, error)

    def finish(reply: Generation, first_at: float | None) -> Answer:
        watch.note_request(parts, adapter)
        ended = time.perf_counter()
        seconds = {"load": loaded - started, "route": routing - loaded, "adapter": leased - routing, "context": found - leased}
        seconds["answer"] = ended - found
        seconds["first_piece"] = (first_at or ended) - started
        answer = Answer(text=reply.text, finished=reply.finished, trace=trace_of(model, routed, adapter, context, prompt, reply, seconds))
        record_chat(scope, answer, ended - started)
        return answer

    return AnswerStream(pieces, finish, release, failed, parts.streams)


def route_of(parts: Parts, scope: ScopeId, request: Request) -> Routed:
    """An adapter that is asked for by name is no subject of the router's: it stands beside the whole context."""
    if request.adapter is not None:
        return Routed(route=request.route, why=ASKED_FOR)
    return choose(parts, scope, [request.question], request.route)[0]


def reconsidered(routed: Routed, question: str, find: Find) -> Routed:
    """Before saying that nothing is known, look at what was said and never became a fact."""
    if not routed.abstained or not find(question, routed.shown).text:
        return routed
    return replace(routed, route="both", why="something that was said is near it", abstained=False)


def left_until(deadline: float | None) -> float | None:
    """Seconds until then; raise `DeadlineError` when it has passed already."""
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise DeadlineError("The time was up before the answer began: loading and searching took all of it. Give more, or try again.")
    return left


def trace_of(
    model: Model,
    routed: Routed,
    adapter: str | None,
    context: Context,
    prompt: Sequence[Turn],
    reply: Generation,
    seconds: dict[str, float],
) -> Trace:
    return Trace(
        route=routed.route,
        why=routed.why,
        confidence=routed.confidence,
        adapter=adapter,
        cited=context.cited,
        prompt_tokens=sum(model.count_tokens(turn.content) for turn in prompt),
        answer_tokens=reply.tokens,
        seconds=seconds,
    )


@contextmanager
def lease(parts: Parts, scope: ScopeId, asked: str | None = None) -> Iterator[str | None]:
    """Yield the name of the nearest live adapter, held for this request; None, the base, when there is none or its files are damaged.

    The one `asked` for by name is that one or an error: `UnknownRecordError`, `UsageError`, or `IntegrityError` for damaged files.
    """
    with parts.ledger.read() as connection:
        found = nearest_live(connection, scope) if asked is None else named(connection, scope, asked)
    if asked is not None and found is not None:
        name: str | None = parts.serving.begin(found)
    else:
        name = None if found is None else begin(parts, found)
    try:
        yield name
    except GenerationError as error:
        watch.note_request(parts, name, error)
        raise
    finally:
        if name is not None:
            parts.serving.end(name)


def named(connection: Connection, scope: ScopeId, name: str) -> Adapter:
    """Return an adapter that this scope may answer with: its own or a shared one, and one that the gate has promoted once."""
    adapter = get_adapter(connection, name)
    if adapter.scope not in (scope, *scope.ancestors):
        raise UnknownRecordError(f"No adapter {name!r} in {scope.key!r}.")
    if adapter.state != "promoted":
        raise UsageError(f"Adapter {name!r} is {adapter.state}: only what the gate has promoted once answers.")
    if name in skill_adapters(connection, adapter.scope):
        raise UsageError(f"Adapter {name!r} does one task, or writes self-edits: it answers nothing else. A task is run with run.")
    return adapter


def begin(parts: Parts, live: Adapter) -> str | None:
    try:
        return parts.serving.begin(live)
    except (IntegrityError, GenerationError) as error:
        # An agent that answers from text is worth more than one that does not answer; `doctor` and the trace tell.
        logger.warning("adapter %s can't be used, the base answers instead: %s: %s", live.name, type(error).__name__, error)
        watch.note_request(parts, live.name, error)
        return None
