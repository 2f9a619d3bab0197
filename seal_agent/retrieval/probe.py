"""The probe: an index folder is opened in a child process before this process dares to.

A damaged Chroma folder can end its process (SIGSEGV), hang it, or write hundreds of gigabytes; a torn one answers with part of what it
held and says nothing. So a child opens it, with a time-out and limits on the size of its files and of its memory, and compares: every id
must be there, and vectors must find themselves. Deliberately repairs nothing: an index that fails is made anew from the ledger.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seal_agent.errors import VectorIndexError
from seal_agent.protocols import Vectors

SECONDS = 60.0
"""Time-out of the smallest index: starting Python and Chroma takes two seconds, on a busy machine twenty."""
SECONDS_PER_VECTOR = 0.01
"""About twenty times what a vector's own search takes."""
FILE_BYTES = 128 * 2**20
"""Size that no file of the smallest index comes near."""
MEMORY_BYTES = 16 * 2**30
"""Address space; much of it is reserved by threads and never used."""
ROOM = 8
"""How many times the vectors' own bytes a file, and the memory, may grow to."""
POLL = 0.05
SAID = 300
"""Characters of the child's last words that are quoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a folder must hold of one scope."""

    scope_key: str
    ids: Sequence[str]
    sample: Vectors
    """Some of their vectors [n, dim]: each must find one as near as itself."""


def probe(folder: Path, expected: Sequence[Expected], should_stop: Callable[[], bool]) -> None:
    """Raise `VectorIndexError`, saying why, unless the folder opens and holds what is expected; also once `should_stop()` is true."""
    vectors = sum(len(scope.ids) for scope in expected)
    size = max((len(scope.ids) * scope.sample.shape[1] * 4 for scope in expected), default=0)
    limits = {"file_bytes": FILE_BYTES + ROOM * size, "memory_bytes": MEMORY_BYTES + ROOM * size, "parent": os.getpid()}
    scopes = [{"scope_key": s.scope_key, "ids": list(s.ids), "shape": s.sample.shape} for s in expected]
    order = json.dumps({"folder": str(folder), "limits": limits, "scopes": scopes}).encode()
    request = b"".join([len(order).to_bytes(8, "little"), order, *(s.sample.tobytes() for s in expected)])
    seconds = SECONDS + SECONDS_PER_VECTOR * vectors
    said = _ask_child(folder, request, seconds, should_stop)
    if said != "ok":
        raise VectorIndexError(f"{folder} failed its probe: {said}.")


def _ask_child(folder: Path, request: bytes, seconds: float, should_stop: Callable[[], bool]) -> str:
    # The folders that this process imports from, and no start-up file of the user's: the child must find the same libraries.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "MALLOC_ARENA_MAX": "4"}
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "seal_agent.retrieval.probe_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
    except OSError as error:
        raise VectorIndexError(f"{folder} could not be probed ({error}); until it is, search scans exactly.") from error
    answer: list[bytes] = []
    talking = threading.Thread(target=lambda: answer.append(_talk(child, request)), daemon=True)
    talking.start()
    deadline = time.monotonic() + seconds
    try:
        while talking.is_alive():
            talking.join(POLL)
            if should_stop():
                return "it was interrupted"
            if time.monotonic() > deadline:
                return f"it did not end within {seconds:.0f} seconds"
    finally:
        child.kill()
        child.wait()
        talking.join()
    return _verdict(child.returncode, answer[0])


def _talk(child: "subprocess.Popen[bytes]", request: bytes) -> bytes:
    try:
        return child.communicate(request)[0]
    except (OSError, ValueError):  # it died before it had listened to the end
        return b""


def _verdict(code: int, answer: bytes) -> str:
    lines = answer.decode("utf-8", errors="replace").strip().splitlines()
    if code == 0 and lines:
        return lines[-1][:SAID]
    return f"it died of signal {-code}" if code < 0 else f"it ended with code {code}"
