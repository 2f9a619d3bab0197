"""A test whose optional library is absent skips on a developer's machine and fails where changes are judged."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NEEDS_A_LIBRARY = {
    "whole_module": "import pytest\npytest.importorskip('no_such_library')\ndef test_it() -> None: ...\n",
    "one_test": "import pytest\ndef test_it() -> None:\n    pytest.importorskip('no_such_library')\n",
    "a_fixture": "import pytest\n@pytest.fixture\ndef it():\n    pytest.importorskip('no_such_library')\ndef test_it(it) -> None: ...\n",
}
WITHOUT_THE_LIBRARY = """
import pytest
@pytest.fixture(scope="session", autouse=True)
def quick_ledgers(): ...
@pytest.fixture(scope="session", autouse=True)
def patient_probe(): ...
"""
"""In the place of the fixtures that every test has, which would load half of seal_agent."""
OTHER_REASON = "import pytest\n@pytest.mark.skip(reason='not on this system')\ndef test_it() -> None: ...\n"


@pytest.fixture(scope="module")
def summaries(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, list[str]]:
    """How pytest sums up one test file of each kind under our conftest, by whether it runs in CI."""
    folder = tmp_path_factory.mktemp("samples")
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    samples = folder / "samples"
    samples.mkdir()
    (samples / "conftest.py").write_text(WITHOUT_THE_LIBRARY)
    for name, source in (NEEDS_A_LIBRARY | {"other_reason": OTHER_REASON}).items():
        (samples / f"test_{name}.py").write_text(source)
    return {ci: summary(folder, ci=ci) for ci in (True, False)}


def summary(folder: Path, *, ci: bool) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | ({"CI": "true"} if ci else {})
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--disable-plugin-autoload",
        "-p",
        "no:cacheprovider",
        "-ra",
        "--continue-on-collection-errors",
    ]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode != 0) == ci, done.stdout
    return [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR", "SKIPPED"))]


def one_of(lines: list[str], name: str) -> str:
    (line,) = (line for line in lines if f"test_{name}.py" in line)
    return line


@pytest.mark.parametrize("needs", NEEDS_A_LIBRARY)
def test_a_missing_library_fails_in_ci(summaries: dict[bool, list[str]], needs: str) -> None:
    line = one_of(summaries[True], needs)
    assert line.startswith(("FAILED", "ERROR"))
    assert "CI installs every optional library" in line


@pytest.mark.parametrize("needs", NEEDS_A_LIBRARY)
def test_a_missing_library_skips_elsewhere(summaries: dict[bool, list[str]], needs: str) -> None:
    line = one_of(summaries[False], needs)
    assert line.startswith("SKIPPED")
    assert "could not import 'no_such_library'" in line


def test_any_other_reason_to_skip_is_left_alone_in_ci(summaries: dict[bool, list[str]]) -> None:
    assert one_of(summaries[True], "other_reason").startswith("SKIPPED")
