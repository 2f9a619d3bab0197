"""The proof in the weights: questions about what was forgotten, asked of the base and of what is live now, with nothing in the prompt.

The questions are made before the words go, held in memory and never stored. They ask as somebody would who knows what to look for.
"""

from collections.abc import Collection

from seal_agent.answering import lease
from seal_agent.chat import question_prompt
from seal_agent.consolidation.questions import graded_words
from seal_agent.consolidation.sentences import content_spans
from seal_agent.forgetting.records import Exposure
from seal_agent.parts import Parts
from seal_agent.types import Fact, Question, ScopeId

MOST_FACTS = 20
SPANS = 3
"""Things that a fact speaks of by which it is asked for, the longest first."""
REPLY_TOKENS = 32


def probes_of(forgotten: Collection[Fact]) -> list[Question]:
    """Return questions whose answers, as long as in a night, are what is about to go: in general, and by what each fact speaks of."""
    return [
        Question(id=f"probe-{number}-{place}", text=text, answers=(graded_words(fact),))
        for number, fact in enumerate(list(forgotten)[:MOST_FACTS])
        for place, text in enumerate(asked_of(fact))
    ]


def asked_of(fact: Fact) -> list[str]:
    """Ways to ask for a fact; the words that are given away are never all of it."""
    name = fact.scope.subject
    spans = sorted(dict.fromkeys(content_spans(fact.quote)), key=lambda span: (-len(span), span))[:SPANS]
    about = [text for span in spans for text in (f"What did {name} say about {span}?", f"What did I tell you about {span}?")]
    return [f"What do you know about {name}?", "What did I tell you?", *about]


def expose(parts: Parts, scope: ScopeId, probes: Collection[Question]) -> Exposure | None:
    """Ask the base and the scope's live adapter; None when there is nothing to ask or no adapter is live."""
    if not probes:
        return None
    with lease(parts, scope) as adapter:
        if adapter is None:
            return None
        return Exposure(asked=len(probes), base_right=_right(parts, probes, None), adapter_right=_right(parts, probes, adapter))


def _right(parts: Parts, probes: Collection[Question], adapter: str | None) -> int:
    prompts = [question_prompt(parts.settings.model.system_prompt, probe.text) for probe in probes]
    replies = parts.model.generate(prompts, adapter=adapter, max_tokens=REPLY_TOKENS)
    grader = parts.backends().grader
    return sum(grader.grade(probe, reply.text).correct for probe, reply in zip(probes, replies, strict=True))
