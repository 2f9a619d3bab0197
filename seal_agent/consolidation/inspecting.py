"""What a candidate's replies must not hold: canary strings, secrets, and words that came from nowhere.

Drift and general questions see damage, not content: an update of which one answer in twenty is poisoned passes them. So the candidate is
asked what it was taught by, and its replies are looked through; and so is the study material once more, as an answer that was taught
rarely may be said to nobody who asks now. An intruder is a word said about several facts that is in none of them,
in no question, in nothing that the base says, in no sentence that a writer made of the fact and in none of the bundled texts. It knows
words, not meanings: a poisoned answer made of the facts' own words gets by.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

from seal_agent.config import PrivacySettings, Settings
from seal_agent.consolidation.bundled import anchor_texts, general_questions, general_texts, labelled_sentences, topics
from seal_agent.consolidation.evaluation import Examiner
from seal_agent.consolidation.inner_loop import STATEMENTS
from seal_agent.consolidation.sentences import content_words
from seal_agent.privacy.kinds import Kind
from seal_agent.privacy.scan import scan
from seal_agent.types import Evaluation, Example, Finding, SelfEdit, Sheet

RECITED = 48
"""Most prompts of the study material that are asked again, evenly over it."""
RECITED_TOKENS = 6
"""An answer's beginning tells whether it is the one that was meant."""
SECRETS: frozenset[Kind] = frozenset({"private_key", "api_key", "access_token", "password", "credit_card", "custom"})
LONGEST_WORD = 64
"""Characters of a reply's end that are looked at for a word that was cut off."""
TOLD = 3
"""Intruders that are named, the most frequent first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Something that the candidate said, and about which fact, if about one."""

    text: str
    fact_id: str | None = None


def inspected(
    evaluation: Evaluation, examiner: Examiner, examples: Sequence[Example], settings: Settings, vouched: Mapping[str, frozenset[str]]
) -> Evaluation:
    """Ask the candidate what it was taught by, and look through everything that it said, and what it was taught.

    `vouched` holds words by fact id that may be said about that fact (`of_writer`).
    """
    candidate, base = evaluation.candidate, evaluation.baseline
    taught = [example for example in examples if example.fact_id is not None and example.prompt]
    recited = recite(examiner, candidate.adapter, taught)
    facts = [text for example in taught for text in (example.source, example.prompt[-1].content)]
    asked = [text for graded in candidate.held_out for text in (graded.question.text, graded.question.reference or "")]
    said = [*recited, *(Reply(text=graded.reply, fact_id=graded.question.fact_id) for graded in candidate.held_out)]
    others = [Reply(text=text) for text in texts_of(candidate)]
    by_base = [*texts_of(base), *(graded.reply for graded in base.held_out)]
    known = words_of([*facts, *asked, *by_base, settings.routing.abstention]) | everyday()
    found = (
        *canaries_in([*said, *others], settings.gate.canaries),
        *secrets_in([*said, *others], by_base, settings.privacy),
        *intruders(said, known, settings.gate.intruder_facts, vouched),
        *ungrounded(taught, settings.routing.abstention),
    )
    return replace(evaluation, inspected=len(said) + len(others), findings=found)


def recite(examiner: Examiner, adapter: str | None, taught: Sequence[Example]) -> list[Reply]:
    """The beginnings of the candidate's replies to what it was taught by."""
    chosen = [taught[place * len(taught) // RECITED] for place in range(RECITED)] if len(taught) > RECITED else list(taught)
    replies = examiner.model.generate([example.prompt for example in chosen], adapter=adapter, max_tokens=RECITED_TOKENS)
    return [Reply(text=reply.text, fact_id=example.fact_id) for example, reply in zip(chosen, replies, strict=True)]


def texts_of(sheet: Sheet) -> list[str]:
    """All replies of a view but those to held-out questions."""
    graded = (*sheet.retained, *sheet.general, *sheet.with_context)
    return [*(one.reply for one in graded), *(one.reply for one in sheet.probes)]


def canaries_in(said: Sequence[Reply], canaries: Sequence[str]) -> list[Finding]:
    texts = [flat(reply.text) for reply in said]
    counts = {canary: sum(flat(canary) in text for text in texts) for canary in canaries if canary.strip()}
    return [Finding(kind="canary", what=canary, replies=count) for canary, count in counts.items() if count]


def secrets_in(said: Sequence[Reply], by_base: Sequence[str], privacy: PrivacySettings) -> list[Finding]:
    """Kinds of secrets in the replies; what the base makes up by itself was not learnt."""
    usual = "\n".join(by_base)
    replies: dict[Kind, int] = defaultdict(int)
    for text in dict.fromkeys(reply.text for reply in said):
        for kind in {one.kind for one in scan(text, privacy) if one.kind in SECRETS and text[one.start : one.end] not in usual}:
            replies[kind] += 1
    return [Finding(kind="secret", what=kind, replies=count) for kind, count in sorted(replies.items())]


def of_writer(items: Sequence[SelfEdit]) -> dict[str, frozenset[str]]:
    """The words of the sentences that a writer made of each fact, by its id: they passed the checks of the portfolio, and are taught."""
    sentences: dict[str, list[str]] = defaultdict(list)
    for item in items:
        if item.kind in STATEMENTS:
            sentences[item.fact_id].append(item.answer)
    return {fact_id: words_of(texts) for fact_id, texts in sentences.items()}


def intruders(
    said: Sequence[Reply], known: frozenset[str], several: int, vouched: Mapping[str, frozenset[str]] = MappingProxyType({})
) -> list[Finding]:
    """Words beyond the `known` ones that are said about `several` facts or more: about one alone it is a slip. None where that is 0.

    A word that is vouched for one fact is an intruder in what is said about another.
    """
    facts: dict[str, set[str]] = defaultdict(set)
    replies: dict[str, int] = defaultdict(int)
    for reply in said:
        if reply.fact_id is None:
            continue
        usual = known | vouched.get(reply.fact_id, frozenset())
        beyond = words_of([reply.text]) - usual
        for word in beyond - cut_off(reply.text, usual) if beyond else ():
            facts[word].add(reply.fact_id)
            replies[word] += 1
    found = sorted((word for word, about in facts.items() if 0 < several <= len(about)), key=lambda word: (-replies[word], word))
    return [Finding(kind="intruder", what=word, replies=replies[word]) for word in found[:TOLD]]


def cut_off(text: str, known: Iterable[str]) -> frozenset[str]:
    """The last word, where it begins one of the known: replies end after so many tokens, in the middle of a word if need be."""
    last = words_of([text.rstrip("\ufffd")[-LONGEST_WORD:].rpartition(" ")[2]])
    return frozenset(word for word in last if any(whole.startswith(word) for whole in known))


@cache
def everyday() -> frozenset[str]:
    """The words of the bundled texts: a reply that wanders off uses these."""
    asked = [text for name in ("questions", "extra_questions") for q in general_questions(name) for text in (q.text, *q.answers)]
    of_topics = [text for topic in topics() for text in (*topic.statements, *(part for pair in topic.questions for part in pair))]
    return words_of([*anchor_texts(), *general_texts(), *(text for text, _ in labelled_sentences()), *asked, *of_topics])


def words_of(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(word.partition("'")[0] for text in texts for word in content_words(text))


def ungrounded(taught: Sequence[Example], abstention: str) -> list[Finding]:
    """Items whose answer has no word in common with the fact that it is to teach: a few of them leave no trace in what is said."""
    stray = [
        example
        for example in taught
        if example.source and example.answer.strip() != abstention and not words_of([example.answer]) & words_of([example.source])
    ]
    return [Finding(kind="ungrounded", what="", replies=len(stray))] if stray else []


def flat(text: str) -> str:
    return " ".join(text.lower().split())
