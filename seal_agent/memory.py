"""Memory: the whole library through one door.

`Memory.open` owns the brain directory and hands out scopes; what a scope can do is in `scope.py`. The ledger is opened at once, the
embedder at the first text, the model at the first question. Deliberately no behaviour of its own.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from seal_agent import __version__, doctor
from seal_agent.adapters.artefact import sweep
from seal_agent.api_keys import ApiKeys
from seal_agent.brain_folder import read_settings
from seal_agent.builders import Given, build_embedder, builders_for
from seal_agent.config import Settings
from seal_agent.doctor import Finding
from seal_agent.errors import UnknownRecordError, UsageError
from seal_agent.forgetting.erasing import finish
from seal_agent.forgetting.records import Receipt
from seal_agent.forgetting.requests import erase
from seal_agent.ledger import episodes
from seal_agent.ledger.adapters import list_adapters
from seal_agent.ledger.cycles import list_cycles
from seal_agent.ledger.entries import count_missing_vectors
from seal_agent.ledger.facts import list_facts
from seal_agent.ledger.ledger import Ledger
from seal_agent.ledger.purge import scopes_of_anything
from seal_agent.nights.facade import Nights
from seal_agent.parts import Parts
from seal_agent.protocols import Embedder, Grader, Model, Reranker, TextWriter, Trainer
from seal_agent.retrieval.vector_index import NO_INDEX, IndexStatus
from seal_agent.scope import Scope
from seal_agent.types import FactState, ProgressCallback, ScopeId, silent

if TYPE_CHECKING:
    from seal_agent.archive.merging import ImportReport
    from seal_agent.archive.saving import ArchiveReport
    from seal_agent.reindexing import ReindexReport

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
        reranker: Reranker | None = None,
        writer: TextWriter | None = None,
        progress: ProgressCallback = silent,
        clock: Callable[[], datetime] = now,
    ) -> Self:
        """Open the brain in `folder`, creating it if absent; settings come from its `seal.toml` unless passed.

        What is passed in stays the caller's to close. Raise `SettingsError`, `StoreLockedError` when another process has it open,
        `NewerSchemaError`, or `StoreError` with the way out.
        """
        if not str(folder):  # an empty variable must not make a brain of the working directory
            raise UsageError("folder='' names no folder: give one, or leave it out for ./brain.")
        path = Path(folder).expanduser()
        known = read_settings(path) if settings is None else settings
        ledger = Ledger.open(path)
        try:
            given = Given(model=model, trainer=trainer, embedder=embedder, grader=grader, reranker=reranker, writer=writer)
            parts = Parts(ledger, known, builders_for(ledger, known, given, progress), clock, progress)
            sweep(parts.folder / "adapters")  # stages of publications that a process before this one did not live to complete
            finish(parts)  # and removals
            return cls(parts)
        except BaseException:
            ledger.close()
            raise

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

    def scopes_with_adapters(self) -> list[ScopeId]:
        """Return every scope that has an adapter, live or not, by its key: also those whose memory is empty by now."""
        with self._parts.ledger.read() as connection:
            return list(dict.fromkeys(adapter.scope for adapter in list_adapters(connection, None)))

    def scopes_of(self, *, user: str | None = None, agent: str | None = None, tenant: str = "default") -> list[ScopeId]:
        """Return every scope of one user, agent or tenant that holds anything, be it items or an API key: what `erase` would empty."""
        with self._parts.ledger.read() as connection:
            return [scope for scope in scopes_of_anything(connection) if is_of(scope, user, agent, tenant)]

    def erase(self, *, user: str | None = None, agent: str | None = None, tenant: str = "default", confirm: bool = False) -> Receipt:
        """Remove everything of one user, agent or tenant: memory, items, nights, adapters, keys; return the receipt with the proof.

        `user` alone is that user with every agent of the tenant, `agent` alone the agent with all its users, neither the whole tenant.
        Tombstones stay, so that an import does not bring it back. Raise `UsageError` without `confirm=True`, `UnknownRecordError` when
        the brain holds nothing of them.
        """
        named = self.scopes_of(user=user, agent=agent, tenant=tenant)
        if not named:
            raise UnknownRecordError(f"The brain in {self.folder} holds nothing of tenant={tenant!r}, agent={agent!r}, user={user!r}.")
        if not confirm:
            keys = ", ".join(scope.key for scope in named)
            raise UsageError(f"This removes everything of {keys}, for good; pass confirm=True to do it.")
        return erase(self._parts, named)

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

    def announce(self, url: str) -> None:
        """Tell whoever finds the folder in use at which address it is served."""
        self._parts.ledger.announce(url)

    def doctor(self) -> list[Finding]:
        """Check the machine, the brain and what it stands on; downloads nothing and loads no model."""
        return [*doctor.examine_machine(self.folder), *doctor.examine_brain(self._parts)]

    def export(self, path: str | Path) -> "ArchiveReport":
        """Write everything that is remembered to one archive, as rows with hashes, for another machine or a later seal-agent.

        No key is in it. An adapter whose files are gone or damaged is left out, and the report names it. Adding and searching go on
        meanwhile. Raise `TargetExistsError`, or `StoreError` when the file can't be written.
        """
        from seal_agent.archive.saving import save

        return save(self._parts.ledger, Path(path), "export", at=self._parts.clock(), version=__version__)

    def backup(self, path: str | Path) -> "ArchiveReport":
        """Write a copy of the brain to one archive, in use or not: exact, API keys and settings included. See `export`."""
        from seal_agent.archive.saving import save

        return save(self._parts.ledger, Path(path), "backup", at=self._parts.clock(), version=__version__)

    def import_archive(self, path: str | Path) -> "ImportReport":
        """Add what an archive holds to this brain, in one transaction: what is known stays, what was forgotten here stays forgotten.

        The archive is verified whole before anything is written. Raise `ArchiveError` for one that is damaged or contradicts this brain,
        `NewerSchemaError`, `StoreFullError`, `UsageError` where there is no such file.
        """
        from seal_agent.archive.merging import merge
        from seal_agent.archive.restoring import restored

        archive, ledger = Path(path).expanduser(), self._parts.ledger
        with restored(archive, ledger.folder) as (brain, _), Ledger.open(brain) as source:
            return merge(source, ledger, archive, self._parts.clock())

    @staticmethod
    def restore(archive: str | Path, folder: str | Path) -> None:
        """Make a brain of an export or a backup in `folder`, absent or empty, whole or not at all. Raise as `import_archive`."""
        from seal_agent.archive.restoring import restore

        restore(Path(archive), Path(folder))

    def reindex(self, embedder: Embedder | str | None = None, *, progress: ProgressCallback | None = None) -> "ReindexReport":
        """Make the vector index anew from the stored vectors; or embed everything with another embedder, an object or a model's id.

        What there was serves until the new vectors are complete; interrupted, it is gone on with at the next call. From then on the ledger
        knows which embedder serves, whatever the settings say for new brains. Raise `ModelNotFoundError`, `EmbeddingError`,
        `VectorIndexError`; then everything serves as before.
        """
        from seal_agent.reindexing import reindex

        report = progress or self._parts.progress
        other = build_embedder(embedder, report) if isinstance(embedder, str) else embedder
        return reindex(self._parts, other, report)

    def repair(self) -> list[Finding]:
        """Make anew what can be made from the ledger's own records: both indexes, missing vectors; and remove what dead processes left."""
        from seal_agent.repair import repair

        return repair(self._parts)

    def wait_for_index(self, seconds: float = 60.0) -> IndexStatus:
        """Wait until the vector index has nothing left to check, to fill or to build, at most so long, and say how it is doing.

        Nothing needs it: what the index does not serve is scanned exactly. Its work begins with the first search in a large scope.
        """
        _ = self._parts.ledger
        searcher = self._parts.built_searcher
        index = None if searcher is None else searcher.index
        return NO_INDEX if index is None else index.wait(seconds)

    def close(self) -> None:
        """Stop nights, wait for transactions of other threads and let go of the folder. Idempotent; later uses raise `StoreError`."""
        self._nights.stop()
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_of(scope: ScopeId, user: str | None, agent: str | None, tenant: str) -> bool:
    """Whether a scope is of this user, agent and tenant; None is any."""
    return scope.tenant == tenant and (agent is None or scope.agent == agent) and (user is None or scope.user == user)
