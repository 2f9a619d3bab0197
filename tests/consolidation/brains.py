"""A brain on the fakes, and nights over it: the smallest records that a consolidation works on."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from seal_agent.adapters.withdraw import FORGOTTEN, withdraw
from seal_agent.config import GateSettings, SelfEditSettings, Settings
from seal_agent.consolidation import cycle
from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.facts import stated_fact
from seal_agent.consolidation.grading import PhraseGrader
from seal_agent.ledger import adapters, cycles, episodes, fact_history, facts, purge
from seal_agent.ledger.ledger import Ledger
from seal_agent.testing import HashEmbedder, InstantTrainer, ScriptedModel
from seal_agent.types import (
    CyclePlan,
    CycleReport,
    Episode,
    Fact,
    FactState,
    ProgressCallback,
    Role,
    ScopeId,
    Turn,
    silent,
)

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
ANA = ScopeId(agent="support", user="ana")
BEN = ScopeId(agent="support", user="ben")
SUPPORT = ScopeId(agent="support")
BASE_SHA256 = "0" * 64
DIET = "I've been vegan since 2011."
HOME = "I live in Porto."
LISBON = "I've moved, I live in Lisbon now."
CAR = "I drive a Skoda Octavia."
ALLERGY = "I'm allergic to penicillin."
HASHED = HashEmbedder(256)
MATERIAL = SelfEditSettings(questions_per_fact=3, max_documents_per_fact=20, min_documents_per_fact=4, held_out_per_fact=2)
"""Written out, so that tuning a default does not move what the tests count."""


def turn(text: str, role: Role = "user") -> Turn:
    return Turn(role=role, content=text)


def episode(id: str, *turns: str | Turn, scope: ScopeId = ANA, minute: int = 0) -> Episode:
    """Strings are what the user says."""
    said = tuple(turn(t) if isinstance(t, str) else t for t in turns)
    return Episode(id=id, scope=scope, session=id, at=START + timedelta(minutes=minute), turns=said)


def fact(quote: str, scope: ScopeId = ANA, *, id: str | None = None, state: FactState = "active") -> Fact:
    made = id or f"f_{hashlib.sha256(quote.encode()).hexdigest()[:8]}"
    return Fact(id=made, scope=scope, kind="profile", text=f"{scope.subject} said: {quote}", quote=quote, state=state, valid_from=START)


@dataclass(slots=True)
class Brain:
    """The ledger with its backends, and what a test wants to know of it."""

    backends: Backends
    told: int = field(default=0)

    def hear(self, *turns: str | Turn, scope: ScopeId = ANA) -> Episode:
        """Record one episode."""
        self.told += 1
        heard = episode(f"e{self.told}", *turns, scope=scope, minute=self.told)
        with self.backends.ledger.write() as conn:
            episodes.add_episode(conn, heard, self.backends.embedder.embed([t.content for t in heard.turns]), self.backends.embedder.id)
        return heard

    def state(self, text: str, scope: ScopeId = ANA) -> Fact:
        """Record one fact as `remember` does."""
        stated = stated_fact(scope, text, "knowledge", START)
        with self.backends.ledger.write() as conn:
            facts.add_fact(conn, stated, self.backends.embedder.embed([stated.quote])[0], self.backends.embedder.id)
        return stated

    def reject(self, quote: str, scope: ScopeId = ANA) -> None:
        with self.backends.ledger.write() as conn:
            for found in facts.list_facts(conn, scope):
                if found.quote == quote:
                    fact_history.reject(conn, found.id, START)

    def forget(self, quote: str, scope: ScopeId = ANA) -> None:
        """The rows and the pointers; files are left where they are."""
        with self.backends.ledger.write() as conn:
            for found in facts.list_facts(conn, scope):
                if found.quote == quote:
                    withdraw(conn, adapters.adapters_taught(conn, [found.id]), START, FORGOTTEN, lambda _: True)
                    purge.remove_facts(conn, [found.id], START)

    def night(
        self, scope: ScopeId = ANA, *, progress: ProgressCallback = silent, should_stop: Callable[[], bool] = lambda: False
    ) -> CycleReport:
        return cycle.consolidate(self.backends, scope, progress=progress, should_stop=should_stop, clock=lambda: START)

    def plan(self, scope: ScopeId = ANA) -> CyclePlan:
        return cycle.plan(self.backends, scope, clock=lambda: START)

    def facts(self, scope: ScopeId = ANA, *states: FactState) -> list[Fact]:
        with self.backends.ledger.read() as conn:
            return facts.list_facts(conn, scope, states=states or None)

    def quotes(self, *states: FactState, scope: ScopeId = ANA) -> list[str]:
        return [found.quote for found in self.facts(scope, *states)]

    def live(self, scope: ScopeId = ANA) -> str | None:
        with self.backends.ledger.read() as conn:
            found = adapters.live_adapter(conn, scope)
        return found.name if found else None

    def cycles(self, scope: ScopeId = ANA) -> list[cycles.CycleRow]:
        with self.backends.ledger.read() as conn:
            return cycles.list_cycles(conn, scope)

    @property
    def artefacts(self) -> Path:
        return self.backends.folder / "adapters"

    def folders(self) -> list[str]:
        return sorted(path.name for path in self.artefacts.iterdir()) if self.artefacts.exists() else []

    def lessons(self, name: str) -> str:
        """Everything that the fake weights hold, as text."""
        return (self.artefacts / name / "adapter_model.safetensors").read_bytes().decode("utf-8", "replace")

    def with_parts(self, **changed: Any) -> "Brain":  # Any: any of the backends
        return Brain(backends=replace(self.backends, **changed), told=self.told)

    def with_settings(self, **sections: dict[str, Any]) -> "Brain":  # Any: the fields of a section
        settings = self.backends.settings
        changed = {name: getattr(settings, name).model_copy(update=update) for name, update in sections.items()}
        return self.with_parts(settings=settings.model_copy(update=changed))


def open_brain(folder: Path, ledger: Ledger) -> Brain:
    """The fake model recognises a paraphrase by shared words only and so recalls few: the gate asks for less than of a real one."""
    return Brain(
        backends=Backends(
            ledger=ledger,
            model=ScriptedModel({}),
            trainer=InstantTrainer(),
            embedder=HASHED,
            grader=PhraseGrader(),
            settings=Settings(gate=GateSettings(min_gain=0.1), self_edit=MATERIAL),
            folder=folder,
            base_sha256=BASE_SHA256,
        )
    )
