"""Memory: the whole library through one door, and the one place that chooses backends.

`Memory.open` owns the brain directory and hands out scopes; what a scope can do is in `scope.py`. The ledger is opened at once, the
embedder at the first text, the model at the first question. Deliberately no behaviour of its own.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from seal_agent import doctor
from seal_agent.api_keys import ApiKeys
from seal_agent.brain_folder import read_settings
from seal_agent.config import Settings
from seal_agent.doctor import Finding
from seal_agent.errors import UsageError
from seal_agent.ledger import episodes
from seal_agent.ledger.adapters import list_adapters
from seal_agent.ledger.cycles import list_cycles
from seal_agent.ledger.entries import count_missing_vectors
from seal_agent.ledger.facts import list_facts
from seal_agent.ledger.ledger import Ledger
from seal_agent.nights.facade import Nights
from seal_agent.parts import Builders, Parts
from seal_agent.protocols import Embedder, Grader, Model, Trainer
from seal_agent.retrieval.building import Backend, Projection
from seal_agent.retrieval.probe import probe
from seal_agent.retrieval.search import Index
from seal_agent.retrieval.vector_index import VectorIndex
from seal_agent.scope import Scope
from seal_agent.types import FactState, ProgressCallback, ScopeId, silent

__all__ = ["Memory", "Scope", "Stats"]


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What a brain holds, over all scopes."""

    scopes: int
    episodes: int
    facts: dict[FactState, int]
    adapters: int
    live: int
    cycles: int
    not_embedded: int
    """Turns and facts that wait for their vectors."""


class Memory:
    """A brain directory, open. One process owns it at a time; its threads may share it.

    >>> import tempfile
    >>> from seal_agent.testing import HashEmbedder, ScriptedModel
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Memory.open(folder, model=ScriptedModel({}), embedder=HashEmbedder()) as memory:
    ...         ana = memory.scope(user="ana")
    ...         _ = ana.add("I'm vegetarian.")
    ...         [hit.text for hit in ana.search("what may she eat?")]
    ["I'm vegetarian."]
    """

    def __init__(self, parts: Parts) -> None:
        """Private: use `Memory.open`."""
        self._parts = parts
        self._nights = Nights(parts)

    @classmethod
    def open(
        cls,
        folder: str | Path = "./brain",
        *,
        settings: Settings | None = None,
        model: Model | None = None,
        trainer: Trainer | None = None,
        embedder: Embedder | None = None,
        grader: Grader | None = None,
        progress: ProgressCallback = silent,
        clock: Callable[[], datetime] = now,
    ) -> Self:
        """Open the brain in `folder`, creating it if absent; settings come from its `seal.toml` unless passed.

        What is passed in stays the caller's to close. Raise `SettingsError`, `StoreLockedError` when another process has it open,
        `NewerSchemaError`, or `StoreError` with the way out.
        """
        path = Path(folder).expanduser()
        known = read_settings(path) if settings is None else settings
        builders = Builders(
            model=(lambda: build_model(known, progress)) if model is None else (lambda: model),
            trainer=(lambda used: build_trainer(used, known)) if trainer is None else (lambda _: trainer),
            embedder=(lambda: build_embedder(known, progress)) if embedder is None else (lambda: embedder),
            grader=build_grader if grader is None else (lambda: grader),
            index=build_index,
            base_sha256=(lambda: hash_weights(known, progress)) if model is None else (lambda: hash_of_model(model)),
            verify=verify_adapter,
            locate={
                "model": (lambda: locate(known.model.id)) if model is None else (lambda: f"{model.id}, passed in"),
                "embedder": (lambda: locate(known.retrieval.embedder)) if embedder is None else (lambda: f"{embedder.id}, passed in"),
            },
            embedder_id=known.retrieval.embedder if embedder is None else embedder.id,
            owns_model=model is None,
        )
        return cls(Parts(Ledger.open(path), known, builders, clock, progress))

    @property
    def folder(self) -> Path:
        return self._parts.folder

    @property
    def settings(self) -> Settings:
        return self._parts.settings

    @property
    def keys(self) -> ApiKeys:
        """The API keys of this brain, for a server in front of it. They end by the wall clock, whatever `clock` says."""
        return ApiKeys(self._parts.ledger)

    def scope(self, user: str | None = None, agent: str | None = "default", tenant: str = "default") -> Scope:
        """Return the handle of one scope; `user=None` is what an agent shares with all its users. Raise `InvalidScopeError`."""
        _ = self._parts.ledger  # a closed brain has no scopes
        return Scope(self._parts, ScopeId(tenant=tenant, agent=agent, user=user))

    def scopes(self) -> list[ScopeId]:
        """Return every scope that holds an episode or a fact."""
        with self._parts.ledger.read() as connection:
            return episodes.scopes(connection)

    def stats(self) -> Stats:
        """Count what the brain holds."""
        with self._parts.ledger.read() as connection:
            scopes = episodes.scopes(connection)
            adapters = list_adapters(connection, None)
            return Stats(
                scopes=len(scopes),
                episodes=episodes.count_episodes(connection, None),
                facts=dict(Counter(fact.state for scope in scopes for fact in list_facts(connection, scope))),
                adapters=len(adapters),
                live=sum(adapter.live for adapter in adapters),
                cycles=len(list_cycles(connection, None)),
                not_embedded=count_missing_vectors(connection, self._parts.embedder_id),
            )

    @property
    def nights(self) -> Nights:
        """When this brain learns by itself: `start()` and `stop()` in a long-running host, `run`, `next`, `history`, `pause`, `resume`."""
        return self._nights

    def check_ready(self, *, model: bool = True) -> None:
        """Raise what would fail the next request: `StoreError`, or `ModelNotFoundError` where `model` is needed. Loads nothing."""
        self.keys.exist()
        if model:
            self._parts.locate("model")

    def doctor(self) -> list[Finding]:
        """Check the machine, the brain and what it stands on; downloads nothing and loads no model."""
        return [*doctor.examine_machine(self.folder), *doctor.examine_brain(self._parts)]

    def close(self) -> None:
        """Stop nights, wait for transactions of other threads and let go of the folder. Idempotent; later uses raise `StoreError`."""
        self._nights.stop()
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# The backends are imported where they are built: `import seal_agent.memory` costs no torch and no chromadb.


def build_model(settings: Settings, progress: ProgressCallback) -> Model:
    from seal_agent.models.weights import resolve

    folder = resolve(settings.model.id, progress=progress)
    from seal_agent.models.local import LocalModel  # seconds of torch, only once there is something to load

    return LocalModel(folder, settings.model.id, settings.model)


def build_trainer(model: Model, settings: Settings) -> Trainer:
    from seal_agent.models.local import LocalModel
    from seal_agent.trainers.lora import LoraTrainer

    if not isinstance(model, LocalModel):
        raise UsageError(f"{type(model).__name__} can't be trained here; pass trainer= beside model= to Memory.open.")
    return LoraTrainer(model, settings.training)


def build_embedder(settings: Settings, progress: ProgressCallback) -> Embedder:
    from seal_agent.models.weights import resolve

    folder = resolve(settings.retrieval.embedder, progress=progress)
    from seal_agent.retrieval.embedding import TransformerEmbedder  # as above

    return TransformerEmbedder(folder, settings.retrieval.embedder)


def build_grader() -> Grader:
    from seal_agent.consolidation.grading import PhraseGrader

    return PhraseGrader()


def build_index(ledger: Ledger, embedder_id: str) -> Index:
    return VectorIndex(ledger, embedder_id, Backend(connect=connect_chroma, probe=probe))


def connect_chroma(folder: Path) -> Projection:
    from seal_agent.retrieval.projection import ChromaProjection  # a second of chromadb, in the index's own thread

    return ChromaProjection(folder)


def verify_adapter(path: Path, base_sha256: str) -> object:
    from seal_agent.adapters.artefact import verify

    return verify(path, base_sha256)


def hash_weights(settings: Settings, progress: ProgressCallback) -> str:
    from seal_agent.models.weights import resolve, weights_sha256

    return weights_sha256(resolve(settings.model.id, progress=progress))


def hash_of_model(model: Model) -> str:
    """The weights' hash of a model that the caller passed in: of its folder if it has one, else of its id, which promises as much."""
    folder = getattr(model, "folder", None)
    if not isinstance(folder, Path):
        return hashlib.sha256(model.id.encode()).hexdigest()
    from seal_agent.models.weights import weights_sha256

    return weights_sha256(folder)


def locate(model_id: str) -> str:
    from seal_agent.models.weights import find

    return f"{model_id} in {find(model_id)}"
