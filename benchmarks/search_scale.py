"""Searching a hundred thousand turns: of one user, and of a hundred.

    python -m benchmarks.search_scale [--turns N] [--users N,N] [--queries N] [--seed N] [--quick] [--json]

Turns of made-up words with the frequencies of a language (Zipf), in sessions of twenty, added in batches of 1,000; vectors of 384 numbers,
random by the text, so that the cost of embedding is left out. A scope larger than `retrieval.exact_scan_below` is served by Chroma: its
index is waited for before the queries are asked, each of four words of a turn. `--quick` is 5,000 turns and one user.

`--json` prints one object on the last line, under `users_N` for each number of users:
  add_many_per_s    turns added a second, in batches
  p50_ms, p95_ms    wall time of a search for 10, everything but the embedding of the query
  cpu_ms            mean processor time of the same
  found             share of the queries of which the turn is among the ten, in percent
  index             what serves: "serving" is Chroma, "none" the exact scan
and turns, trials (1 per number of users), queries, seeds.
"""

import argparse
import itertools
import json
import random
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seal_agent.memory import Memory
from seal_agent.protocols import Vectors
from seal_agent.testing import ScriptedModel
from seal_agent.types import Interaction

WORDS = 20_000
DIM = 384
BATCH = 1_000
SESSION = 20
ASKED = 4
INDEX_SECONDS = 600.0


class RandomVectors:
    """A vector of length 1 for each text, drawn from a table by the text's hash."""

    id = "random-384"
    dim = DIM

    def __init__(self, seed: int) -> None:
        table = np.random.default_rng(seed).standard_normal((1 << 16, DIM)).astype(np.float32)
        self._table = table / np.linalg.norm(table, axis=1, keepdims=True)

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows: Vectors = self._table[[zlib.crc32(text.encode()) % len(self._table) for text in texts]]
        return rows


def make_turns(count: int, seed: int) -> list[str]:
    """Sentences of 6 to 30 words, the n-th word 1/n as frequent as the first."""
    chooser = random.Random(seed)
    words = [f"w{number:05}" for number in range(WORDS)]
    weights = list(itertools.accumulate(1 / (number + 1) for number in range(WORDS)))
    return [" ".join(chooser.choices(words, cum_weights=weights, k=chooser.randint(6, 30))) for _ in range(count)]


def measure(folder: Path, turns: Sequence[str], users: int, queries: int, seed: int) -> dict[str, Any]:  # Any: JSON
    with Memory.open(folder, model=ScriptedModel({}), embedder=RandomVectors(seed)) as memory:
        scopes = [memory.scope(user=f"user-{number}") for number in range(users)]
        share = len(turns) // users
        began = time.perf_counter()
        for number, scope in enumerate(scopes):
            theirs = turns[number * share : (number + 1) * share]
            for start in range(0, len(theirs), BATCH):
                batch = enumerate(theirs[start : start + BATCH], start)
                scope.add_many([Interaction(messages=text, session=f"s{place // SESSION}") for place, text in batch])
        added = time.perf_counter() - began
        print(f"{users} users: {len(turns)} turns in {added:.0f} s", file=sys.stderr, flush=True)
        for scope in scopes:
            scope.search("w00100 w00200")
        index = memory.wait_for_index(INDEX_SECONDS)
        chooser = random.Random(seed)
        seconds: list[float] = []
        hits = 0
        processor = time.process_time()
        for _ in range(queries):
            place = chooser.randrange(share * users)
            text = turns[place]
            words = sorted(text.split(), reverse=True)[:ASKED]
            began = time.perf_counter()
            found = scopes[place // share].search(" ".join(words), 10)
            seconds.append(time.perf_counter() - began)
            hits += any(hit.text == text for hit in found)
        return {
            "add_many_per_s": round(len(turns) / added, 1),
            "p50_ms": round(1e3 * float(np.percentile(seconds, 50)), 2),
            "p95_ms": round(1e3 * float(np.percentile(seconds, 95)), 2),
            "cpu_ms": round(1e3 * (time.process_time() - processor) / queries, 2),
            "found": round(100 * hits / queries, 1),
            "index": index.state,
        }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="search_scale", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=100_000)
    parser.add_argument("--users", default="1,100", help="numbers of users among whom the turns are shared out, by comma")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="5,000 turns, one user")
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    options = parser.parse_args(arguments)
    count, users = (5_000, [1]) if options.quick else (options.turns, [int(part) for part in options.users.split(",")])
    turns = make_turns(count, options.seed)
    figures: dict[str, Any] = {}  # Any: JSON
    for number in users:
        with tempfile.TemporaryDirectory() as folder:
            figures[f"users_{number}"] = measure(Path(folder), turns, number, options.queries, options.seed)
        print(f"{number} users: {figures[f'users_{number}']}")
    if options.json:
        print(json.dumps(figures | {"turns": count, "queries": options.queries, "trials": 1, "seeds": [options.seed]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
