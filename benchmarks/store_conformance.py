"""LangGraph's own store tests, from the source distributions of its packages, pointed at `SealStore`.

    python -m benchmarks.store_conformance [--json] [--quick] [--sdists FOLDER]

LangGraph ships no conformance suite for stores, but two source distributions carry the tests of their stores. Both are fetched with pip
(or taken from FOLDER), the store's class is replaced by `SealStore` (`store_conformance_plugin.py`), and the tests run unchanged. Left out
by name are tests of the replaced class's internals: they look into SQL that we do not have. `--quick` leaves out the tests of time to live,
which sleep, and the two that put 6,000 items one by one.

`--json` prints one object on the last line, per suite (`langgraph-checkpoint`, `langgraph-checkpoint-sqlite`, and the tests of time to live
of the latter, `langgraph-checkpoint-sqlite-ttl`):
  passed, failed, skipped, total    test cases; a case that fails in its set-up has failed
  version                           of the source distribution
  failures                          which cases failed
and `seconds`, `python`. Nothing is random but the tests' own seeds; one run is one trial.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.store_conformance_plugin import OUTCOMES

ROOT = Path(__file__).parents[1]
NEEDED = ("pytest-mock==3.17.0", "pytest-retry==1.7.0")
"""Plugins that the suites use; put beside the tests, not into the environment."""
INTERNAL = ("escape_glob_literal", "namespace_match_pattern", "prefix_uses_indexable_condition", "nonnull_migrations")
SLOW = ("large_batches",)
SQLITE_VERSION = "3.1.2"
TIMEOUT = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Some test files of one source distribution."""

    name: str
    package: str
    version: str
    files: tuple[str, ...]
    sleeps: bool = False


def suites() -> list[Suite]:
    """The suites; that of langgraph-checkpoint at the version that is installed."""
    sqlite = "langgraph-checkpoint-sqlite"
    core = "langgraph-checkpoint"
    return [
        Suite(name=core, package=core, version=version(core), files=("test_store.py",)),
        Suite(name=sqlite, package=sqlite, version=SQLITE_VERSION, files=("test_store.py", "test_async_store.py")),
        Suite(name=f"{sqlite}-ttl", package=sqlite, version=SQLITE_VERSION, files=("test_ttl.py",), sleeps=True),
    ]


def pip(*arguments: str | Path) -> None:
    """Run pip; exit with its own words when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"pip {' '.join(map(str, arguments))} failed:\n{done.stderr[-2000:]}\nOffline? Pass --sdists FOLDER.")


def tests_of(suite: Suite, sdists: Path, work: Path) -> Path:
    """Unpack the tests of one source distribution, fetched first if it is not in `sdists`; return the folder that holds `tests`."""
    archive = sdists / f"{suite.package.replace('-', '_')}-{suite.version}.tar.gz"
    if not archive.exists():
        pip("download", "-q", "--no-deps", "--no-binary", suite.package, f"{suite.package}=={suite.version}", "-d", sdists)
    folder = work / suite.name
    with tarfile.open(archive) as packed:
        inside = [member for member in packed.getmembers() if "/tests/" in member.name and member.isfile()]
        packed.extractall(folder, members=inside, filter="data")
    shutil.move(folder / archive.name.removesuffix(".tar.gz") / "tests", folder / "tests")
    return folder


def run(suite: Suite, folder: Path, plugins: Path, quick: bool) -> dict[str, object]:
    """Run one suite in a process of its own and count."""
    left_out = " and ".join(f"not {name}" for name in (*INTERNAL, *(SLOW if quick else ())))
    outcomes_file = folder / "outcomes.json"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "benchmarks.store_conformance_plugin",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    command += ["-o", "asyncio_mode=auto", "-W", "ignore", "-k", left_out, *(f"tests/{name}" for name in suite.files)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(plugins), str(ROOT)]), OUTCOMES: str(outcomes_file)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    if not outcomes_file.exists():
        raise SystemExit(f"{suite.name} did not run:\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
    outcomes: dict[str, str] = json.loads(outcomes_file.read_text(encoding="utf-8"))
    if not outcomes:
        raise SystemExit(f"{suite.name} ran no test:\n{done.stdout[-3000:]}")
    counts = Counter(outcomes.values())
    failures = sorted(name for name, outcome in outcomes.items() if outcome == "failed")
    figures: dict[str, object] = {outcome: counts[outcome] for outcome in ("passed", "failed", "skipped")}
    return figures | {"total": len(outcomes), "version": suite.version, "failures": failures}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    parser.add_argument("--quick", action="store_true", help="leave out the tests that sleep or put thousands of items")
    parser.add_argument("--sdists", type=Path, help="folder with the source distributions, fetched into it if they are not there")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as work:
        plugins = Path(work) / "plugins"
        pip("install", "-q", "--no-deps", "--target", plugins, *NEEDED)
        sdists = options.sdists or Path(work) / "sdists"
        sdists.mkdir(parents=True, exist_ok=True)
        chosen = [suite for suite in suites() if not (options.quick and suite.sleeps)]
        figures: dict[str, object] = {}
        for suite in chosen:
            figures[suite.name] = counted = run(suite, tests_of(suite, sdists, Path(work)), plugins, options.quick)
            if not options.json:
                print(f"{suite.name} {suite.version}: {counted['passed']} of {counted['total']} passed, {counted['skipped']} skipped")
                for name in counted["failures"] if isinstance(counted["failures"], list) else ():
                    print(f"  failed: {name}")
    if options.json:
        print(json.dumps(figures | {"seconds": round(time.perf_counter() - started, 1), "python": platform.python_version()}))


if __name__ == "__main__":
    main()
