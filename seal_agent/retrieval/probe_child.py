"""The child's side of the probe: limit oneself, open the folder, compare, say `ok` or what is wrong. Started by `probe.py` alone.

Deliberately no library for others: it may hang, be killed for the size of a file, or die in native code; that is what it is for.
"""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seal_agent.errors import VectorIndexError
from seal_agent.protocols import Vectors

BATCH = 500
NEAR = 1e-3
"""Distance within which a vector has found itself; float32 rounding stays below a thousandth of this."""
MISSED_SHARE = 0.005
"""Share of vectors that an approximate index may miss: 0.0003 to 0.002 measured on whole ones, several per cent on torn ones."""
MISSED_AT_MOST = 0.03
"""More than this is never forgiven: an index whose links are torn finds by a wide search what no ordinary one does."""
WIDELY = 1_000
"""What misses more than the first share is asked again for so many nearest, which widens the search itself: of 100,000 vectors without
any likeness to each other an index that is whole misses 1.6 % at Chroma's own width. What a torn one lacks is not there at any width."""
MISSED_AT_LEAST = 2
"""Misses that are always forgiven, so that a small index is not condemned for one."""
BACKGROUND = 10
PR_SET_PDEATHSIG = 1


def main() -> None:
    size = int.from_bytes(sys.stdin.buffer.read(8), "little")
    order = json.loads(sys.stdin.buffer.read(size))
    limit(**order["limits"])
    samples = [read_sample(*scope["shape"]) for scope in order["scopes"]]
    from seal_agent.retrieval.projection import ChromaProjection  # only now that the limits hold

    try:
        projection = ChromaProjection(Path(order["folder"]))
        faults = [fault for scope, sample in zip(order["scopes"], samples, strict=True) if (fault := compare(projection, scope, sample))]
    except VectorIndexError as error:
        faults = [" ".join(str(error).split())]
    sys.stdout.write((faults[0] if faults else "ok") + "\n")
    sys.stdout.flush()
    os._exit(0)  # no tidying up by libraries whose state is in question


def limit(file_bytes: int, memory_bytes: int, parent: int) -> None:
    """Bound what this process can do to the machine, and let it end with its parent."""
    if sys.platform == "win32":
        return
    import resource

    os.nice(BACKGROUND)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # die, rather than see the writes fail for ever
    for kind, most in ((resource.RLIMIT_FSIZE, file_bytes), (resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was gone before that
            os._exit(1)


def read_sample(rows: int, columns: int) -> Vectors:
    data = sys.stdin.buffer.read(rows * columns * 4)
    return np.frombuffer(data, dtype=np.float32).reshape(rows, columns)


def compare(projection: Any, scope: dict[str, Any], sample: Vectors) -> str | None:  # Any: chromadb is imported late; JSON
    """Return what is wrong with one scope, or None."""
    missing = set(scope["ids"]) - projection.ids(scope["scope_key"])
    if missing:
        return f"{len(missing)} of {len(scope['ids'])} ids are missing from {scope['scope_key']!r}"
    held = projection.count(scope["scope_key"])
    if held < len(scope["ids"]):
        return f"it counts {held} of {len(scope['ids'])} vectors of {scope['scope_key']!r}"
    missed = sample
    for among in (1, WIDELY):
        missed = missed[[not found for found in find_themselves(projection, scope["scope_key"], missed, among)]]
        if len(missed) <= max(MISSED_AT_LEAST, MISSED_SHARE * len(sample)):
            return None
        if len(missed) > MISSED_AT_MOST * len(sample):  # whatever a wider search would find, ordinary ones would not
            break
    return f"{len(missed)} of {len(sample)} vectors of {scope['scope_key']!r} don't find themselves"


def find_themselves(projection: Any, scope_key: str, vectors: Vectors, among: int) -> Iterator[bool]:  # Any: chromadb is imported late
    for start in range(0, len(vectors), BATCH):
        for cosine in projection.best_cosines(scope_key, vectors[start : start + BATCH], among):
            yield cosine >= 1.0 - NEAR


if __name__ == "__main__":
    main()
