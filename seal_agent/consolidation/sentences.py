"""Sentences of what people type, and which of them can stand alone.

Rules for English; another language falls back to line and full-stop boundaries. It does not decide what is worth keeping.
"""

import re

ABBREVIATIONS = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|approx|e\.g|i\.e|vs)\.$", re.IGNORECASE)
NUMBER = re.compile(r"\b(?:no|nr)\.$", re.IGNORECASE)
"""Short for a number where one follows; else the word "no"."""
BOUNDARY = re.compile(r"(?<=[.!?…])([\"”')\]]*)\s+(?=\S)|\n+")
LEANING = re.compile(
    r"^(?:and |but |so |then |well,? |oh,? )*"
    r"(?:he|she|it|they|that|those|these|this|its|it's|he's|she's|they're|that's|thats|his|her|their)\b",
    re.IGNORECASE,
)
"""A sentence that begins like this speaks of something named before it."""


def split_sentences(text: str) -> list[str]:
    """Cut a message into sentences, keeping every character but the white space between them."""
    sentences: list[str] = []
    start = 0
    for end in [*(max(match.start(), match.end(1)) for match in BOUNDARY.finditer(text)), len(text)]:
        piece = text[start:end].strip()
        start = end
        if not piece:
            continue
        if sentences and is_cut_short(sentences[-1], piece):
            sentences[-1] = f"{sentences[-1]} {piece}"
        else:
            sentences.append(piece)
    return sentences


def is_cut_short(sentence: str, following: str) -> bool:
    """Whether the full stop at the end belongs to an abbreviation: "Ask Mr." or "no." before "7"."""
    return bool(ABBREVIATIONS.search(sentence) or (NUMBER.search(sentence) and following[:1].isdigit()))


def leans_on_context(sentence: str) -> bool:
    """Whether a sentence speaks of something that only the text before it names."""
    return LEANING.match(sentence) is not None


JOINT = re.compile(
    r"[,;:]\s+(?:and |but |so |or )?|\s+(?:and|but|so|because|since|though|although|while|as)\s+|\s+(?:-|–|—|\.\.\.)\s+", re.IGNORECASE
)
"""Where one clause ends and another begins, more or less."""
SHORTEST_CLAUSE = 3
"""Words."""


def clauses(text: str) -> list[str]:
    """The text, and its clauses where it has several: one breath may hold what somebody does, where, and what broke."""
    parts = [part.strip() for part in JOINT.split(text) if len(words(part)) >= SHORTEST_CLAUSE and content_words(part)]
    return [text, *parts] if len(parts) > 1 else [text]


STOP_WORDS = frozenset(
    " ".join(
        (
            "a about after again all already also always am an and any anyway are as at be because been before being but by came can",
            "cannot could did do does doing don done down each even ever every for from further get go got had has have having he",
            "hello her here hers hi him his how i if in instead into is it its itself just know let like ll lot make maybe me mine",
            "more most much must my myself never no nor not now of off oh ok okay on once one only or other our ours out over own",
            "perhaps please pls put quite re really right same say see shall she should so some still such sure t than thank thanks",
            "that the their theirs them then there these they thing things this those though through to too until up us ve very want",
            "was way we well were what when where which while who whom why will with without won would yes yet you your yours",
        )
    ).split()
)
WORD = re.compile(r"[\w][\w’'/-]*")


def words(text: str) -> list[str]:
    """Lower-cased words, apostrophes straightened."""
    return [word.lower().replace("’", "'") for word in WORD.findall(text)]


def content_words(text: str) -> list[str]:
    """The words that carry meaning, in order."""
    return [word for word in words(text) if word.split("'")[0] not in STOP_WORDS and (len(word) > 1 or word.isdigit())]


ENDINGS = (("ies", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""))
SHORTEST_ROOT = 3


def root(word: str) -> str:
    """A lower-cased word without its English ending, roughly: "lives", "living" and "live" have one root, "told" and "tell" two."""
    word = word.removesuffix("'s")
    for ending, instead in ENDINGS:
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= SHORTEST_ROOT:
            word = word.removesuffix(ending) + instead
            break
    if len(word) > SHORTEST_ROOT and (word.endswith("e") or (word[-1] == word[-2] and word[-1].isalpha())):
        word = word[:-1]
    return word


def sentence_places(text: str) -> list[tuple[int, int]]:
    """Where each sentence of the text begins and ends."""
    places: list[tuple[int, int]] = []
    start = 0
    for sentence in split_sentences(text):
        # Cutting into sentences may have changed the white space within one.
        found = re.compile(r"\s+".join(map(re.escape, sentence.split()))).search(text, start)
        if found:
            places.append(found.span())
            start = found.end()
    return places


def content_spans(text: str, longest: int = 4) -> list[str]:
    """Runs of content words as they stand in the text ("court interpreter", "21st", "bike shed"), at most `longest` words each."""
    spans: list[str] = []
    run: list[re.Match[str]] = []
    matches = list(WORD.finditer(text))
    for place, match in enumerate(matches):
        gap = text[matches[place - 1].end() : match.start()] if place else ""
        if run and (gap.strip() or len(run) == longest):
            spans.append(text[run[0].start() : run[-1].end()])
            run = []
        if content_words(match.group()):
            run.append(match)
        elif run:
            spans.append(text[run[0].start() : run[-1].end()])
            run = []
    if run:
        spans.append(text[run[0].start() : run[-1].end()])
    return spans
