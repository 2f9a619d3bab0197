"""A test whose optional library is absent skips on a developer's machine and fails where changes are judged."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NEEDS_A_LIBRARY = {
    "a whole module": "import pytest\npytest.importorskip('no_such_library')\ndef test_it() -> None: ...\n",
    "one test": "import pytest\ndef test_it() -> None:\n    pytest.importorskip('no_such_library')\n",
    "a fixture": "import pytest\n@pytest.fixture\ndef it():\n    pytest.importorskip('no_such_library')\ndef test_it(it) -> None: ...\n",
}


def outcome(folder: Path, source: str, *, ci: bool) -> tuple[int, str]:
    """Exit code and output of pytest over one test file under our conftest."""
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    (folder / "test_sample.py").write_text(source)
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | ({"CI": "true"} if ci else {})
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # none is needed, and loading them takes longer than the test
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-ra"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout


@pytest.mark.parametrize("needs", NEEDS_A_LIBRARY)
def test_a_missing_library_fails_in_ci(tmp_path: Path, needs: str) -> None:
    code, said = outcome(tmp_path, NEEDS_A_LIBRARY[needs], ci=True)
    assert code != 0
    assert "could not import 'no_such_library'" in said
    assert "1 skipped" not in said


@pytest.mark.parametrize("needs", ["one test", "a fixture"])
def test_a_missing_library_skips_elsewhere(tmp_path: Path, needs: str) -> None:
    code, said = outcome(tmp_path, NEEDS_A_LIBRARY[needs], ci=False)
    assert (code, "1 skipped" in said) == (0, True)


def test_any_other_reason_to_skip_is_left_alone_in_ci(tmp_path: Path) -> None:
    code, said = outcome(tmp_path, "import pytest\n@pytest.mark.skip(reason='not on this system')\ndef test_it() -> None: ...\n", ci=True)
    assert (code, "1 skipped" in said) == (0, True)
