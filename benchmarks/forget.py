"""Forget, then read every byte: is anything left of what was forgotten?

    python -m benchmarks.forget [--quick] [--json] [--trials N] [--seed N]

One brain with a real Chroma index, that grows from trial to trial. Each trial records conversations, a secret among them in one of four
ways (a fact stated outright, a sentence between two others, a conversation of its own, the turns of one author), puts all vectors into
Chroma, forgets it in the way that goes with it, and then searches every file of the directory with code of its own, not with the
package's scan, for: each secret text whole, each id whole, each vector whole and by its first 40 bytes. The same search runs before, as a
control that it can find anything. The embedder is random projections seeded by the text: dense 384-dimensional vectors, no model.
`--quick` is 8 trials.

`--json` prints one object on the last line:
  trials              forgets
  hits                byte strings found afterwards, all trials and files together; 0 is the claim
  hits_by             the same by kind: text, id, vector
  found_before        trials in which the control found text, id and vector before
  back                attempts to bring it back by adding or remembering it again that were not refused or withheld; 0 is the claim
  unproven            receipts that did not call themselves proven
  seconds_p50         wall seconds of one forget, proof included
  directory_mb        size of the directory at the end
  seed

It does not look at freed blocks of the disk below the file system, nor at copies elsewhere.
"""

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from seal_agent.config import Settings
from seal_agent.errors import ForgottenError
from seal_agent.forgetting.records import Receipt
from seal_agent.memory import Memory
from seal_agent.protocols import Vectors
from seal_agent.scope import Scope
from seal_agent.testing import ScriptedModel

DIMENSIONS = 384
HEAD = 40
"""Bytes of a vector that count as a find: ten numbers."""
FILLERS = 6
WAYS = ("fact", "sentence", "conversation", "author")
WORDS = ("parcel", "kettle", "window", "river", "garden", "ticket", "printer", "lamp", "invoice", "bridge", "violin", "market", "drawer")


class Projections:
    """Random unit vectors seeded by the text."""

    id = "random-projections-384"
    dim = DIMENSIONS

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows = [
            np.random.default_rng(int.from_bytes(hashlib.sha256(t.encode()).digest()[:8], "big")).standard_normal(DIMENSIONS) for t in texts
        ]
        vectors = np.array(rows, dtype=np.float32).reshape(len(texts), DIMENSIONS)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def open_brain(folder: Path) -> Memory:
    """Every scope is large enough for Chroma."""
    settings = Settings.load(None, retrieval={"exact_scan_below": 1})
    return Memory.open(folder, settings=settings, model=ScriptedModel({}), embedder=Projections())


def sentence(order: random.Random, mark: str) -> str:
    return f"Please note that the {order.choice(WORDS)} of {mark} goes with the {order.choice(WORDS)} from {order.randint(2, 99)} on."


def plant(scope: Scope, way: str, secret: str, order: random.Random) -> tuple[list[str], list[str], list[str]]:
    """Record the secret; return (ids to forget it by, texts that must be gone, ids that must be gone)."""
    around = [sentence(order, f"box {order.randint(0, 10**6)}") for _ in range(2)]
    if way == "fact":
        fact = scope.remember(secret)
        return [fact.id], [secret], [fact.id]
    if way == "sentence":
        scope.add([{"role": "user", "content": f"{around[0]} {secret} {around[1]}"}, {"role": "assistant", "content": "Noted."}])
        fact = scope.remember(secret, kind="profile")
        return [fact.id], [secret], [fact.id]
    if way == "conversation":
        episode = scope.add([{"role": "user", "content": secret}, {"role": "assistant", "content": f"So: {secret.lower()}"}])
        return [episode.id], [secret, secret.lower()], [episode.id]
    author = f"author-{order.randint(0, 10**9)}"
    turns = [{"role": "user", "name": author, "content": secret}, {"role": "user", "name": "team", "content": around[0]}]
    scope.add(turns)
    return [author], [secret], [author]


def vectors_of(memory: Memory, texts: Sequence[str]) -> list[bytes]:
    """The stored vectors of everything that says one of the texts: what is embedded is more than the words, who said them for one."""
    with memory._parts.ledger.read() as conn:
        rows = conn.exec_driver_sql("SELECT text, vector FROM entries WHERE vector IS NOT NULL").all()
    return [vector for text, vector in rows if any(secret in text for secret in texts)]


def occurrences(folder: Path, texts: Sequence[str], ids: Sequence[str], vectors: Sequence[bytes]) -> Counter[str]:
    """How many of the byte strings occur in how many files, by kind."""
    wanted = [("text", text.encode()) for text in texts] + [("id", id.encode()) for id in ids]
    wanted += [("vector", form) for vector in vectors for form in (vector, vector[:HEAD])]
    found: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            found.update(kind for kind, needle in wanted if needle in content)
    return found


def comes_back(scope: Scope, secret: str) -> int:
    """Try to bring it back; count what got through."""
    through = 0
    for attempt in (lambda: scope.add(secret), lambda: scope.remember(secret)):
        try:
            attempt()
            through += 1
        except ForgottenError:
            pass
    return through


def trial(memory: Memory, number: int, order: random.Random) -> dict[str, Any]:
    way = WAYS[number % len(WAYS)]
    scope = memory.scope(user=f"user{number % 3}")
    for _ in range(FILLERS):
        scope.add(
            [{"role": "user", "content": sentence(order, f"shelf {order.randint(0, 10**6)}")}, {"role": "assistant", "content": "Sure."}]
        )
    secret = f"My private number is {order.randint(10**9, 10**10)} and my {order.choice(WORDS)} word is {order.getrandbits(64):016x}."
    named, texts, ids = plant(scope, way, secret, order)
    memory._parts.searcher.rebuild_index()
    vectors = vectors_of(memory, texts)
    before = occurrences(memory.folder, texts, ids, vectors)
    started = time.perf_counter()
    receipt: Receipt = scope.forget(author=named[0], confirm=True) if way == "author" else scope.forget(*named)
    seconds = time.perf_counter() - started
    back = comes_back(scope, secret)
    after = occurrences(memory.folder, texts, ids, vectors)
    control = before["text"] > 0 and before["id"] > 0 and before["vector"] > 0
    return {"after": after, "control": control, "seconds": seconds, "back": back, "proven": receipt.proven}


def measure(trials: int, seed: int, say: Any) -> dict[str, Any]:
    order = random.Random(seed)
    results = []
    with tempfile.TemporaryDirectory() as folder, open_brain(Path(folder) / "brain") as memory:
        for number in range(trials):
            results.append(trial(memory, number, order))
            say(f"{number + 1} of {trials}: {sum(results[-1]['after'].values())} hits, {results[-1]['seconds']:.1f} s")
        size = sum(path.stat().st_size for path in memory.folder.rglob("*") if path.is_file())
    hits = sum((result["after"] for result in results), Counter[str]())
    return {
        "trials": trials,
        "hits": sum(hits.values()),
        "hits_by": {kind: hits[kind] for kind in ("text", "id", "vector")},
        "found_before": sum(result["control"] for result in results),
        "back": sum(result["back"] for result in results),
        "unproven": sum(not result["proven"] for result in results),
        "seconds_p50": round(median(result["seconds"] for result in results), 3),
        "directory_mb": round(size / 1e6, 2),
        "seed": seed,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Forget, then search every byte of the brain directory.")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    trials = given.trials or (8 if given.quick else 50)
    found = measure(trials, given.seed, lambda line: print(line, file=sys.stderr))
    if given.json:
        print(json.dumps(found))
    else:
        for key, value in found.items():
            print(f"{key:14} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
