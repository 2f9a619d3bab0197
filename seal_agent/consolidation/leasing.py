"""One cycle of a scope at a time: its lease is held while the cycle runs, renewed from a thread, and given back at its end."""

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from seal_agent.consolidation.backends import Backends
from seal_agent.errors import LeaseLostError, StoreError
from seal_agent.ledger import leases
from seal_agent.ledger.leases import Lease
from seal_agent.types import ScopeId

logger = logging.getLogger(__name__)

BEATS = 3
"""Renewals per lease time: two may fail before it is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A lease under renewal."""

    lease: Lease
    lost: threading.Event
    """Set once another process has taken it."""


@contextmanager
def leased(backends: Backends, scope: ScopeId, clock: Callable[[], datetime], lease: Lease | None = None) -> Iterator[Held]:
    """Hold the scope's lease: the one given, which stays its giver's to return, or one of our own; raise `CycleRunningError`."""
    seconds = backends.settings.nights.lease_seconds
    if lease is None:
        with backends.ledger.write() as conn:
            mine = leases.acquire(conn, scope, f"{socket.gethostname()}:{os.getpid()}", clock(), seconds)
    else:
        mine = lease
    held = Held(lease=mine, lost=threading.Event())
    ended = threading.Event()
    beats = threading.Thread(target=beat, args=(backends, held, clock, ended), name=f"lease of {scope.key}", daemon=True)
    beats.start()
    try:
        yield held
    finally:
        ended.set()
        beats.join()
        if lease is None:
            give_back(backends, mine)


def beat(backends: Backends, held: Held, clock: Callable[[], datetime], ended: threading.Event) -> None:
    """Renew until the cycle has ended. A renewal that fails is tried again: a full disk now is no reason to lose a night's work."""
    seconds = backends.settings.nights.lease_seconds
    while not ended.wait(seconds / BEATS):
        try:
            with backends.ledger.write() as conn:
                leases.renew(conn, held.lease, clock(), seconds)
        except LeaseLostError as error:
            logger.warning("%s", error)
            held.lost.set()
            return
        except StoreError as error:
            logger.warning("the lease on the cycle of %s could not be renewed: %s", held.lease.scope.key, error)


def give_back(backends: Backends, lease: Lease) -> None:
    """What can't be given back runs out by itself."""
    try:
        with backends.ledger.write() as conn:
            leases.release(conn, lease)
    except StoreError as error:
        logger.warning("the lease on the cycle of %s could not be given back: %s", lease.scope.key, error)
