"""Which adapters the model holds: loaded when a request first needs one, kept for the next, freed when others took its place.

A request leases the adapter that it began with, so none is freed under it. Deliberately unaware of which adapter is live: that is one
row of the ledger, read at the start of each request.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from seal_agent.adapters.folder import stamp
from seal_agent.errors import IntegrityError, ModelNotFoundError
from seal_agent.protocols import Model
from seal_agent.types import Adapter

logger = logging.getLogger(__name__)

KEPT = 8
"""Adapters kept loaded: about 20 MB each for a small model. Ones in use are kept beyond that."""
LOADINGS = 2
"""How often an adapter is loaded whose files change meanwhile."""


class Serving:
    """Load, lease and free adapters. Safe to use from several threads; loading one does not delay requests that use another."""

    def __init__(self, model: Callable[[], Model], verify: Callable[[Path], object], folder: Path, kept: int = KEPT) -> None:
        """`verify` raises `IntegrityError` for files that must not be loaded; relative adapter paths begin at `folder`."""
        self._model = model
        self._verify = verify
        self._folder = folder
        self._kept = kept
        self._loaded: Model | None = None
        self._leases: OrderedDict[str, int] = OrderedDict()
        self._unwanted: set[str] = set()
        self._retired: set[str] = set()
        self._state = threading.Lock()
        self._loading = threading.Lock()

    def begin(self, adapter: Adapter) -> str:
        """Load the adapter if it is not, hold it, and return the name to ask the model for; `end` lets go of it.

        Raise `IntegrityError` when the files are not what was recorded, and for an adapter that was retired.
        """
        if adapter.name in self._retired:
            raise IntegrityError(f"Adapter {adapter.name!r} was withdrawn: what it was taught was forgotten.")
        if self._took(adapter.name):
            return adapter.name
        with self._loading:
            if not self._took(adapter.name):  # no other request loaded it meanwhile
                self._load(adapter)
                with self._state:
                    self._leases[adapter.name] = 1
        return adapter.name

    def _load(self, adapter: Adapter) -> None:
        """Verify, load, and make sure that what was loaded is what was verified; a backup that links the files is no attack."""
        folder = self._folder / adapter.path
        for _ in range(LOADINGS):
            before = stamp(folder)
            self.check(adapter)
            self._loaded = self._model()
            self._loaded.load_adapter(adapter.name, folder)
            if stamp(folder) == before:
                return
            self._loaded.unload_adapter(adapter.name)
        raise IntegrityError(
            f"The files of adapter {adapter.name!r} were changed while it was loaded: it is not used. See who writes there."
        )

    def end(self, name: str) -> None:
        """Let go of what `begin` returned; free adapters that nobody holds if too many are loaded."""
        with self._state:
            self._leases[name] -= 1
            self._free_idle()

    def drop(self, name: str) -> None:
        """Free an adapter that is no longer wanted, now if nobody holds it, else with its last request."""
        with self._state:
            if name in self._leases:
                self._unwanted.add(name)
                self._free_idle()

    def retire(self, name: str) -> bool:
        """Never lend this adapter again, and free it as `drop` does; return whether nobody holds it any more."""
        with self._state:
            self._retired.add(name)
        self.drop(name)
        with self._state:
            return name not in self._leases

    def prepare(self, adapter: Adapter) -> None:
        """Load an adapter off the request path."""
        self.end(self.begin(adapter))

    def check(self, adapter: Adapter) -> None:
        """Verify an adapter's files without loading it; raise `IntegrityError`."""
        self._verify(self._folder / adapter.path)

    def is_sound(self, adapter: Adapter) -> bool:
        """Whether `check` lets it pass; a warning says why not, be it only that the base's weights are not on this machine."""
        try:
            self.check(adapter)
        except (IntegrityError, ModelNotFoundError) as error:
            logger.warning("adapter %s can't serve: %s", adapter.name, error)
            return False
        return True

    def _free_idle(self) -> None:
        idle = [held for held, leases in self._leases.items() if leases == 0]
        unwanted = [held for held in idle if held in self._unwanted]
        surplus = max(0, len(self._leases) - len(unwanted) - self._kept)
        for held in [*unwanted, *[other for other in idle if other not in self._unwanted][:surplus]]:
            del self._leases[held]
            self._unwanted.discard(held)
            if self._loaded is not None:
                self._loaded.unload_adapter(held)

    def _took(self, name: str) -> bool:
        with self._state:
            if name not in self._leases:
                return False
            self._leases[name] += 1
            self._leases.move_to_end(name)
            return True
