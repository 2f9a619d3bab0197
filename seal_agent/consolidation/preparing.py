"""What is taught in one cycle and what is held back: facts drawn, questions chosen, study material written, anchors added."""

import logging
from dataclasses import dataclass

import numpy as np

from seal_agent.consolidation.admitting import admitted
from seal_agent.consolidation.asking import ASKED_PER_FACT, Asked, Topics
from seal_agent.consolidation.coverage import reward_by_coverage, reward_by_likelihood
from seal_agent.consolidation.durability import Durability
from seal_agent.consolidation.editor import writing
from seal_agent.consolidation.facts import Draft, draw_facts
from seal_agent.consolidation.inner_loop import anchor_count, anchors, lessons, probes
from seal_agent.consolidation.own_words import in_own_words
from seal_agent.consolidation.portfolio import Assignment, portfolio
from seal_agent.consolidation.questions import hold_out, set_apart, without_leaks
from seal_agent.consolidation.reading import NOTHING, Reading
from seal_agent.consolidation.run import Run
from seal_agent.consolidation.selection import Selection
from seal_agent.consolidation.self_edit import Material, floor, kinds_in_turn, written
from seal_agent.errors import GenerationError
from seal_agent.privacy.screen import for_training
from seal_agent.protocols import Vectors
from seal_agent.types import Example, Fact, Question, SelfEdit
from seal_agent.types.cycles import WRITER_FAILED

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """Everything that one candidate is trained on and judged by."""

    facts: tuple[Fact, ...]
    """All facts that hold."""
    taught: tuple[str, ...]
    """Ids of those with enough material."""
    material: Material
    held_out: tuple[Question, ...]
    earlier: tuple[Question, ...]
    """The held-out questions of facts that the live adapter knows already."""
    examples: tuple[Example, ...]
    probes: tuple[Example, ...]
    """What training stops by: neither taught nor judged by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """The questions that are kept out of training."""

    held_out: tuple[Question, ...]
    """These judge."""
    apart: tuple[Question, ...]
    """Training stops by these."""

    @property
    def all(self) -> tuple[Question, ...]:
        return (*self.held_out, *self.apart)


def draw(run: Run, selection: Selection, reading: Reading = NOTHING) -> list[Draft]:
    """Draw the facts of the episodes that no cycle has read yet; `reading` is what a writer found in them."""
    if not selection.episodes:
        return []
    own = [(fact, vector) for fact, vector in selection.told if fact.scope == run.scope]
    embedder = run.backends.embedder
    settings = run.backends.settings
    episodes = in_own_words(for_training(selection.episodes, settings.privacy), settings.facts.hearsay)
    drafts = draw_facts(episodes, own, Durability(embedder, run.cache), embedder, settings.facts, reading.candidates)
    with run.backends.ledger.read() as conn:
        return admitted(conn, run.scope, drafts)


def prepare(run: Run, told: list[tuple[Fact, Vectors]]) -> Lesson:
    """Write the material for all facts that hold, the held-out questions first."""
    facts = [fact for fact, _ in told]
    unseen, asked = choose_questions(run, told)
    material = write(run, told, asked, unseen)
    taught = [fact.id for fact in facts if len(material.of(fact.id)) >= run.backends.settings.self_edit.min_documents_per_fact]
    items = [item for item in material.items if item.fact_id in set(taught)]
    kept = [question for question in unseen.held_out if question.fact_id in set(taught)]
    earlier = {fact.id for fact in facts if fact.state in ("learned", "not_learned")}
    return Lesson(
        facts=tuple(facts),
        taught=tuple(taught),
        material=material,
        held_out=tuple(kept),
        earlier=tuple(question for question in kept if question.fact_id in earlier),
        examples=tuple(mixed(run, items, facts)),
        probes=tuple(probes([question for question in unseen.apart if question.fact_id in set(taught)], run.examiner)),
    )


def choose_questions(run: Run, told: list[tuple[Fact, Vectors]]) -> tuple[Unseen, list[list[Asked]]]:
    """Choose questions for every fact that training never sees; return them and, per fact, the ways to ask that are left for it."""
    if not told:  # everything was forgotten
        return Unseen(held_out=(), apart=()), []
    topics = Topics(run.backends.embedder, run.cache)
    ways = topics.questions([fact for fact, _ in told], ASKED_PER_FACT)
    held_out: list[Question] = []
    apart: list[Question] = []
    left: list[list[Asked]] = []
    for (fact, _), asked in zip(told, ways, strict=True):
        questions, rest = hold_out(fact, asked, run.backends.settings.self_edit.held_out_per_fact)
        held_out += questions
        apart += set_apart(fact, asked, run.backends.settings.self_edit.held_out_per_fact)
        left.append(rest)
    return Unseen(held_out=tuple(held_out), apart=tuple(apart)), left


def write(run: Run, told: list[tuple[Fact, Vectors]], asked: list[list[Asked]], unseen: Unseen) -> Material:
    """The floor for every fact, and what the writer writes well on top of it, within the limit per fact."""
    settings = run.backends.settings.self_edit
    facts = [fact for fact, _ in told]
    extra = by_writer(run, told, unseen) if settings.questions_per_fact and facts else Material(items=(), refused={})
    items: list[SelfEdit] = []
    for number, fact in enumerate(facts):
        # However much was written, what teaches by itself keeps its place.
        room = max(settings.max_documents_per_fact - settings.min_documents_per_fact, 0)
        own = kinds_in_turn([item for item in extra.items if item.fact_id == fact.id])[:room]
        base = without_leaks(floor(fact, asked[number], settings), unseen.all)
        items += [*base[: settings.max_documents_per_fact - len(own)], *own]
        run.say("self-edits", number + 1, len(facts))
    return Material(items=tuple(items), refused=extra.refused)


def by_writer(run: Run, told: list[tuple[Fact, Vectors]], unseen: Unseen) -> Material:
    """What the writer wrote; nothing where a writer of its own fails."""
    try:
        return asked_for(run, told, unseen)
    except (GenerationError, OSError) as error:
        if run.backends.writer is None:
            raise  # the agent's own model: what can't write can't be trained either
        # Others' servers fail at night. The floor teaches by itself; what this night lacks, the next one asks for again.
        logger.warning("%s can't write, the floor alone is taught: %s", run.backends.writer.id, type(error).__name__)
        return Material(items=(), refused={WRITER_FAILED: len(told)})


def asked_for(run: Run, told: list[tuple[Fact, Vectors]], unseen: Unseen) -> Material:
    """Single questions, or the full portfolio where the writer can be expected to keep to a form."""
    backends, settings = run.backends, run.backends.settings.self_edit
    facts, vectors = [fact for fact, _ in told], np.stack([vector for _, vector in told])
    texts = [question.text for question in unseen.all]
    with writing(backends, run.scope) as writer:
        if settings.portfolio == "questions" or (settings.portfolio == "auto" and backends.writer is None):
            return written(facts, vectors, texts, writer, run.seed)
        by_likelihood = reward_by_likelihood(backends.model, backends.settings.model.system_prompt, unseen.apart)
        task = Assignment(
            facts=facts,
            vectors=vectors,
            held_out=texts,
            abstention=backends.settings.routing.abstention,
            reward=by_likelihood if settings.reward == "likelihood" else reward_by_coverage,
        )
        return portfolio(task, writer, run.seed)


def mixed(run: Run, items: list[SelfEdit], facts: list[Fact]) -> list[Example]:
    """The lessons, and as many anchors as the share asks for."""
    settings = run.backends.settings.training
    taught = lessons(items, run.examiner, {fact.id: fact.text for fact in facts})
    count = anchor_count(len(taught), settings)
    return [*taught, *anchors(count, run.examiner, settings)] if count else taught
