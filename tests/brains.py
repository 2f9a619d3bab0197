"""Brains on the fakes, and nights in short: an adapter trained, published, registered and made live by hand."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from seal_agent.adapters.artefact import Manifest, TrainingFigures, adapter_name, new_stage, publish, weights_sha256
from seal_agent.adapters.switch import switch
from seal_agent.errors import EmbeddingError
from seal_agent.ledger.adapters import next_version, record_learning, register_adapter
from seal_agent.ledger.cycles import end_cycle, start_cycle
from seal_agent.memory import Memory
from seal_agent.protocols import Vectors
from seal_agent.scope import Scope
from seal_agent.testing import HashEmbedder, InstantTrainer, ScriptedModel
from seal_agent.types import Adapter, AdapterState, Example, Fact, Turn, silent

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
BASE_ID = "scripted"


class Clock:
    """Ticks a minute at each look."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


class BrokenEmbedder(HashEmbedder):
    """Fails until it is mended."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = True

    def embed(self, texts: Sequence[str]) -> Vectors:
        if self.broken:
            raise EmbeddingError("The embedder is on fire; put it out.")
        return super().embed(texts)


def open_brain(folder: Path, script: Mapping[str, str] | None = None, **changed: Any) -> Memory:  # Any: what Memory.open takes
    """Open a brain on the fakes; `script` is what the base model knows."""
    parts: dict[str, Any] = {
        "model": ScriptedModel(script or {}, id=BASE_ID),
        "trainer": InstantTrainer(),
        "embedder": HashEmbedder(),
        "clock": Clock(),
    }
    return Memory.open(folder, **(parts | changed))


def learn(
    memory: Memory, scope: Scope, lessons: Mapping[str, str], *, facts: Sequence[Fact] = (), state: AdapterState = "promoted"
) -> Adapter:
    """Train an adapter on questions and answers, publish it, and make it live if the gate "promoted" it; the facts count as learnt."""
    root = memory.folder / "adapters"
    staged = new_stage(root)
    examples = [Example(prompt=(Turn(role="user", content=q),), answer=a, fact_id="f") for q, a in lessons.items()]
    InstantTrainer().train(examples, probes=(), out=staged, seed=0, progress=silent, should_stop=lambda: False)
    ledger = memory._parts.ledger
    with ledger.read() as conn:
        version = next_version(conn, scope.id)
    sha256 = weights_sha256(staged)
    name = adapter_name(scope.id, version, sha256)
    path = publish(staged, root, manifest(name, scope, version))
    now = memory._parts.clock()
    adapter = Adapter(
        name=name,
        scope=scope.id,
        version=version,
        path=path.relative_to(memory.folder),
        sha256=sha256,
        base_id=BASE_ID,
        parent=None,
        state=state,
        created_at=now,
        cycle_id=f"cycle-{name}",
        fact_ids=tuple(fact.id for fact in facts),
    )
    with ledger.write() as conn:
        start_cycle(conn, adapter.cycle_id, scope.id, 0, now)
        register_adapter(conn, adapter)
        record_learning(conn, name, [(fact.id, True, 0.9) for fact in facts])
        if state == "promoted":
            switch(conn, scope.id, name, now, "promoted")
        end_cycle(conn, adapter.cycle_id, "promoted" if state == "promoted" else "rejected", "by the test", "{}", now)
    return adapter


def manifest(name: str, scope: Scope, version: int) -> Manifest:
    return Manifest(
        name=name,
        scope=scope.id.key,
        version=version,
        parent=None,
        base_id=BASE_ID,
        base_sha256=hashlib.sha256(BASE_ID.encode()).hexdigest(),
        facts={},
        self_edits={},
        seed=0,
        hyper_parameters={},
        code_version="0",
        created_at=START,
        training=TrainingFigures(steps=1, passes=1, trained_tokens=1, seconds=0.0, losses=(0.0,), stopped_early=False),
        evaluation=None,
    )
