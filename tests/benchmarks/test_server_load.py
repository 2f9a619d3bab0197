"""The load benchmark prints what its docstring says, from a server that really ran."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_short_run_prints_every_key_and_no_request_failed() -> None:
    command = [sys.executable, "-m", "benchmarks.server_load", "--seconds", "1", "--trials", "1", "--connections", "4", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert {"add_per_s", "search_per_s", "p95_ms", "errors", "rss_growth", "rss_growth_search", "bytes_per_turn", "trials", "seed"} <= set(
        found
    )
    assert found["errors"] == 0
    assert found["add_per_s"] > 0
    assert found["search_per_s"] > 0
