"""What the ledger's tests run in other processes, to be killed, locked out or starved of disk."""

import os
import resource
import threading
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

from seal_agent.errors import SealAgentError, StoreFullError
from seal_agent.ledger.cycles import start_cycle
from seal_agent.ledger.episodes import add_episode, count_episodes
from seal_agent.ledger.facts import add_fact, set_fact_state
from seal_agent.ledger.ledger import DATABASE, Ledger
from tests.ledger.records import ANA, EMBEDDER, NOW, episode, fact, vectors


def write_until_killed(folder: Path, name: str, pipe: Pipe) -> None:
    """Send the id of every episode once it is acknowledged."""
    ledger = Ledger.open(folder)
    for n in range(1_000_000):
        with ledger.write() as conn:
            add_episode(conn, episode(f"{name}-{n}", "first", "second"), vectors(2), EMBEDDER)
        pipe.send(f"{name}-{n}")


def hold(folder: Path, pipe: Pipe) -> None:
    """Own the ledger with a cycle running and a fact queued for it, until killed."""
    ledger = Ledger.open(folder)
    with ledger.write() as conn:
        start_cycle(conn, "c1", ANA, 0, NOW)
        add_fact(conn, fact("f1"), None, None)
        set_fact_state(conn, "f1", "queued")
    pipe.send(os.getpid())
    threading.Event().wait()


def fill_the_disk(folder: Path, pipe: Pipe) -> None:
    """Write until the disk is full, again while it is, and once more after room was made; send what happened."""
    ledger = Ledger.open(folder)
    with ledger.write() as conn:
        add_episode(conn, episode("first"), None, None)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((folder / DATABASE).stat().st_size + 400_000, hard))
    acknowledged, errors = ["first"], []
    for n in range(200):
        try:
            with ledger.write() as conn:
                add_episode(conn, episode(f"e{n}", "x" * 20_000), None, None)
            acknowledged.append(f"e{n}")
        except SealAgentError as error:
            errors.append((type(error).__name__, str(error)))
            if len(errors) == 3:
                break
    with ledger.read() as conn:
        kept_while_full = count_episodes(conn, None)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    with ledger.write() as conn:
        add_episode(conn, episode("last", "y" * 20_000), None, None)
    ledger.close()
    pipe.send((acknowledged, errors, kept_while_full))


def open_with_a_full_disk(folder: Path, pipe: Pipe) -> None:
    """Send the name of the error that opening a new ledger raises when nothing can be written."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        Ledger.open(folder)
        pipe.send("opened")
    except StoreFullError as error:
        pipe.send(type(error).__name__)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
