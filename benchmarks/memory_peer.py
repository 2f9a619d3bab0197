"""One store under `memory_peers.py`'s load, in a process and an environment of its own: seal-agent, mem0 or LangChain's Chroma store.

    python memory_peer.py SYSTEM WORK FOLDER SINGLE MINUTES

WORK holds the turns, questions and vectors; FOLDER is the store's, and remembers how far it is: a process that runs out of MINUTES ends,
and the next one goes on. Prints one JSON object on the last line. Runs as a file, imports nothing of this repository but the system asked
for, and gives every system the same table of vectors in place of an embedder.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

K = 10
BATCH = 1_000
BLOCK = 100
"""Single adds between two looks at the clock."""
Turn = dict[str, Any]  # Any: JSON; user, session, at, role, name, text, id


class Vectors:
    """A table in place of an embedder; the file is mapped, so that it counts as nobody's memory."""

    id = "precomputed"

    def __init__(self, work: Path) -> None:
        self._rows = {text.strip(): row for row, text in enumerate(json.loads((work / "texts.json").read_text(encoding="utf-8")))}
        self._vectors = np.load(work / "vectors.npy", mmap_mode="r")
        self.dim = int(self._vectors.shape[1])

    def embed(self, texts: Sequence[str], *_: object) -> Any:  # Any: an array for one system, lists of numbers for the others
        return np.stack([self._vectors[self._rows[text.strip()]] for text in texts]) if texts else np.zeros((0, self.dim), dtype=np.float32)


class Store(Protocol):
    """What is asked of every system. `add_batch` is None where there is nothing but single adds."""

    add_batch: Callable[[Sequence[Turn]], object] | None

    def add(self, turn: Turn) -> object: ...

    def search(self, user: str, query: str) -> list[str]:
        """Ids of the `K` turns of this user that fit best, best first."""

    def close(self) -> None: ...


class SealAgent:
    """`Memory.scope(user=...)`, with each turn as a message of its session."""

    def __init__(self, folder: Path, vectors: Vectors) -> None:
        agent = importlib.import_module("seal_agent")
        self._interaction = agent.Interaction
        self._memory = agent.Memory.open(folder, embedder=vectors)
        self.add_batch: Callable[[Sequence[Turn]], object] | None = self._add_batch

    def add(self, turn: Turn) -> object:
        interaction = self._given(turn)
        return self._memory.scope(user=turn["user"]).add(**interaction)

    def _add_batch(self, turns: Sequence[Turn]) -> None:
        for user, theirs in by_user(turns):
            self._memory.scope(user=user).add_many([self._interaction(**self._given(turn)) for turn in theirs])

    def _given(self, turn: Turn) -> dict[str, Any]:  # Any: the arguments of `Scope.add`
        message = {"role": turn["role"], "content": turn["text"], "name": turn["name"]}
        return {"messages": [message], "session": turn["session"], "at": datetime.fromisoformat(turn["at"]), "id": turn["id"]}

    def search(self, user: str, query: str) -> list[str]:
        return [hit.episode_id for hit in self._memory.scope(user=user).search(query, K)]

    def close(self) -> None:
        self._memory.close()


class Mem0:
    """`Memory.add(infer=False)`, no language model, Chroma, its own defaults otherwise. Its only way to add is one by one."""

    add_batch: Callable[[Sequence[Turn]], object] | None = None

    def __init__(self, folder: Path, vectors: Vectors) -> None:
        os.environ |= {"MEM0_TELEMETRY": "False", "MEM0_DIR": str(folder / "home"), "OPENAI_API_KEY": "none"}
        chroma = {"collection_name": "turns", "path": str(folder / "chroma")}
        config = {
            "vector_store": {"provider": "chroma", "config": chroma},
            "history_db_path": str(folder / "history.db"),
        }
        self._memory = importlib.import_module("mem0").Memory.from_config(config)
        self._memory.embedding_model.embed = lambda text, *_: vectors.embed([text])[0].tolist()
        self._memory.embedding_model.embed_batch = lambda texts, *_: vectors.embed(texts).tolist()

    def add(self, turn: Turn) -> object:
        message = {"role": turn["role"], "content": turn["text"], "name": turn["name"]}
        return self._memory.add([message], user_id=turn["user"], metadata={"turn": turn["id"]}, infer=False)

    def search(self, user: str, query: str) -> list[str]:
        found = self._memory.search(query, top_k=K, filters={"user_id": user})
        return [one["metadata"]["turn"] for one in found["results"]]

    def close(self) -> None:
        pass


class LangChainChroma:
    """`Chroma.add_texts` and `similarity_search` with the user as a filter."""

    def __init__(self, folder: Path, vectors: Vectors) -> None:
        base = importlib.import_module("langchain_core.embeddings").Embeddings

        class Table(base):  # type: ignore[misc, valid-type]  # its class is known only in the environment that has it
            def embed_documents(self, texts: list[str]) -> Any:  # Any: as `Vectors.embed`
                return vectors.embed(texts).tolist()

            def embed_query(self, text: str) -> Any:  # Any: as above
                return vectors.embed([text])[0].tolist()

        chroma = importlib.import_module("langchain_chroma").Chroma
        self._store = chroma(collection_name="turns", embedding_function=Table(), persist_directory=str(folder / "chroma"))
        self.add_batch: Callable[[Sequence[Turn]], object] | None = self._add_batch

    def add(self, turn: Turn) -> object:
        return self._add_batch([turn])

    def _add_batch(self, turns: Sequence[Turn]) -> object:
        notes = [{"user": turn["user"], "turn": turn["id"]} for turn in turns]
        return self._store.add_texts([turn["text"] for turn in turns], metadatas=notes)

    def search(self, user: str, query: str) -> list[str]:
        return [found.metadata["turn"] for found in self._store.similarity_search(query, k=K, filter={"user": user})]

    def close(self) -> None:
        pass


SYSTEMS: dict[str, Callable[[Path, Vectors], Store]] = {"seal_agent": SealAgent, "mem0": Mem0, "langchain_chroma": LangChainChroma}


def by_user(turns: Iterable[Turn]) -> list[tuple[str, list[Turn]]]:
    found: dict[str, list[Turn]] = {}
    for turn in turns:
        found.setdefault(turn["user"], []).append(turn)
    return list(found.items())


def fill(store: Store, turns: Sequence[Turn], single: int, progress: Path, deadline: float) -> dict[str, Any]:  # Any: JSON
    """Add what is not there yet: the first `single` turns one by one, the others in batches where the system has such; note how far."""
    done: dict[str, Any] = {"turns": 0, "singles": 0, "single_s": 0.0, "batched": 0, "batch_s": 0.0}
    if progress.exists():
        done = json.loads(progress.read_text(encoding="utf-8"))
    while done["turns"] < len(turns) and time.monotonic() < deadline:
        start = done["turns"]
        batch = store.add_batch if start >= single else None
        end = min(start + (BLOCK if batch is None else BATCH), len(turns) if batch or store.add_batch is None else max(single, start + 1))
        began = time.perf_counter()
        if batch is None:
            for turn in turns[start:end]:
                store.add(turn)
        else:
            batch(turns[start:end])
        seconds = time.perf_counter() - began
        counted, spent = ("singles", "single_s") if batch is None else ("batched", "batch_s")
        done |= {"turns": end, counted: done[counted] + end - start, spent: done[spent] + seconds}
        progress.write_text(json.dumps(done), encoding="utf-8")
        print(f"{progress.parent.name}: {end} of {len(turns)} turns", file=sys.stderr, flush=True)
    return done


def ask(store: Store, questions: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:  # Any: JSON
    """Seconds and recall of each question; what the first search of a user reads once is not counted."""
    warm: set[str] = set()
    seconds: list[float] = []
    recalls: list[float] = []
    for question in questions:
        if question["user"] not in warm:
            store.search(question["user"], question["text"])
            warm.add(question["user"])
        began = time.perf_counter()
        found = store.search(question["user"], question["text"])
        seconds.append(time.perf_counter() - began)
        recalls.append(len(set(question["evidence"]).intersection(found)) / len(question["evidence"]))
    return seconds, recalls


def peak_mb() -> float:
    """The largest resident memory of this process so far, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    system, work, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    turns = json.loads((work / "turns.json").read_text(encoding="utf-8"))
    questions = json.loads((work / "questions.json").read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * float(sys.argv[5])
    store = SYSTEMS[system](folder / "store", Vectors(work))
    done = fill(store, turns, int(sys.argv[4]), folder / "progress.json", deadline)
    figures: dict[str, Any] = dict(done)  # Any: JSON
    if done["turns"] == len(turns):
        seconds, recalls = ask(store, questions)
        figures |= {
            "add_per_s": done["singles"] / done["single_s"],
            "batch_add_per_s": done["batched"] / done["batch_s"] if done["batched"] else None,
            "search_p50_ms": 1e3 * float(np.percentile(seconds, 50)),
            "search_p95_ms": 1e3 * float(np.percentile(seconds, 95)),
            "recall_at_10": 100 * float(np.mean(recalls)),
        }
    store.close()
    # Of all processes that took turns at this store: the one that only searched at the end needs less than those that filled it.
    figures["rss_mb"] = max(done.get("rss_mb", 0.0), peak_mb())
    (folder / "progress.json").write_text(json.dumps(done | {"rss_mb": figures["rss_mb"]}), encoding="utf-8")
    print(json.dumps(figures | {"disk_mb": megabytes(folder / "store")}))


if __name__ == "__main__":
    main()
