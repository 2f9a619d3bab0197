"""The vector index: which generation serves, and the thread that checks it, fills it and makes it anew.

Searching never waits for any of that: `query` answers None whenever the index does not serve a scope, and the caller scans exactly.
Deliberately knows no Chroma: how a folder is opened and probed is handed in.

A generation is probed in a child process before it is opened here. One that fails, then or later, is made anew from the ledger's vectors
beside the old one, switched to in one transaction, and the old one deleted. After `MOST_FAILURES` the index stays off: to go on retrying
a broken one is how others filled disks.
"""

import atexit
import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from seal_agent.errors import SealAgentError, VectorIndexError
from seal_agent.ledger.entries import scope_vectors_after
from seal_agent.ledger.ledger import Ledger
from seal_agent.protocols import Vectors
from seal_agent.retrieval import building
from seal_agent.retrieval.building import Backend, Filling, Found, Opened
from seal_agent.retrieval.generation_folders import discard_generations

logger = logging.getLogger(__name__)

State = Literal["idle", "checking", "building", "serving", "off"]

FILL_AT = 400
"""Vectors beyond the watermark from which on they are taken in; fewer are compared by each query itself, in a millisecond or two."""
MOST_BEYOND = 2_000
"""Vectors beyond the watermark above which a scope is not served until they are taken in."""
QUERY_WAIT = 0.02
"""Seconds that a query waits for its turn before it is scanned exactly instead."""
MOST_FAILURES = 2
"""A generation that fails is made anew so often in one process."""
CLOSE_SECONDS = 30.0
START_AFTER = 0.5
"""Seconds until the thread begins: a process that asks once and ends, as the command line does, is not to pay for an index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStatus:
    """How the index is doing."""

    state: State
    generation: int | None
    watermarks: dict[str, int]
    """Per scope key, the last entry that is in it."""
    error: str | None
    """Why it is off, or why it was made anew last."""


NO_INDEX = IndexStatus(state="idle", generation=None, watermarks={}, error=None)


class VectorIndex:
    """The vectors of one embedder. Does nothing until a scope is wanted; safe to use from several threads of one process."""

    def __init__(self, ledger: Ledger, embedder_id: str, backend: Backend) -> None:
        self._ledger = ledger
        self._embedder_id = embedder_id
        self._backend = backend
        self._opened: Opened | None = None
        self._turn = threading.Lock()
        """Held by whoever uses the open projection: a query, a page that is taken in, its replacement."""
        self._work = threading.Lock()
        """Held by whoever opens, fills or replaces the generation."""
        self._changed = threading.Condition()
        """Guards all below."""
        self._wanted: dict[str, None] = {}
        self._due = self._busy = self._closed = self._damaged = False
        self._late: dict[str, list[str]] = {}
        self._broken: list[Opened] = []
        self._state: State = "idle"
        self._error: SealAgentError | None = None
        self._failures = 0
        self._thread: threading.Thread | None = None
        self._interrupt = threading.Event()

    def want(self, scope_key: str) -> None:
        """Have this scope served as soon as can be. Returns at once."""
        with self._changed:
            if scope_key in self._wanted and self._opened is not None:
                return
            self._wanted[scope_key] = None
        self._wake()

    def query(self, scope_key: str, vector: Vectors, k: int) -> Found | None:
        """Return the `k` nearest entry ids with their cosines, nearest first, or None while this scope is not served.

        Some may have left the ledger since they were copied.
        """
        opened = self._opened
        mark = None if opened is None else opened.marks.get(scope_key)
        if opened is None or mark is None:
            return None
        with self._ledger.read() as connection:
            _, ids, vectors = scope_vectors_after(connection, scope_key, self._embedder_id, mark, MOST_BEYOND + 1)
        if len(ids) >= FILL_AT:
            self._wake()
        if len(ids) > MOST_BEYOND:
            return None
        found = self._query_projection(opened, scope_key, vector, k)
        if found is None:
            return None
        nearest = dict(found) | dict(zip(ids, (vectors @ vector).tolist() if ids else [], strict=True))
        return sorted(nearest.items(), key=lambda pair: (-pair[1], pair[0]))[:k]

    def _query_projection(self, opened: Opened, scope_key: str, vector: Vectors, k: int) -> Found | None:
        if not self._turn.acquire(timeout=QUERY_WAIT):
            return None
        try:
            if self._opened is not opened:
                return None
            wanted = min(k, opened.held[scope_key])
            found = opened.projection.query(scope_key, vector, wanted)
            if len(found) < wanted:
                # Chroma has been seen to lose vectors without an error: counts right and queries silent.
                raise VectorIndexError(f"{opened.folder} shows {len(found)} vectors of {scope_key!r} where {wanted} were asked for.")
        except VectorIndexError as error:
            self._fail(error)
            return None
        finally:
            self._turn.release()
        return found

    def status(self) -> IndexStatus:
        """Say how the index is doing, without waiting."""
        with self._changed:
            opened = self._opened
            return IndexStatus(
                state=self._state,
                generation=None if opened is None else opened.number,
                watermarks={} if opened is None else dict(opened.marks),
                error=None if self._error is None else str(self._error),
            )

    def wait(self, seconds: float) -> IndexStatus:
        """Wait until nothing is left to check, to fill or to build, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not (self._due or self._busy), seconds)
        return self.status()

    def embedded_late(self, scope_key: str, ids: Sequence[str]) -> None:
        """Take in entries that got their vector after later ones were taken in: the watermark tells nothing of them. Returns at once."""
        with self._changed:
            self._late.setdefault(scope_key, []).extend(ids)
        self._wake()

    def discard(self) -> None:
        """Delete every generation from disk now; what is wanted is built anew in the background, without what was forgotten.

        Raise `VectorIndexError` when a folder can't be deleted.
        """
        with self._paused():
            self._replace(None)
            discard_generations(self._ledger)
        self._wake()

    def rebuild(self, scope_keys: Sequence[str] = ()) -> None:
        """Make a new generation now, with these scopes and all that are wanted, and switch to it; the old one serves meanwhile.

        Raise `VectorIndexError` when it can't be made; then the old one goes on serving.
        """
        with self._paused():
            with self._changed:
                self._wanted |= dict.fromkeys(scope_keys)
            self._build()

    def close(self) -> None:
        """End the thread and release the files. Idempotent."""
        with self._changed:
            self._closed = True
            self._interrupt.set()
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None:
            thread.join(CLOSE_SECONDS)
            atexit.unregister(self.close)
            if thread.is_alive():
                logger.warning("the vector index of %s does not come to an end; its files stay open", self._ledger.folder)
                return
        self._replace(None)

    # The thread

    def _wake(self) -> None:
        with self._changed:
            if self._closed or self._state == "off" or not self._wanted:
                return
            self._due = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="seal-index", daemon=True)
                self._thread.start()
                # Python ends with threads inside native code that can't bear it: this one is to be gone by then.
                atexit.register(self.close)
            self._changed.notify_all()

    def _run(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed, START_AFTER)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._due or self._closed)
                if self._closed:
                    return
                self._due, self._busy = False, True
            with self._work:
                try:
                    self._settle()
                except SealAgentError as error:
                    self._give_up(error)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _settle(self) -> None:
        """Bring the index to where all that is wanted is served, or raise."""
        with self._changed:
            damaged, self._damaged = self._damaged, False
            broken, self._broken = self._broken, []
            wanted = list(self._wanted)
        for gone in broken:
            gone.projection.close()
        if self._opened is None and not damaged:
            self._open()
        if self._opened is None or damaged:
            self._build()
        opened = self._opened
        if opened is None:
            return
        filling = Filling(ledger=self._ledger, embedder_id=self._embedder_id, turn=self._turn, should_stop=self._interrupt.is_set)
        try:
            for scope_key in wanted:
                building.fill(filling, opened, scope_key)
            with self._changed:
                late, self._late = self._late, {}
            for scope_key, ids in late.items():
                building.fill_late(filling, opened, scope_key, ids)
        except VectorIndexError as error:
            self._fail(error)

    def _open(self) -> None:
        self._say("checking")
        try:
            opened = building.open_current(self._ledger, self._embedder_id, self._backend, self._interrupt.is_set)
        except VectorIndexError as error:
            if self._interrupt.is_set():
                raise
            logger.warning("the vector index is made anew: %s", error)
            with self._changed:
                self._error = error
            return
        if opened is not None:
            self._replace(opened)
            building.delete_old(self._ledger, opened.folder)

    def _build(self) -> None:
        if self._opened is None:
            self._say("building")
        with self._changed:
            wanted = list(self._wanted | dict.fromkeys(self._opened.marks if self._opened else ()))
        fresh = building.build(self._ledger, self._embedder_id, self._backend, wanted, self._interrupt.is_set)
        try:
            building.switch_to(self._ledger, fresh)
        except SealAgentError:
            fresh.projection.close()
            raise
        self._replace(fresh)
        building.delete_old(self._ledger, fresh.folder)

    # What became of it

    def _say(self, state: State) -> None:
        with self._changed:
            self._state = state
            self._changed.notify_all()

    def _replace(self, fresh: Opened | None) -> None:
        """Let queries go to `fresh` from now on, and release what they went to before."""
        with self._turn:
            old, self._opened = self._opened, fresh
            if old is not None:
                old.projection.close()
        self._say("idle" if fresh is None else "serving")

    def _fail(self, error: VectorIndexError) -> None:
        """Have a generation that failed in use made anew, or leave the index off if that did not help."""
        with self._changed:
            self._error = error
            self._failures += 1
            self._damaged = True
            off = self._failures > MOST_FAILURES
            if self._opened is not None:
                self._broken.append(self._opened)  # closed by the thread: that can take long
                self._opened = None
        logger.warning("the vector index %s: %s", "stays off" if off else "is made anew", error)
        self._say("off" if off else "idle")
        self._wake()

    def _give_up(self, error: SealAgentError) -> None:
        """The thread could not do it: a full disk, a closed ledger, a Chroma that can't even be filled."""
        if self._interrupt.is_set():
            return self._say("idle")
        with self._changed:
            self._error = error
        logger.warning("search goes on without the vector index: %s", error)
        return self._say("off")

    @contextlib.contextmanager
    def _paused(self) -> Iterator[None]:
        """Stop what the thread is doing and keep it from working; afterwards all failures are forgiven."""
        self._interrupt.set()
        with self._work:
            self._interrupt.clear()
            try:
                yield
            finally:
                with self._changed:
                    self._failures, self._damaged = 0, False
                    self._state = "idle" if self._opened is None else "serving"
                    self._changed.notify_all()
