"""The process that `crash_safety.py` kills: it checks what earlier ones acknowledged, then writes and reports, until it is killed.

    python -m benchmarks.crash_writer FOLDER NAME WRITES [--checked-only] [--limit BYTES]

It speaks JSON lines on stdout, each flushed: `open`, `checked` (what it found of what was acknowledged before), then one `acked` line per
write that has returned, or `full` for one that was refused. Ids to look for come on stdin, one a line, up to an empty line. What a turn
says follows from its id, so the parent keeps ids only. Deliberately no clean-up and no signal handling.
"""

import argparse
import hashlib
import itertools
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seal_agent.config import Settings
from seal_agent.errors import StoreFullError, StoreLockedError
from seal_agent.memory import Memory
from seal_agent.retrieval.vector_index import VectorIndex
from seal_agent.scope import Scope
from seal_agent.testing import HashEmbedder, ScriptedModel
from seal_agent.types import Interaction

SETTINGS = {"retrieval": {"exact_scan_below": 1}}
"""So that Chroma serves from the first turn on."""
WORDS = 8
BATCH = 60
LOOKED_UP = 200
PATIENCE = 300.0
"""Seconds until the index has to serve again."""
RETRY = 0.02
PAUSE = 0.01
SAME = 0.999


def text_of(id: str) -> str:
    digest = hashlib.sha256(id.encode()).hexdigest()
    letters = digest.translate(str.maketrans("0123456789", "ghijklmnop"))  # words, not what looks like a key
    return " ".join(letters[4 * n : 4 * n + 4] for n in range(WORDS))


def say(**what: Any) -> None:  # Any: JSON
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def open_when_free(folder: Path) -> Memory:
    """Open the brain as soon as no other process has it: several of these writers may be started on one folder."""
    while True:
        try:
            return Memory.open(folder, settings=Settings.load(None, **SETTINGS), model=ScriptedModel({}), embedder=HashEmbedder())
        except StoreLockedError:
            time.sleep(RETRY)


def check(memory: Memory, scope: Scope, acked: Sequence[str], looked_up: int) -> None:
    """Report what is gone from the ledger, what a search does not find at once, and what the served index does not find."""
    with memory._parts.ledger.read() as connection:
        held = {row[0] for row in connection.exec_driver_sql("SELECT id FROM episodes")}
    lost = [id for id in acked if id not in held]
    chooser = random.Random(len(acked))
    some = chooser.sample(acked, min(20, len(acked)))
    dark = [id for id in some if id not in [hit.episode_id for hit in scope.search(text_of(id), k=3)]]
    say(event="dark", lost=lost, dark=dark)
    status = memory.wait_for_index(PATIENCE)
    sample = list(acked) if looked_up < 0 else chooser.sample(acked, min(looked_up, len(acked))) + list(acked[-looked_up:])
    unfindable, unserved = look_up(memory, scope, sample)
    say(event="checked", state=status.state, error=status.error, asked=len(sample), unfindable=unfindable, unserved=unserved)


def look_up(memory: Memory, scope: Scope, ids: Sequence[str]) -> tuple[list[str], int]:
    """Ask the index itself for each turn by its exact vector; return who was missed, and how often the index did not serve."""
    index = memory._parts.searcher.index
    with memory._parts.ledger.read() as connection:
        rows = connection.exec_driver_sql("SELECT text, vector FROM entries WHERE vector IS NOT NULL").all()
    vectors = {row[0]: np.frombuffer(row[1], dtype=np.float32) for row in rows}
    missed: list[str] = []
    unserved = 0
    for id in ids:
        vector = vectors.get(text_of(id))
        found = index.query(scope.id.key, vector, 1) if isinstance(index, VectorIndex) and vector is not None else None
        if found is None:
            unserved += 1
        elif found[0][1] < SAME:
            missed.append(id)
    return missed, unserved


def write(scope: Scope, name: str, writes: int, chooser: random.Random) -> None:
    """Add turns one by one and in batches, and search in between, which is what makes the index follow."""
    for round in itertools.count():
        ids = [f"{name}-{round}-{n}" for n in range(BATCH if chooser.random() < 0.3 else 1)]
        if round >= writes:
            time.sleep(PAUSE)  # enough was written: what follows is to be killed while the index works
            scope.search(text_of(f"{name}-0-0"), k=1)
            continue
        try:
            if len(ids) == 1:
                scope.add(text_of(ids[0]), id=ids[0])
            else:
                scope.add_many([Interaction(messages=text_of(id), id=id) for id in ids])
        except StoreFullError as error:
            say(event="full", error=str(error))
            return
        say(event="acked", ids=ids)
        if round % 5 == 0:
            scope.search(text_of(ids[0]), k=1)
        time.sleep(PAUSE * chooser.random())


def limit_files(folder: Path, more: int) -> None:
    """Let no file grow by more than this beyond the largest there is: as on a disk that is nearly full."""
    import resource

    largest = max((path.stat().st_size for path in folder.rglob("*") if path.is_file()), default=0)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + more, hard))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("writes", type=int)
    parser.add_argument("--looked-up", type=int, default=LOOKED_UP, help="-1 for every turn")
    parser.add_argument("--only-check", action="store_true")
    parser.add_argument("--limit", type=int)
    given = parser.parse_args()
    acked = [line.strip() for line in iter(sys.stdin.readline, "\n") if line.strip()]
    memory = open_when_free(given.folder)
    scope = memory.scope(user="ana")
    say(event="open")
    if acked:
        check(memory, scope, acked, given.looked_up)
    if given.only_check:
        memory.close()
        return
    if given.limit is not None:
        limit_files(given.folder, given.limit)
    write(scope, given.name, given.writes, random.Random(given.name))


if __name__ == "__main__":
    main()
