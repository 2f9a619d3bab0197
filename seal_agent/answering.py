"""Answering: the prompt, the adapter, the reply and its trace.

With "text" the remembered facts and turns stand in the prompt, with "weights" the scope's live adapter answers, with "both" both.
Deliberately chooses no adapter (the ledger's live pointer does) and records nothing: whether an exchange is remembered is its host's to
say.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import get_args

from seal_agent.chat import question_prompt
from seal_agent.errors import GenerationError, IntegrityError, UsageError
from seal_agent.ledger.adapters import nearest_live
from seal_agent.parts import Parts
from seal_agent.types import Adapter, Answer, Context, Route, ScopeId, Trace

logger = logging.getLogger(__name__)

TOKENS_PER_WORD = 1.3
"""English in a vocabulary of 50,000; measured 1.25 to 1.3 on support conversations."""
CHARACTERS_PER_TOKEN = 4
NO_CONTEXT = Context(text="", tokens=0, cited=())


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


def answers(parts: Parts, scope: ScopeId, questions: Sequence[str], route: Route, find: Callable[[str], Context]) -> list[Answer]:
    """Answer checked questions in one batch, all with the same adapter; `find` returns the context for one.

    Raise `ModelNotFoundError` or `GenerationError`.
    """
    started = time.perf_counter()
    model = parts.model
    loaded = time.perf_counter()
    contexts = [find(question) if route != "weights" else NO_CONTEXT for question in questions]
    found = time.perf_counter()
    system_prompt = parts.settings.model.system_prompt
    prompts = [question_prompt(system_prompt, question, context.text) for question, context in zip(questions, contexts, strict=True)]
    with lease(parts, scope) if route != "text" else nullcontext(None) as adapter:
        leased = time.perf_counter()
        replies = model.generate(prompts, adapter=adapter, max_tokens=parts.settings.model.max_answer_tokens)
    ended = time.perf_counter()
    seconds = {"load": loaded - started, "context": found - loaded, "adapter": leased - found, "answer": ended - leased}
    return [
        Answer(
            text=reply.text,
            trace=Trace(
                route=route,
                adapter=adapter,
                cited=context.cited,
                prompt_tokens=sum(model.count_tokens(turn.content) for turn in prompt),
                answer_tokens=reply.tokens,
                seconds=seconds,
            ),
        )
        for reply, context, prompt in zip(replies, contexts, prompts, strict=True)
    ]


@contextmanager
def lease(parts: Parts, scope: ScopeId) -> Iterator[str | None]:
    """Yield the name of the nearest live adapter, held for this request; None, the base, when there is none or its files are damaged."""
    with parts.ledger.read() as connection:
        live = nearest_live(connection, scope)
    name = None if live is None else begin(parts, live)
    try:
        yield name
    finally:
        if name is not None:
            parts.serving.end(name)


def begin(parts: Parts, live: Adapter) -> str | None:
    try:
        return parts.serving.begin(live)
    except (IntegrityError, GenerationError) as error:
        # An agent that answers from text is worth more than one that does not answer; `doctor` and the trace tell.
        logger.warning("adapter %s can't be used, the base answers instead: %s: %s", live.name, type(error).__name__, error)
        return None
