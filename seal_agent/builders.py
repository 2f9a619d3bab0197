"""Which backend is chosen, and how each part is built: the one place that knows.

Backends are imported where they are built, so that `import seal_agent.memory` costs no torch and no chromadb. Deliberately builds nothing
by itself: `parts.py` does, when a part is first needed.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seal_agent.config import Settings, TrainingSettings
from seal_agent.errors import UsageError
from seal_agent.ledger.ledger import Ledger
from seal_agent.ledger.staging import serving_embedder
from seal_agent.parts import Builders
from seal_agent.protocols import Embedder, Grader, Model, Reranker, TextWriter, Trainer
from seal_agent.retrieval.building import Backend, Projection
from seal_agent.retrieval.probe import probe
from seal_agent.retrieval.search import Index
from seal_agent.retrieval.vector_index import VectorIndex
from seal_agent.types import ProgressCallback


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the caller of `Memory.open` passed in, which is simply used."""

    model: Model | None
    trainer: Trainer | None
    embedder: Embedder | None
    grader: Grader | None
    reranker: Reranker | None = None
    writer: TextWriter | None = None


def builders_for(ledger: Ledger, settings: Settings, given: Given, progress: ProgressCallback) -> Builders:
    """Return how each part is made. The embedder is the one whose vectors the ledger holds, unless one was passed in."""
    model, trainer, embedder, grader = given.model, given.trainer, given.embedder, given.grader
    with ledger.read() as connection:
        serving = serving_embedder(connection, settings.retrieval.embedder) if embedder is None else embedder.id
    return Builders(
        model=(lambda: build_model(settings, progress)) if model is None else (lambda: model),
        trainer=(lambda used, training: build_trainer(used, settings, training)) if trainer is None else (lambda *_: trainer),
        embedder=(lambda: build_embedder(serving, progress)) if embedder is None else (lambda: embedder),
        grader=build_grader if grader is None else (lambda: grader),
        index=build_index,
        base_sha256=(lambda: hash_weights(settings, progress)) if model is None else (lambda: hash_of_model(model)),
        tokenizer_sha256=lambda: hash_tokenizer(folder_of(settings, model, progress)),
        base_revision=lambda: revision(folder_of(settings, model, progress)),
        verify=verify_adapter,
        locate={
            "model": (lambda: locate(settings.model.id)) if model is None else (lambda: f"{model.id}, passed in"),
            "embedder": (lambda: locate(serving)) if embedder is None else (lambda: f"{embedder.id}, passed in"),
        },
        token_counter=(lambda: build_token_counter(settings)) if model is None else (lambda: model.count_tokens),
        reranker=reranker_for(settings, given, progress),
        embedder_id=serving,
        owns_model=model is None,
        writer=given.writer,
    )


def build_model(settings: Settings, progress: ProgressCallback) -> Model:
    from seal_agent.models.weights import resolve

    folder = resolve(settings.model.id, progress=progress)
    from seal_agent.models.local import LocalModel  # seconds of torch, only once there is something to load

    return LocalModel(folder, settings.model.id, settings.model)


def build_token_counter(settings: Settings) -> Callable[[str], int]:
    from seal_agent.models.tokens import token_counter

    return token_counter(settings.model.id)


def build_trainer(model: Model, settings: Settings, training: TrainingSettings) -> Trainer:
    from seal_agent.models.local import LocalModel
    from seal_agent.trainers.chosen import chosen
    from seal_agent.trainers.isolated import IsolatedTrainer, Weights

    if not isinstance(model, LocalModel):
        raise UsageError(f"{type(model).__name__} can't be trained here; pass trainer= beside model= to Memory.open.")
    here = chosen(model, training)
    if not training.isolated:
        return here
    weights = Weights(folder=model.folder, id=model.id, settings=settings.model)
    return IsolatedTrainer(here, weights, training, make_room=model.release)


def build_embedder(model_id: str, progress: ProgressCallback) -> Embedder:
    from seal_agent.models.weights import resolve

    folder = resolve(model_id, progress=progress)
    from seal_agent.retrieval.embedding import TransformerEmbedder  # as above

    return TransformerEmbedder(folder, model_id)


def reranker_for(settings: Settings, given: Given, progress: ProgressCallback) -> Callable[[], Reranker] | None:
    """How the reranker is made, or None where none is wanted."""
    passed, named = given.reranker, settings.retrieval.reranker
    if passed is not None:
        return lambda: passed
    return (lambda: build_reranker(named, progress)) if named else None


def build_reranker(model_id: str, progress: ProgressCallback) -> Reranker:
    from seal_agent.models.weights import resolve

    folder = resolve(model_id, progress=progress)
    from seal_agent.retrieval.reranking import CrossEncoder  # as above

    return CrossEncoder(folder, model_id)


def build_grader() -> Grader:
    from seal_agent.consolidation.grading import PhraseGrader

    return PhraseGrader()


def build_index(ledger: Ledger, embedder_id: str) -> Index:
    return VectorIndex(ledger, embedder_id, Backend(connect=connect_chroma, probe=probe))


def connect_chroma(folder: Path) -> Projection:
    from seal_agent.retrieval.projection import ChromaProjection  # a second of chromadb, in the index's own thread

    return ChromaProjection(folder)


def verify_adapter(path: Path, base_sha256: str, tokenizer_sha256: str | None) -> object:
    from seal_agent.adapters.artefact import verify
    from seal_agent.adapters.manifest import check_tokenizer

    manifest = verify(path, base_sha256)
    check_tokenizer(manifest, tokenizer_sha256)
    return manifest


def hash_weights(settings: Settings, progress: ProgressCallback) -> str:
    from seal_agent.models.weights import resolve, weights_sha256

    return weights_sha256(resolve(settings.model.id, progress=progress))


def folder_of(settings: Settings, model: Model | None, progress: ProgressCallback) -> Path | None:
    """Where the base's files are; None for a model that was passed in and has none."""
    if model is not None:
        folder = getattr(model, "folder", None)
        return folder if isinstance(folder, Path) else None
    from seal_agent.models.weights import resolve

    return resolve(settings.model.id, progress=progress)


def hash_tokenizer(folder: Path | None) -> str | None:
    from seal_agent.models.tokenizer_files import tokenizer_sha256

    return None if folder is None else tokenizer_sha256(folder)


def revision(folder: Path | None) -> str | None:
    from seal_agent.models.tokenizer_files import revision_of

    return None if folder is None else revision_of(folder)


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
