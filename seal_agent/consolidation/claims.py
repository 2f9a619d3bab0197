"""What a writer says that a user's turn states, checked against the words of that turn.

A claim quotes the turn and says the same in the third person. The quote must stand there word for word; it is widened to whole
clauses, back to one in which the user speaks of themselves, so that nobody cuts "I don't eat meat or fish" down to "fish". The
statement must hold every content word of the widened quote, in its order, and others only from the user's own words around it, which
then become part of the quote; it says yes or no as the quote does. So a claim changes who speaks and where a sentence ends, and invents
nothing. Where the statement fails, the user's own sentence stands (the floor). No check understands meaning, and none looks at the
ledger.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from seal_agent.consolidation.facts import LONGEST, NEGATION
from seal_agent.consolidation.portfolio import FENCED, names_of_its_own
from seal_agent.consolidation.sentences import (
    JOINT,
    STOP_WORDS,
    content_words,
    leans_on_context,
    root,
    sentence_places,
    words,
)
from seal_agent.consolidation.trust import refusal

LISTED = TypeAdapter(list[object])
QUOTES = "\"'`´‘’‚‛“”„«»"
OWN = re.compile(r"\b(?:i|i['’]\w+|im|ive|me|my|mine|myself|we|we['’]\w+|us|our|ours|ourselves)\b", re.IGNORECASE)
OTHERS = re.compile(r"\b(?:you|you['’]\w+|your|yours|u|ur)\b", re.IGNORECASE)
THIRD = re.compile(r"\b(?:he|she|they|him|her|them|his|hers|their|theirs)\b", re.IGNORECASE)
QUALIFIERS = frozenset(
    " ".join(
        (
            "after all before could each ever every if instead maybe might must once only other perhaps should still",
            "unless until when will without would",
        )
    ).split()
)
"""Small words that change what is claimed: a statement has the same ones as its quote."""
CONDITIONS = re.compile(r"\b(?:if|unless|until|when|whenever|maybe|perhaps|might|could|would|should|except|wish|hope)\b", re.IGNORECASE)
"""What may hold for a whole sentence, wherever in it these stand."""
REPORTS = re.compile(
    r"\b(?:think|thought|believe|suppose|guess|sure|say|says|said|tell|tells|told|ask|asks|asked|wonder|pretend|imagine|joking|kidding)\b",
    re.IGNORECASE,
)
"""What may hold for all that follows them."""
EXCLAMATIONS = frozenset(("ah", "eh", "hello", "hey", "hi", "haha", "lol", "nah", "nope", "oops", "ta", "thx", "wow", "yeah", "yep"))
"""Words that need not be said again."""


class Claim(BaseModel):
    """One entry of a writer's list."""

    model_config = ConfigDict(strict=True, extra="forbid")

    quote: str
    statement: str
    kind: str = ""
    replaces: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """The words from which a claim may come: one turn of a user, and the user's turn before it."""

    text: str
    """What may be learnt of the turn."""
    before: str
    subject: str
    said: str
    """The turn as it was recorded, in which every quote must stand: between what may be learnt, something may have been left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What is left of a claim."""

    quote: str
    """As the user said it, in whole clauses; the sentences that it leans on before it."""
    statement: str
    """Empty where the user's own sentence stands for it."""
    flaw: str | None
    """Why it does."""


def parsed(text: str) -> tuple[list[Claim], int] | None:
    """The claims of a JSON list, fenced or not, and how many entries had another form; None for anything else."""
    match = FENCED.fullmatch(text)
    try:
        listed = LISTED.validate_json(match.group(1), strict=True) if match else None
    except ValidationError:
        return None
    if listed is None:
        return None
    claims: list[Claim] = []
    for entry in listed:
        try:
            claims.append(Claim.model_validate(entry))
        except ValidationError:
            continue
    return claims, len(listed) - len(claims)


def check(claim: Claim, passage: Passage) -> Checked | str:
    """Return the claim as far as it holds, or why there is nothing of the user's to hold on to."""
    place = locate(claim.quote, passage.text)
    if place is None:
        return "not a quote"
    if refusal(passage.text[slice(*place)]) is not None or not content_words(passage.text[slice(*place)]):
        return "says nothing that may be kept"
    whole = sentences_around(passage.text, place)
    if locate(passage.text[slice(*whole)], passage.said) is None:
        return "not a quote"
    depends = CONDITIONS.search(passage.text, *whole) or REPORTS.search(passage.text, whole[0], place[1])
    narrow = whole if depends else clauses_around(passage.text, whole, place)
    flaw: str | None = None
    for span in dict.fromkeys((narrow, whole)):
        found = borrowed(claim.statement, span, whole, passage)
        if found is None:
            continue  # it says more of its sentence than it quotes: then it must say all of it
        quote = passage.text[slice(*span)].strip()
        flaw = flaw_of(claim.statement, quote, found, passage.subject)
        if flaw is None:
            return Checked(quote=" ... ".join([*found, quote]), statement=ended(claim.statement), flaw=None)
        break
    return Checked(quote=passage.text[slice(*whole)].strip(), statement="", flaw=flaw or "brings words of its own")


def locate(quote: str, text: str) -> tuple[int, int] | None:
    """Where the quote stands in the text, whatever its white space and quotation marks."""
    pieces = quote.strip(QUOTES + " \t\r\n").split()
    if not pieces:
        return None
    pattern = r"\s+".join("".join(f"[{re.escape(QUOTES)}]" if c in QUOTES else re.escape(c) for c in piece) for piece in pieces)
    found = re.search(rf"(?<!\w){pattern}(?!\w)", text)
    return found.span() if found else None


def sentences_around(text: str, place: tuple[int, int]) -> tuple[int, int]:
    touched = [(start, end) for start, end in sentence_places(text) if start < place[1] and end > place[0]]
    return (touched[0][0], touched[-1][1]) if touched else place


def clauses_around(text: str, whole: tuple[int, int], place: tuple[int, int]) -> tuple[int, int]:
    """The clauses that a place touches, and those before them back to one in which the user speaks of themselves."""
    joints = [match.span() for match in JOINT.finditer(text, *whole)]
    begins = [whole[0], *(end for _, end in joints)]
    ends = [*(start for start, _ in joints), whole[1]]
    touched = [(start, end) for start, end in zip(begins, ends, strict=True) if start < place[1] and end > place[0]]
    if not touched:
        return whole
    start, end = touched[0][0], touched[-1][1]
    # "My sister is vegan, sporty and tall": what lacks a subject has that of the clauses before it.
    own = [begin for begin in begins if begin <= start and OWN.search(text, begin, end)]
    return (own[-1] if own else whole[0], end)


def roots(text: str, subject: str) -> list[str]:
    """The content words without endings, without the subject's name and what stands for it."""
    name = {root(word) for word in words(subject)}
    found = [root(word) for word in content_words(text) if not OWN.fullmatch(word) and word not in EXCLAMATIONS]
    return [word for word in found if word not in name and word not in STOP_WORDS]


def borrowed(statement: str, span: tuple[int, int], whole: tuple[int, int], passage: Passage) -> list[str] | None:
    """The user's other sentences from which the statement takes the words that its quote lacks, in the order in which they were said.

    None where it takes some from the rest of the quote's own sentence. A word that is nowhere is left to `flaw_of`.
    """
    missing = set(roots(statement, passage.subject)) - set(roots(passage.text[slice(*span)], passage.subject))
    if missing & set(roots(passage.text[slice(*whole)], passage.subject)):
        return None
    taken: list[str] = []
    for sentence in earlier_sentences(passage, whole):
        held = missing & set(roots(sentence, passage.subject))
        if held and refusal(sentence) is None:
            taken.insert(0, sentence)
            missing -= held
    return taken


def earlier_sentences(passage: Passage, whole: tuple[int, int]) -> Iterator[str]:
    """What the user said around a place, the nearest first: the sentences before it, those after it, those of the turn before."""
    places = sentence_places(passage.text)
    near = [place for place in reversed(places) if place[1] <= whole[0]] + [place for place in places if place[0] >= whole[1]]
    yield from (passage.text[start:end] for start, end in near)
    yield from (passage.before[start:end] for start, end in reversed(sentence_places(passage.before)))


def flaw_of(statement: str, quote: str, taken: Sequence[str], subject: str) -> str | None:
    """Why a statement can't stand for its quote, or None; `taken` are the sentences that it may borrow from."""
    said, known = roots(statement, subject), roots(" ".join([*taken, quote]), subject)
    if len(sentence_places(statement)) != 1 or statement.rstrip().endswith("?") or len(words(statement)) > LONGEST:
        return "not one statement"
    if refusal(statement) is not None or refusal(quote) is not None:
        return "says nothing that may be kept"
    if f" {' '.join(words(subject))} " not in f" {' '.join(word.removesuffix(chr(39) + 's') for word in words(statement))} ":
        return "does not say whom it is about"
    if OWN.search(statement) or OTHERS.search(quote):
        return "speaks to somebody"
    if set(said) - set(known) or names_of_its_own(statement, " ".join([*taken, quote, subject])):
        return "brings words of its own"
    if not is_within(dict.fromkeys(roots(quote, subject)), said):
        return "leaves words out, or changes their order"
    if small_words(statement) != small_words(quote):
        return "claims more or less"
    if is_about_another(quote) and not taken and lower_set(THIRD, quote) != lower_set(THIRD, statement):
        return "does not say whom it is about"
    return None


def is_within(wanted: dict[str, None], said: Sequence[str]) -> bool:
    """Whether the words occur in this order."""
    left = iter(said)
    return all(word in left for word in wanted)


def small_words(text: str) -> tuple[bool, frozenset[str]]:
    return NEGATION.search(text) is not None, QUALIFIERS.intersection(words(text))


def is_about_another(quote: str) -> bool:
    """Whether it speaks of somebody or something that only other sentences name."""
    return leans_on_context(quote) or THIRD.search(quote) is not None


def lower_set(pattern: re.Pattern[str], text: str) -> set[str]:
    return {found.lower() for found in pattern.findall(text)}


def ended(statement: str) -> str:
    line = " ".join(statement.split())
    return line if line[-1] in ".!…" else f"{line}."
