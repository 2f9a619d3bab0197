"""The writer as a reader of what users said: asked turn by turn, every claim checked, each reply kept until its facts are recorded.

The rules' facts (`facts.py`) are the floor: what the writer claims is added, or takes the place of what says no more; a writer that
fails, or answers in another form, leaves them as they are, and the report says why. A reply is kept in `readings/` of the brain under
the hash of its prompt, so that a night that was killed, or found too little to begin, asks nothing twice; it holds what people said,
so it is gone once the facts are recorded, and whoever forgets discards it. Deliberately shows the writer no facts: what is replaced is
found by meaning.
"""

import hashlib
import json
import logging
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.claims import Passage, check, parsed
from seal_agent.consolidation.durability import KINDS
from seal_agent.consolidation.facts import Candidate
from seal_agent.consolidation.kept import keep, read_kept
from seal_agent.consolidation.own_words import in_own_words
from seal_agent.consolidation.prompts import READING_TOKENS, reading_prompt
from seal_agent.consolidation.run import Run
from seal_agent.consolidation.sentences import content_words, split_sentences
from seal_agent.consolidation.trust import refusal
from seal_agent.errors import BackendError, UnknownRecordError
from seal_agent.ledger import episodes as episodes_kept
from seal_agent.privacy.screen import for_training
from seal_agent.protocols import TextWriter
from seal_agent.types import Episode, FactKind, Generation, ReadingReport, ScopeId, Turn

logger = logging.getLogger(__name__)

READINGS = "readings"
PORTION = 16
"""Turns asked about at a time: what is kept when a night is killed, and how long a stop waits."""
REPLY = TypeAdapter(Generation)
LONGEST_REASON = 200
"""Characters: providers' messages may be long, and may repeat what they were sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A user's turn with what is shown around it."""

    episode: Episode
    """As people said it; the passage has what may be learnt of it."""
    turn: int
    passage: Passage
    prompt: tuple[Turn, ...]
    name: str
    """Of its reply in the notebook: the hash of the writer and the prompt."""


@dataclass(slots=True, kw_only=True)
class Notes:
    """What the writer answered, by page, and why it was not asked on."""

    writer: str
    replies: dict[str, Generation] = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read out of the turns, checked."""

    candidates: tuple[Candidate, ...] = ()
    report: ReadingReport | None = None


NOTHING = Reading()
"""The rules alone."""


def reader_of(backends: Backends) -> TextWriter | None:
    """Who reads turns: the writer passed in, or the model where the settings say so; None for the rules alone."""
    reader = backends.settings.facts.reader
    if reader == "rules" or (reader == "auto" and backends.writer is None):
        return None
    return backends.writer or backends.model


def read(run: Run, episodes: Sequence[Episode]) -> Notes | None:
    """Have the writer read what it has not read yet, portion by portion; None where the rules alone do.

    Raise `CycleInterruptedError` or `LeaseLostError` between two portions; what was answered is kept.
    """
    reader = reader_of(run.backends)
    if reader is None:
        close_notebook(run)
        return None
    pages = list(pages_of(run, reader, episodes))
    notes = Notes(writer=reader.id)
    for page in pages:
        known = read_kept(notebook(run) / f"{page.name}.json", REPLY)
        if known is not None:
            notes.replies[page.name] = known
    remove_others(notebook(run), {page.name for page in pages})
    open_pages = [page for page in pages if page.name not in notes.replies]
    for start in range(0, len(open_pages), PORTION):
        run.say("facts", len(pages) - len(open_pages) + start, len(pages), f"turns read by {reader.id}")
        portion = open_pages[start : start + PORTION]
        try:
            replies = asked(reader, portion, run.seed)
        except (BackendError, OSError) as error:
            # A night without its reader is worth having: the rules' facts are those of every other night.
            notes.failure = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
            logger.warning("%s can't read on, the rules draw the facts: %s", reader.id, type(error).__name__)
            break
        write_down(run, portion, replies)
        notes.replies |= {page.name: reply for page, reply in zip(portion, replies, strict=True)}
    return notes


def asked(reader: TextWriter, pages: Sequence[Page], seed: int) -> list[Generation]:
    replies = reader.generate([page.prompt for page in pages], max_tokens=READING_TOKENS, seed=seed)
    if len(replies) != len(pages):
        raise BackendError(f"The writer {reader.id!r} gave {len(replies)} replies to {len(pages)} prompts.")
    return replies


def pages_of(run: Run, reader: TextWriter, episodes: Sequence[Episode]) -> Iterator[Page]:
    """One for each turn of a user that says anything, in order: in the user's own words, without what must not be learnt."""
    settings = run.backends.settings
    for said in in_own_words(for_training(episodes, settings.privacy), settings.facts.hearsay):
        raw = next(episode for episode in episodes if episode.id == said.id)
        before = ""
        for number, turn in enumerate(said.turns):
            if turn.role != "user":
                continue
            text = harmless(turn.content)
            if content_words(text):
                passage = Passage(text=text, before=before, subject=said.scope.subject, said=raw.turns[number].content)
                prompt = reading_prompt(passage.subject, before, question_before(said, number), text)
                content = json.dumps([reader.id, run.seed, READING_TOKENS, [(one.role, one.content) for one in prompt]])
                name = hashlib.sha256("\n".join((run.scope.key, said.id, str(number), content)).encode()).hexdigest()[:32]
                yield Page(episode=raw, turn=number, passage=passage, prompt=prompt, name=name)
            before = text


def harmless(text: str) -> str:
    """Without the sentences that can't become a fact anyway: a secret need not be shown to whoever writes."""
    kept = text
    for sentence in split_sentences(text):
        if refusal(sentence) is not None:
            kept = re.sub(r"\s+".join(map(re.escape, sentence.split())), "", kept, count=1)
    return kept.strip()


def question_before(episode: Episode, turn: int) -> str:
    """What the assistant had just asked: it tells what an answer is about. Its words ground nothing."""
    if turn == 0 or episode.turns[turn - 1].role != "assistant":
        return ""
    asked_last = split_sentences(episode.turns[turn - 1].content)[-1:]
    return asked_last[0] if asked_last and asked_last[0].endswith("?") and refusal(asked_last[0]) is None else ""


def understood(run: Run, notes: Notes | None, episodes: Sequence[Episode]) -> Reading:
    """Check what the writer answered against the turns as they stand now: what was forgotten meanwhile is not among them."""
    reader = reader_of(run.backends)
    if notes is None or reader is None:
        return NOTHING
    pages = list(pages_of(run, reader, episodes))
    refused: Counter[str] = Counter()
    candidates: list[Candidate] = []
    for page in pages:
        if page.name in notes.replies:
            candidates += claimed(page, notes.replies[page.name].text, refused)
    stated = sum(bool(candidate.statement) for candidate in candidates)
    return Reading(
        candidates=tuple(candidates),
        report=ReadingReport(
            reader=notes.writer,
            turns=len(pages),
            answered=sum(page.name in notes.replies for page in pages),
            stated=stated,
            floor=len(candidates) - stated,
            refused=dict(refused),
            tokens=sum(reply.tokens for reply in notes.replies.values()),
            failure=notes.failure,
        ),
    )


def claimed(page: Page, reply: str, refused: Counter[str]) -> Iterator[Candidate]:
    """What one reply claims and the turn bears out; what it does not is counted."""
    found = parsed(reply)
    if found is None:
        refused["no JSON list"] += 1
        return
    claims, others = found
    if others:
        refused["not the asked form"] += others
    for claim in claims:
        checked = check(claim, page.passage)
        if isinstance(checked, str):
            refused[checked] += 1
            continue
        if checked.flaw is not None:
            refused[checked.flaw] += 1
        yield Candidate(
            quote=checked.quote,
            parts=(),
            about="",
            episode=page.episode,
            turn=page.turn,
            read=True,
            statement=checked.statement,
            kind=kind_named(claim.kind),
            replaces=claim.replaces or "",
        )


def kind_named(word: str) -> FactKind | None:
    return next((kind for kind in KINDS if kind == word.strip().lower()), None)


def write_down(run: Run, pages: Sequence[Page], replies: Sequence[Generation]) -> None:
    """Keep the replies to turns that still stand as they were shown: whoever forgets comes before this, or after it and finds the file."""
    notebook(run).mkdir(mode=0o700, parents=True, exist_ok=True)
    with run.write() as conn:
        for page, reply in zip(pages, replies, strict=True):
            try:
                stands = episodes_kept.get_episode(conn, run.scope, page.episode.id).turns == page.episode.turns
            except UnknownRecordError:
                stands = False
            if stands:
                keep(notebook(run) / f"{page.name}.json", REPLY, reply)


def notebook(run: Run) -> Path:
    return notebook_of(run.backends.folder, run.scope)


def notebook_of(folder: Path, scope: ScopeId) -> Path:
    return folder / READINGS / hashlib.sha256(scope.key.encode()).hexdigest()[:16]


def remove_others(folder: Path, names: set[str]) -> None:
    """What an earlier night left of turns that are not to be read any more."""
    for file in folder.glob("*"):
        if file.stem not in names:
            file.unlink(missing_ok=True)


def close_notebook(run: Run) -> None:
    """The facts are recorded: nothing is read twice."""
    shutil.rmtree(notebook(run), ignore_errors=True)


def discard_readings(folder: Path) -> None:
    """Delete all that writers answered about turns, whoever's they are. For whoever forgets something."""
    shutil.rmtree(folder / READINGS, ignore_errors=True)
