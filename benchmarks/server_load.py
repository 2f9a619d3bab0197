"""Requests per second of the server on loopback: recording and searching, with a key, over one brain on disk.

    python -m benchmarks.server_load [--quick] [--json] [--seconds N] [--connections N] [--trials N] [--seed N]

The server runs in a process of its own, with HashEmbedder and a scripted model in the stead of real ones: what is measured is HTTP, keys,
checks, the ledger (one transaction on disk for each `add`) and the search, not a neural network. The load comes from `wrk`
(`apt-get install wrk`, `brew install wrk`), else from httpx in this process, which is slower itself: `generator` says which, and figures of
the two are not to be compared. Each trial is a new brain of `episodes` recorded ones, a warm-up, then `add`, then `search`, each for
`seconds`. Both share the machine's cores with the generator. Then the server is ended and a new one serves the same brain for the length of
a warm-up: what the first one holds beyond that is what the load left behind in it, and not what the brain needs that the load made.

`--json` prints one object on the last line:
  add_per_s, search_per_s    answered requests per second, medians over the trials
  p95_ms                     95th percentile of the latency in milliseconds, of `add` and of `search`: {"add": ..., "search": ...}
  errors                     answers other than 2xx, and connections that failed, over all trials
  rss_growth                 memory (RSS) of the server after the load over that of a new one on the same brain, minus 1; the largest
                             of the trials
  rss_growth_search          its memory after `search`, which records nothing, over that before, minus 1; the largest of the trials
  rss_mb                     of the trial with the largest rss_growth, in MB: after the warm-up, once what was added is indexed, after the
                             load, and of the new server
  bytes_per_turn             what the new server holds above the first one after its warm-up, per turn that was recorded between; median
  generator, seconds, connections, episodes, trials, seed, spread, processor    what ran; spread is (largest - smallest) / median of each

It says nothing about chat, whose time is the model's, and nothing about a real embedder, whose time comes on top of both.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil

from seal_agent.config import Settings
from seal_agent.memory import Memory
from seal_agent.testing import HashEmbedder, ScriptedModel
from seal_agent.types import Interaction, ScopeId

INSTALL = "apt-get install wrk, or brew install wrk"
WARM_UP_SECONDS = 2.0
INDEXED_SECONDS = 120.0
"""So long at most is waited for the index to take in what was added."""
IDLE_PERCENT = 5.0
"""Of one core: what a server that waits for requests may use."""
PREPARED = 1_000
VARIANTS = 100
WORDS = (
    "parcel",
    "address",
    "lentils",
    "invoice",
    "bicycle",
    "doorbell",
    "Rotterdam",
    "metric",
    "Tuesday",
    "refund",
    "blue",
    "window",
    "ticket",
    "piano",
    "winter",
    "garden",
)
LUA = """
wrk.method = "POST"
wrk.body = '%s'
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer %s"
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{"requests": %%d, "us": %%d, "p95_us": %%d, "errors": %%d}\\n', summary.requests, summary.duration,
    latency:percentile(95), e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One run of requests."""

    answered: int
    per_s: float
    p95_ms: float
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    add: Load
    search: Load
    warmed: int
    """RSS in bytes, as all that follow."""
    indexed: int
    after: int
    fresh: int
    turns: int
    """Recorded between `warmed` and `fresh`."""

    @property
    def growth(self) -> float:
        return self.after / self.fresh - 1

    @property
    def growth_by_searching(self) -> float:
        return self.after / self.indexed - 1

    @property
    def bytes_per_turn(self) -> float:
        return (self.fresh - self.warmed) / max(1, self.turns)


def serve(folder: Path) -> None:
    """The server's process: prepare the brain (the ids keep that from being done twice), say where it listens, serve until it is ended."""
    from seal_agent.server import run

    settings = Settings.load(None, server={"port": 0, "requests_per_minute": 0, "nights": False})
    with Memory.open(folder, settings=settings, model=ScriptedModel({}), embedder=HashEmbedder()) as memory:
        _, token = memory.keys.create(ScopeId(user="ana"))
        memory.scope(user="ana").add_many([Interaction(messages=sentence(n), id=f"prepared-{n}") for n in range(PREPARED)])
        run.serve(memory, settings.server, ScopeId(), lambda at: print(json.dumps({"url": at.url, "token": token}), flush=True))


def sentence(seed: int) -> str:
    """Twelve words of 1,600, so that a search finds some of the episodes and not all."""
    chance = random.Random(seed)
    return " ".join(f"{chance.choice(WORDS)}{chance.randrange(VARIANTS)}" for _ in range(12))


class Served:
    """A server in a process of its own, and the loads put on it."""

    def __init__(self, process: psutil.Process, url: str, token: str, options: argparse.Namespace, seed: int) -> None:
        self._process = process
        self._url = url
        self._token = token
        self._connections = options.connections
        self._bodies = {
            "episodes": {"messages": [{"role": "user", "content": sentence(seed)}, {"role": "assistant", "content": "Noted."}]},
            "search": {"query": sentence(seed + 1), "k": 8},
        }

    def load(self, path: str, seconds: float) -> Load:
        return put_load(f"{self._url}/memory/{path}", self._token, json.dumps(self._bodies[path]), seconds, self._connections)

    def warm_up(self) -> int:
        """Put a little of each load; return the turns it recorded."""
        added = self.load("episodes", WARM_UP_SECONDS)
        self.load("search", WARM_UP_SECONDS)
        return 2 * added.answered

    def wait_until_indexed(self) -> None:
        """Let the server finish what it does after answering: wait until it has used next to no processor time for a second."""
        deadline = time.monotonic() + INDEXED_SECONDS
        while self._process.cpu_percent(1.0) > IDLE_PERCENT:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the server was still busy {INDEXED_SECONDS:.0f} s after the last request")

    @property
    def rss(self) -> int:
        return int(self._process.memory_info().rss)


@contextmanager
def server(folder: str, options: argparse.Namespace, seed: int) -> Iterator[Served]:
    command = [sys.executable, "-m", "benchmarks.server_load", "--serve", folder]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield Served(psutil.Process(process.pid), said["url"], said["token"], options, seed)
    finally:
        process.terminate()
        process.wait(60)


def run_trial(options: argparse.Namespace, seed: int) -> Trial:
    with tempfile.TemporaryDirectory() as folder:
        with server(folder, options, seed) as first:
            first.warm_up()
            first.wait_until_indexed()
            warmed = first.rss
            add = first.load("episodes", options.seconds)
            first.wait_until_indexed()
            first.load("search", WARM_UP_SECONDS)  # the first search after an add reads what is new
            indexed = first.rss
            search = first.load("search", options.seconds)
            after = first.rss
        with server(folder, options, seed) as new:
            more = new.warm_up()
            new.wait_until_indexed()
            return Trial(add=add, search=search, warmed=warmed, indexed=indexed, after=after, fresh=new.rss, turns=2 * add.answered + more)


def put_load(url: str, token: str, body: str, seconds: float, connections: int) -> Load:
    if shutil.which("wrk"):
        return wrk(url, token, body, seconds, connections)
    return asyncio.run(httpx_load(url, token, body, seconds, connections))


def wrk(url: str, token: str, body: str, seconds: float, connections: int) -> Load:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LUA % (body, token))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", "-s", script.name, url]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    told = json.loads(out.strip().splitlines()[-1])
    return Load(answered=told["requests"], per_s=told["requests"] / told["us"] * 1e6, p95_ms=told["p95_us"] / 1000, errors=told["errors"])


async def httpx_load(url: str, token: str, body: str, seconds: float, connections: int) -> Load:
    took: list[float] = []
    errors = 0
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    end = time.perf_counter() + seconds

    async def ask(client: httpx.AsyncClient) -> None:
        nonlocal errors
        while (began := time.perf_counter()) < end:
            try:
                errors += not (await client.post(url, content=body)).is_success
            except httpx.HTTPError:
                errors += 1
            took.append(time.perf_counter() - began)

    async with httpx.AsyncClient(headers=headers, timeout=30, limits=httpx.Limits(max_connections=connections)) as client:
        await asyncio.gather(*(ask(client) for _ in range(connections)))
    return Load(answered=len(took), per_s=len(took) / seconds, p95_ms=sorted(took)[int(0.95 * (len(took) - 1))] * 1000, errors=errors)


def spread(values: Sequence[float]) -> float | None:
    return (max(values) - min(values)) / median(values) if len(values) > 1 else None


def figures(trials: Sequence[Trial], options: argparse.Namespace) -> dict[str, Any]:  # Any: as the docstring says
    worst = max(trials, key=lambda trial: trial.growth)
    adds, searches = [trial.add.per_s for trial in trials], [trial.search.per_s for trial in trials]
    return {
        "add_per_s": round(median(adds), 1),
        "search_per_s": round(median(searches), 1),
        "p95_ms": {
            "add": round(median(trial.add.p95_ms for trial in trials), 1),
            "search": round(median(trial.search.p95_ms for trial in trials), 1),
        },
        "errors": sum(trial.add.errors + trial.search.errors for trial in trials),
        "rss_growth": round(worst.growth, 4),
        "rss_growth_search": round(max(trial.growth_by_searching for trial in trials), 4),
        "rss_mb": {name: round(getattr(worst, name) / 1e6, 1) for name in ("warmed", "indexed", "after", "fresh")},
        "bytes_per_turn": round(median(trial.bytes_per_turn for trial in trials)),
        "generator": "wrk" if shutil.which("wrk") else "httpx",
        "seconds": options.seconds,
        "connections": options.connections,
        "episodes": PREPARED,
        "trials": len(trials),
        "seed": options.seed,
        "spread": {"add": spread(adds), "search": spread(searches)},
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one trial of three seconds each")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve)
        return 0
    if options.quick:
        options.seconds, options.trials = 3.0, 1
    if not shutil.which("wrk"):
        print(f"wrk is not installed ({INSTALL}); httpx puts the load instead", file=sys.stderr)
    trials = [run_trial(options, options.seed + number) for number in range(options.trials)]
    found = figures(trials, options)
    print(json.dumps(found) if options.json else "\n".join(f"{name:18} {value}" for name, value in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
