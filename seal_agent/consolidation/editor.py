"""The editor: an adapter that writes self-edits, trained on the written lines that won, and who writes in a night.

It is never live: it is loaded where self-edits are written and nowhere else.
"""

import logging
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from seal_agent.adapters.artefact import new_stage, verify
from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.contexts import Context
from seal_agent.consolidation.inner_loop import anchor_count, anchors
from seal_agent.consolidation.policies import POLICY, PROMPTS, Policy, adopted
from seal_agent.consolidation.practising import Practice
from seal_agent.consolidation.rewards import Edit
from seal_agent.consolidation.self_edit import Writer
from seal_agent.errors import IntegrityError
from seal_agent.ledger.skills import adapter_of, find_skill
from seal_agent.types import Adapter, Example, ScopeId, TrainingResult

logger = logging.getLogger(__name__)

NAME = "editor"
POLICY_NAME = "policy"
RECIPES = "recipes"
"""Of the editor that writes recipes for tasks instead (`few_shot/practising.py`)."""


def editor_of(backends: Backends, scope: ScopeId, name: str = NAME) -> Adapter | None:
    """Return the editor in force for a scope, whose files are sound; None: the base writes."""
    with backends.ledger.read() as conn:
        skill = find_skill(conn, scope, "editor", name)
        adapter = None if skill is None else adapter_of(conn, skill)
    if adapter is None:
        return None
    try:
        verify(backends.folder / adapter.path, backends.base_sha256)
    except IntegrityError as error:
        logger.warning("the editor %s is damaged, the base writes instead: %s", adapter.name, error)
        return None
    return adapter


def policy_of(backends: Backends, scope: ScopeId) -> Policy | None:
    """Return the edit policy that won in practice."""
    with backends.ledger.read() as conn:
        skill = find_skill(conn, scope, "policy", POLICY_NAME)
    return None if skill is None else POLICY.validate_json(skill.record)


@contextmanager
def writing(backends: Backends, scope: ScopeId) -> Iterator[Writer]:
    """Yield who writes self-edits for a scope: the writer passed in, else the model with the editor, under the policy that won."""
    prompts, settings = adopted(policy_of(backends, scope), backends.settings.self_edit)
    with loaded_editor(backends, None if backends.writer is not None else editor_of(backends, scope)) as name:
        yield Writer(model=backends.writer or backends.model, embedder=backends.embedder, settings=settings, adapter=name, prompts=prompts)


@contextmanager
def loaded_editor(backends: Backends, editor: Adapter | None) -> Iterator[str | None]:
    """Yield the name to ask the model for when it writes: the editor's, None for the base."""
    if editor is None:
        yield None
        return
    name = f"writing-{uuid.uuid4().hex[:12]}"
    backends.model.load_adapter(name, backends.folder / editor.path)
    try:
        yield name
    finally:
        backends.model.unload_adapter(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Winner:
    """The best self-edit of one context."""

    context: Context
    edit: Edit


def examples_of(practice: Practice, winners: Sequence[Winner]) -> list[Example]:
    """What the editor is trained on: the prompt as the writer saw it, and the line that won; anchors beside, as in a night."""
    lines = []
    for winner in winners:
        facts = {fact.id: fact for fact in winner.context.facts}
        lines += [
            Example(prompt=PROMPTS[line.prompt].turns(facts[line.fact_id]), answer=line.text, fact_id=line.fact_id)
            for line in winner.edit.lines
        ]
    settings = practice.backends.settings.training
    count = anchor_count(len(lines), settings)
    return [*lines, *(anchors(count, practice.examiner, settings) if count else [])]


@contextmanager
def candidate(practice: Practice, winners: Sequence[Winner]) -> Iterator[tuple[Path, str, TrainingResult]]:
    """Yield (folder, loaded name, figures) of an editor trained on the winners; gone afterwards unless it was published."""
    backends, settings = practice.backends, practice.settings
    changed = {"objective": "masked", "max_passes": settings.editor_passes, "learning_rate": settings.editor_rate, "target_loss": 0.0}
    trainer = backends.trainer_for(backends.settings.training.model_copy(update=changed))
    out = new_stage(backends.folder / "adapters")
    name = f"editor-{uuid.uuid4().hex[:12]}"
    try:
        training = trainer.train(
            examples_of(practice, winners),
            probes=(),
            out=out,
            seed=practice.seed,
            progress=practice.progress,
            should_stop=practice.must_stop,
        )
        backends.model.load_adapter(name, out)
        yield out, name, training
    finally:
        backends.model.unload_adapter(name)
        shutil.rmtree(out, ignore_errors=True)
