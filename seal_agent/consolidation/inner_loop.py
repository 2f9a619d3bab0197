"""The mix that one candidate is trained on: study material of all facts, and anchors that hold the rest of the model where it is."""

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

from pydantic import TypeAdapter

from seal_agent.config import TrainingSettings
from seal_agent.consolidation.bundled import anchor_prompts, anchor_texts
from seal_agent.consolidation.evaluation import Examiner
from seal_agent.consolidation.kept import keep, read_kept
from seal_agent.types import Example, Question, SelfEdit, SelfEditKind

T = TypeVar("T")
ANSWERS = TypeAdapter(dict[str, str])
WHOLE = 2
"""One item in so many teaches its whole answer; the others only its beginning, which decides the fact that is meant."""
BEGINNING = 8
"""Words of an answer's beginning."""
STATEMENTS: frozenset[SelfEditKind] = frozenset({"rewrite", "implication", "relation"})
"""Their answers are the writer's sentences, which no other item teaches."""
TAUGHT_WHOLE = STATEMENTS | {"unknown"}
"""An abstention that breaks off says nothing, and would count as without ground."""
ANCHOR_TOKENS = 16
CHAT_SHARE = 0.75
"""Of the anchors. Half and half left perplexity at x1.02 and cost ten points of general questions."""
PROSE_WORDS = 24
"""The base's predictions over the beginning of a passage hold the rest as well, for half of the tokens."""


def lessons(items: Sequence[SelfEdit], examiner: Examiner, sources: Mapping[str, str]) -> list[Example]:
    """One example per item of study material. Half need only teach which fact a question leads to: fewer tokens, same recall.

    `sources` holds the facts' texts by id, for objectives that show them to the model.
    """
    examples: list[Example] = []
    seen: dict[str, int] = {}
    for item in items:
        number = seen[item.fact_id] = seen.get(item.fact_id, -1) + 1
        words = item.answer.split()
        whole = number % WHOLE == 0 or len(words) <= BEGINNING or item.kind in TAUGHT_WHOLE
        answer = item.answer if whole else " ".join(words[:BEGINNING])
        examples.append(
            Example(
                prompt=examiner.prompt(item.prompt), answer=answer, fact_id=item.fact_id, ended=whole, source=sources.get(item.fact_id, "")
            )
        )
    return examples


def probes(questions: Sequence[Question], examiner: Examiner) -> list[Example]:
    """Held-out questions as the trainer's stopping signal; never trained on."""
    return [Example(prompt=examiner.prompt(q.text), answer=q.reference or q.answers[0], fact_id=q.fact_id) for q in questions]


def anchors(count: int, examiner: Examiner, settings: TrainingSettings) -> list[Example]:
    """`count` anchors: everyday prompts with the base model's own answers, and plain prose, drawn with the seed."""
    order = random.Random(settings.seed)
    prose = [Example(prompt=(), answer=" ".join(text.split()[:PROSE_WORDS]), ended=False) for text in anchor_texts()]
    asked = drawn(anchor_prompts(), math.ceil(count * CHAT_SHARE), order)
    answers = own_answers(asked, examiner)
    chat = [Example(prompt=examiner.prompt(p), answer=answers[p], ended=False) for p in asked if answers[p]]
    return [*chat, *drawn(prose, count - len(chat), order)]


def anchor_count(lessons: int, settings: TrainingSettings) -> int:
    """How many anchors make up their share of the mix, and no fewer than `min_anchors`; none where nothing or nothing else is taught."""
    share = settings.anchor_share
    if not lessons or not 0 < share < 1:
        return 0
    return max(round(lessons * share / (1.0 - share)), settings.min_anchors)


def drawn(choice: Sequence[T], count: int, order: random.Random) -> list[T]:
    """`count` of them, each as often as any other."""
    rounds = [order.sample(choice, len(choice)) for _ in range(math.ceil(count / max(len(choice), 1)))]
    return [one for once in rounds for one in once][:count]


def own_answers(prompts: Sequence[str], examiner: Examiner) -> dict[str, str]:
    """The base model's greedy answer to each prompt; they never change, so they are kept in the brain's cache and asked for once."""
    content = "\n".join([examiner.model.id, str(examiner.system_prompt)])
    file = examiner.cache / f"anchors-{hashlib.sha256(content.encode()).hexdigest()[:16]}.json"
    known = read_kept(file, ANSWERS) or {}
    new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
    if new:
        replies = examiner.model.generate([examiner.prompt(prompt) for prompt in new], max_tokens=ANCHOR_TOKENS)
        known |= {prompt: reply.text for prompt, reply in zip(new, replies, strict=True)}
        keep(file, ANSWERS, known)
    return known
