"""What the steps of one running cycle share, and what happens when one of them fails or is stopped."""

import logging
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Event

from sqlalchemy import Connection

from seal_agent.adapters.artefact import adapter_name, remove
from seal_agent.consolidation.backends import Backends
from seal_agent.consolidation.evaluation import Examiner
from seal_agent.errors import CycleInterruptedError, LeaseLostError, StoreError, TrainingError
from seal_agent.ledger import adapters, cycles, facts, leases
from seal_agent.ledger.leases import Lease
from seal_agent.types import FactState, Progress, ProgressCallback, ReadingReport, ScopeId

logger = logging.getLogger(__name__)

QUEUED: frozenset[FactState] = frozenset({"queued"})
CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One cycle under way: whose it is, when it stops, how long each step took."""

    scope: ScopeId
    backends: Backends
    progress: ProgressCallback
    should_stop: Callable[[], bool]
    clock: Callable[[], datetime]
    lease: Lease | None = None
    """None for a dry run, which writes nothing."""
    lost: Event = field(default_factory=Event)
    """Set once another process has taken the lease."""
    id: str = field(default_factory=lambda: f"c_{uuid.uuid4().hex[:16]}")
    seconds: dict[str, float] = field(default_factory=dict)
    reading: ReadingReport | None = None
    """What came of having a writer read the turns, once one has."""

    @property
    def cache(self) -> Path:
        return self.backends.folder / "cache"

    @property
    def adapters(self) -> Path:
        return self.backends.folder / "adapters"

    @property
    def workplace(self) -> Path:
        """Where this cycle keeps what it has made so far; gone when it ends."""
        return self.backends.folder / "cycles" / self.id

    @property
    def seed(self) -> int:
        return self.backends.settings.training.seed

    @property
    def examiner(self) -> Examiner:
        system_prompt = self.backends.settings.model.system_prompt
        return Examiner(model=self.backends.model, grader=self.backends.grader, system_prompt=system_prompt, cache=self.cache)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a transaction that takes effect only while the scope's cycle is still this run's; raise `LeaseLostError`."""
        if self.lease is None:
            raise RuntimeError("A run without a lease writes nothing.")
        with self.backends.ledger.write() as conn:
            leases.check(conn, self.lease)
            yield conn

    def check_foundation(self, conn: Connection) -> None:
        """Raise `TrainingError` when something that the cycle works on was forgotten since it began."""
        if not cycles.can_go_on(conn, self.id):
            raise TrainingError("Facts being taught were forgotten meanwhile; nothing was promoted. Consolidate again.")

    def must_stop(self) -> bool:
        """Whether the caller wants it, or the cycle is somebody else's by now."""
        return self.should_stop() or self.lost.is_set()

    def say(self, step: str, done: int, total: int, detail: str = "") -> None:
        """Report progress, and stop here if the caller wants to."""
        if self.lost.is_set():
            raise LeaseLostError(f"The cycle of {self.scope.key!r} was taken over by another process; this one promoted nothing.")
        if self.should_stop():
            raise CycleInterruptedError(f"The consolidation of {self.scope.key!r} was stopped on request; nothing was promoted.")
        self.progress(Progress(stage=step, done=done, total=total, detail=detail))


@dataclass(slots=True)
class Staged:
    """Where candidates of this cycle are written before they are published, and the names they are loaded under."""

    folder: Path
    loaded: list[str] = field(default_factory=list)


@contextmanager
def stage(run: Run, name: str) -> Iterator[None]:
    """Time one step and announce it."""
    run.say(name, 0, 1)
    started = time.perf_counter()
    yield
    run.seconds[name] = round(time.perf_counter() - started, 3)


@contextmanager
def running(run: Run) -> Iterator[Staged]:
    """Clean up after the candidate, however the cycle ends.

    One that failed is closed, its facts wait again; one that was stopped keeps its checkpoint and goes on next time; one that was taken
    over is left to whoever has it now.
    """
    run.workplace.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = Staged(folder=run.workplace / CANDIDATE)
    try:
        yield staged
        shutil.rmtree(run.workplace, ignore_errors=True)
    except LeaseLostError:
        raise
    except (CycleInterruptedError, KeyboardInterrupt, SystemExit):
        logger.info("cycle %s of %s was stopped; it goes on where it stopped", run.id, run.scope.key)
        raise
    except OSError as error:
        close_failed(run, f"{type(error).__name__}: {error}")
        with run.backends.ledger.read() as conn:
            run.check_foundation(conn)  # whoever forgot something took the files away
        raise
    except BaseException as error:  # whatever it is: nothing may stay half done; it is raised again
        close_failed(run, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        raise
    finally:
        for name in staged.loaded:
            run.backends.model.unload_adapter(name)


def close_failed(run: Run, reason: str) -> None:
    """Close a cycle that can't go on. Where even that can't be written, on a full disk, the next cycle does it."""
    logger.warning("cycle %s of %s failed: %s", run.id, run.scope.key, reason.partition(":")[0])
    try:
        with run.write() as conn:
            if any(row.id == run.id for row in cycles.running_cycles(conn)):
                cycles.end_cycle(conn, run.id, "failed", reason, "{}", run.clock())
            for fact in facts.list_facts(conn, run.scope, states=QUEUED):
                facts.set_fact_state(conn, fact.id, "active")
            remove_unregistered(conn, run)
    except (StoreError, LeaseLostError) as error:
        logger.warning("the end of cycle %s could not be recorded: %s", run.id, error)
    shutil.rmtree(run.workplace, ignore_errors=True)


def remove_unregistered(conn: Connection, run: Run) -> None:
    """Delete adapters of this scope that a cycle published and then did not settle: nobody will ever load them.

    Inside a transaction, so that whoever was replaced while it slept deletes nothing of its successor's.
    """
    registered = {adapter.name for adapter in adapters.list_adapters(conn, run.scope)}
    names = adapter_name(run.scope, 1, "0" * 64).rsplit("-", 2)[0]
    for folder in sorted(run.adapters.glob(f"{names}-v*")):
        if folder.name not in registered:
            remove(folder)
