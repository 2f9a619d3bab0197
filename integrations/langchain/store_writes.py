"""Group commit: writes that arrive while another is going to disk go together, in the next transaction.

A commit waits for the disk, some milliseconds; many small concurrent puts would each wait for their own. Deliberately no thread and no
delay: a write that comes alone is written at once, by whoever asked.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from seal_agent.errors import SealAgentError
from seal_agent.ledger.items import Address, NewItem

Changes = Mapping[Address, NewItem | None]
"""What is to be at each address; None deletes."""


class GroupedWrites:
    """Call it with changes; it returns once they are on disk. Safe to use from several threads; of two changes the later wins."""

    def __init__(self, write: Callable[[Changes], None]) -> None:
        self._write = write
        self._waiting: list[tuple[Changes, Future[None]]] = []
        self._state = threading.Lock()
        self._turn = threading.Lock()

    def __call__(self, changes: Changes) -> None:
        """Write the changes; raise what writing them raised."""
        done: Future[None] = Future()
        with self._state:
            self._waiting.append((changes, done))
        with self._turn:
            if not done.done():  # else whoever had the turn before took these along
                self._write_group()
        done.result()

    def _write_group(self) -> None:
        with self._state:
            group, self._waiting = self._waiting, []
        if len(group) > 1:
            try:
                self._write({address: item for changes, _ in group for address, item in changes.items()})
            except SealAgentError:
                pass  # one of them can't be written: below, each is tried alone, so that only that one fails
            else:
                for _, done in group:
                    done.set_result(None)
                return
        for changes, done in group:
            try:
                self._write(changes)
            except BaseException as error:  # noqa: BLE001  # handed to whoever waits for it, who raises it
                done.set_exception(error)
            else:
                done.set_result(None)
