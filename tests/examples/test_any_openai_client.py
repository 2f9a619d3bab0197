"""The example runs as its reader would run it, and shows what it says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_any_openai_client_gets_a_memory_by_changing_its_base_url() -> None:
    command = [sys.executable, "examples/any_openai_client.py"]
    done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, done.stderr[-2000:]
    said = dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)
    assert "seal-agent" in said["models"]
    assert "rests on 0" not in said["answer"] + said["streamed"]
    assert "rests on 0 remembered" in said["bruno"]
    assert "rests on 0 remembered" in said["no memory"]
