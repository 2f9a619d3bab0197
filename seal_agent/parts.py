"""What an open brain stands on: its ledger, its settings and the replaceable parts, each built on first use.

Deliberately imports no backend: how a part is built is handed in as a function (`memory.py` has them).
"""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from seal_agent.async_scope import Threads
from seal_agent.calibration import Calibration
from seal_agent.config import Settings, TrainingSettings
from seal_agent.consolidation.backends import Backends
from seal_agent.errors import EmbeddingError, MissingDependencyError, ModelNotFoundError, StoreError
from seal_agent.lazy import Lazy
from seal_agent.ledger.ledger import Ledger
from seal_agent.protocols import Embedder, Grader, Model, Reranker, TextWriter, Trainer, Vectors
from seal_agent.retrieval.generation_folders import discard_generations
from seal_agent.retrieval.search import Index, Searcher
from seal_agent.serving import Serving
from seal_agent.types import ProgressCallback
from seal_agent.vitals import Vitals

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Builders:
    """How to make each part. What the caller of `Memory.open` passed in is simply returned."""

    model: Callable[[], Model]
    trainer: Callable[[Model, TrainingSettings], Trainer]
    embedder: Callable[[], Embedder]
    grader: Callable[[], Grader]
    index: Callable[[Ledger, str], Index]
    base_sha256: Callable[[], str]
    """The hash of the base model's weights, without loading them."""
    tokenizer_sha256: Callable[[], str | None]
    """The same of its tokenizer and chat template; None for a model without files."""
    base_revision: Callable[[], str | None]
    """The hub's commit, where the model lies in the hub's cache."""
    verify: Callable[[Path, str, str | None], object]
    """Raises `IntegrityError` for an adapter folder that must not be loaded on weights and with a tokenizer of these hashes."""
    locate: Mapping[Literal["model", "embedder"], Callable[[], str]]
    """Says where the weights are on this machine, or raises `ModelNotFoundError`; downloads nothing."""
    token_counter: Callable[[], Callable[[str], int]]
    """Returns what counts tokens without loading the model; raises `ModelNotFoundError` where its tokenizer is not on this machine."""
    reranker: Callable[[], Reranker] | None
    """None where hits keep the order of the search."""
    embedder_id: str
    owns_model: bool
    """Whether closing the brain closes the model: not one that the caller passed in."""
    writer: TextWriter | None = None
    """Who writes self-edits and, by `facts.reader`, reads turns; None is the model itself."""


class Parts:
    """Shared by a `Memory` and its scopes. Safe to use from several threads."""

    def __init__(
        self, ledger: Ledger, settings: Settings, builders: Builders, clock: Callable[[], datetime], progress: ProgressCallback
    ) -> None:
        self._ledger = ledger
        self._builders = builders
        self._closed = False
        self.settings = settings
        self.clock = clock
        self.progress = progress
        self.embedder_id = builders.embedder_id
        self.vitals = Vitals()
        self.last_request: datetime | None = None
        """When somebody last asked something here: nights wait for a quiet moment."""
        self.calibrations: dict[str, Calibration | None] = {}
        """By adapter; each is fitted once, an adapter never changes."""
        self._model = Lazy(builders.model)
        self._token_counter = Lazy(builders.token_counter)
        self._embedder = Lazy(builders.embedder)
        self._grader = Lazy(builders.grader)
        self._rerank = None if builders.reranker is None else Lazy(builders.reranker).get
        self._trainer = Lazy(lambda: builders.trainer(self.model, settings.training))
        self._base_sha256 = Lazy(builders.base_sha256)
        self._tokenizer_sha256 = Lazy(builders.tokenizer_sha256)
        self._searcher = Lazy(self._build_searcher)
        self._words_only = Lazy(self._build_words_only)
        self._threads = Threads()
        self.serving = Serving(
            lambda: self.model,
            lambda path: builders.verify(path, self.base_sha256, self._tokenizer_sha256.get()),
            ledger.folder,
            settings.model.kept_adapters,
        )

    @property
    def ledger(self) -> Ledger:
        """Raise `StoreError` after `close`."""
        if self._closed:
            raise StoreError(f"The brain in {self._ledger.folder} was closed; open it again with Memory.open.")
        return self._ledger

    @property
    def folder(self) -> Path:
        return self._ledger.folder

    @property
    def model(self) -> Model:
        """Load the model at the first call; raise `ModelNotFoundError`."""
        _ = self.ledger  # nothing is built for a closed brain
        return self._model.get()

    @property
    def model_id(self) -> str:
        """Id of the model, without loading it."""
        return self.settings.model.id if self._builders.owns_model else self.model.id

    @property
    def loaded_model(self) -> Model | None:
        """The model if it is loaded."""
        return self._model.peek()

    @property
    def count_tokens(self) -> Callable[[str], int] | None:
        """What counts tokens as the model does, loading no weights; None where its tokenizer is not on this machine."""
        model = self._model.peek()
        if model is not None:
            return model.count_tokens
        try:
            return self._token_counter.get()
        except (ModelNotFoundError, MissingDependencyError):
            return None

    @property
    def embedder(self) -> Embedder:
        """Load the embedder at the first call; raise `ModelNotFoundError`."""
        _ = self.ledger
        return self._embedder.get()

    @property
    def searcher(self) -> Searcher:
        return self._searcher.get()

    @property
    def built_searcher(self) -> Searcher | None:
        """The searcher if something was searched."""
        return self._searcher.peek()

    @property
    def words_only(self) -> Searcher:
        """Search without an embedder, for when none can be had."""
        return self._words_only.get()

    def use_embedder(self, embedder: Embedder) -> None:
        """Search with another embedder from now on, whose vectors the ledger holds."""
        old = self._searcher.peek()
        self.embedder_id = embedder.id
        self.calibrations.clear()  # they are of the other one's cosines
        self._embedder = Lazy(lambda: embedder)
        self._searcher, self._words_only = Lazy(self._build_searcher), Lazy(self._build_words_only)
        if old is not None:
            old.close()

    def discard_index(self) -> None:
        """Delete the vector index from disk now, in use or not; what is needed of it is made anew. Raise `VectorIndexError`."""
        searcher = self._searcher.peek()
        if searcher is None:
            discard_generations(self.ledger)
        else:
            searcher.discard_index()

    def pool(self, *, slow: bool) -> Executor:
        """Return threads for async callers: those for answers if the call is `slow`. Raise `StoreError` after `close`."""
        _ = self.ledger
        return self._threads.pool(slow=slow)

    def streams(self) -> Executor:
        """Return threads for streams that are read from an event loop. Raise `StoreError` after `close`."""
        _ = self.ledger
        return self._threads.streams()

    @property
    def base_sha256(self) -> str:
        return self._base_sha256.get()

    def locate(self, name: Literal["model", "embedder"]) -> str:
        """Say where the weights are on this machine; raise `ModelNotFoundError` when they are not. Downloads nothing."""
        return self._builders.locate[name]()

    def backends(self) -> Backends:
        """Everything that a consolidation needs, loaded."""
        return Backends(
            ledger=self.ledger,
            model=self.model,
            trainer=self._trainer.get(),
            embedder=self.embedder,
            grader=self._grader.get(),
            settings=self.settings,
            folder=self.folder,
            base_sha256=self.base_sha256,
            tokenizer_sha256=self._tokenizer_sha256.get(),
            base_revision=self._builders.base_revision(),
            trainer_with=lambda training: self._builders.trainer(self.model, training),
            writer=self._builders.writer,
        )

    def _build_searcher(self) -> Searcher:
        embedder = self.embedder
        return Searcher(
            self.ledger, embedder, lambda: self._builders.index(self.ledger, embedder.id), self.settings.retrieval, self._rerank
        )

    def _build_words_only(self) -> Searcher:
        by_words = {"dense_weight": 0.0, "near_weight": 0.0}
        return Searcher(self.ledger, NoEmbedder(self.embedder_id), None, self.settings.retrieval.model_copy(update=by_words), self._rerank)

    def close(self) -> None:
        """Let go of everything, whatever fails on the way. Idempotent."""
        if self._closed:
            return
        self._closed = True
        model, searcher = self._model.peek(), self._searcher.peek()
        with ExitStack() as closing:
            closing.callback(self._ledger.close)
            closing.callback(self._threads.close)
            if model is not None and self._builders.owns_model:
                closing.callback(model.close)
            if searcher is not None:
                closing.callback(searcher.close)


class NoEmbedder:
    """Stands where an embedder is expected and is never asked."""

    def __init__(self, embedder_id: str) -> None:
        self.id = embedder_id
        self.dim = 0

    def embed(self, texts: object) -> Vectors:
        raise EmbeddingError("This search goes by words alone.")
