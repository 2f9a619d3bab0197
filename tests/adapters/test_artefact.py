"""An adapter is published whole or not at all, whatever happens in between, and a name is used once."""

import errno
import multiprocessing
import os
import random
import shutil
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seal_agent.adapters.artefact import Manifest, new_stage, publish, remove, sweep, verify
from seal_agent.errors import IntegrityError, StoreError, StoreFullError, UsageError
from seal_agent.testing import InstantTrainer, ScriptedModel
from seal_agent.types import Example, Turn, silent
from tests.adapters.forge import BASE, good, manifest_of, names, safetensors, stage, tensors
from tests.adapters.processes import publish_to_a_full_disk, publish_until_killed

KILLS = 15
MOST_KILLS = 300
"""Until one fell into a publication."""
SITES = ("mkdir", "open", "write", "fsync", "rename")
"""The system calls of a publication, each of which can fail at each of its occurrences."""


def test_a_published_folder_holds_four_private_files_and_the_stage_is_gone(tmp_path: Path) -> None:
    staged = stage(tmp_path / "staged")
    (staged / "optimizer.pt").write_bytes(b"not for others")
    path = publish(staged, tmp_path / "adapters", manifest_of(staged))
    assert sorted(file.name for file in path.iterdir()) == [
        "MANIFEST.json",
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {0o600}
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not staged.exists()
    assert names(tmp_path / "adapters") == [path.name]


def test_the_card_is_filled_in_with_numbers_only(tmp_path: Path) -> None:
    card = (good(tmp_path) / "README.md").read_text(encoding="utf-8")
    head = card.split("---")[1]
    assert all(line in head for line in ('base_model: "some/model"', "library_name: peft", "- lora", "- seal-agent"))
    assert "1 facts; items of study material by kind: 8 question, 2 rewrite." in card
    assert "rank 4, alpha 8" in card
    assert "PeftModel.from_pretrained" in card
    assert "More Information Needed" not in card


def test_what_the_instant_trainer_writes_is_published_verified_and_known(tmp_path: Path) -> None:
    asked = (Turn(role="user", content="Where does order QX-4471 ship to?"),)
    staged = new_stage(tmp_path)
    examples = [Example(prompt=asked, answer="Rotterdam", fact_id="f1")]
    InstantTrainer().train(examples, probes=(), out=staged, seed=0, progress=silent, should_stop=lambda: False)
    path = publish(staged, tmp_path, manifest_of(staged))
    assert verify(path, BASE).target_modules == ("q_proj",)
    model = ScriptedModel({})
    model.load_adapter(path.name, path)
    assert model.generate([asked], adapter=path.name)[0].text == "Rotterdam"


def test_every_byte_is_forced_to_the_disk_before_the_name_and_the_name_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged, order = stage(tmp_path / "staged"), []
    manifest = manifest_of(staged)
    root = tmp_path / "adapters"
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(handle: int) -> None:
        order.append(os.fstat(handle).st_ino)
        real_fsync(handle)

    def rename(source: Path, target: Path) -> None:
        order.append(0)
        real_rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "rename", rename)
        path = publish(staged, root, manifest)
    written = ["adapter_model.safetensors", "adapter_config.json", "README.md", "MANIFEST.json"]
    assert order == [*((path / name).stat().st_ino for name in written), path.stat().st_ino, 0, root.stat().st_ino]


def test_a_name_is_used_once(tmp_path: Path) -> None:
    path = good(tmp_path)
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    with pytest.raises(IntegrityError, match="a name is used once"):
        good(tmp_path)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert names(tmp_path) == [path.name]


def test_an_empty_folder_or_a_file_of_that_name_is_not_replaced(tmp_path: Path) -> None:
    ways: list[Callable[[Path], None]] = [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")]
    for number, occupy in enumerate(ways):
        root = tmp_path / str(number)
        staged = stage(root / "staged")
        manifest = manifest_of(staged)
        occupy(root / manifest.name)
        with pytest.raises(IntegrityError, match="a name is used once"):
            publish(staged, root, manifest)
        assert names(root) == [manifest.name]


def test_of_two_that_publish_one_name_at_once_one_wins(tmp_path: Path) -> None:
    outcomes: list[str] = []
    start = threading.Barrier(2)

    def publish_one(number: int) -> None:
        staged = stage(tmp_path / f"staged-{number}")
        manifest = manifest_of(staged)
        start.wait()
        try:
            outcomes.append(publish(staged, tmp_path, manifest).name)
        except IntegrityError:
            outcomes.append("taken")

    threads = [threading.Thread(target=publish_one, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (name,) = names(tmp_path)
    assert sorted(outcomes) == sorted(["taken", name])
    verify(tmp_path / name, BASE)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda staged: (staged / "adapter_model.safetensors").write_bytes(b"x" * 64), "not possible"),
        (lambda staged: (staged / "adapter_model.safetensors").write_bytes(safetensors(dict(list(tensors().items())[1:]))), "other half"),
        (lambda staged: (staged / "adapter_config.json").write_text("{}"), "peft_type"),
        (lambda staged: (staged / "adapter_config.json").unlink(), "adapter_config.json is missing"),
    ],
)
def test_what_would_not_be_loaded_is_not_published(tmp_path: Path, spoil: Callable[[Path], object], why: str) -> None:
    staged = stage(tmp_path / "staged")
    spoil(staged)
    with pytest.raises(IntegrityError, match=why):
        publish(staged, tmp_path / "adapters", manifest_of(staged))
    assert names(tmp_path / "adapters") == []
    assert not staged.exists()


def test_nothing_staged_is_nothing_published(tmp_path: Path) -> None:
    staged = stage(tmp_path / "staged")
    manifest = manifest_of(staged)
    shutil.rmtree(staged)
    with pytest.raises(IntegrityError, match=r"adapter_model\.safetensors is missing"):
        publish(staged, tmp_path / "adapters", manifest)
    assert names(tmp_path / "adapters") == []


def test_weights_that_are_not_those_in_the_name_are_not_published(tmp_path: Path) -> None:
    staged = stage(tmp_path / "staged")
    manifest = manifest_of(staged)
    (staged / "adapter_model.safetensors").write_bytes(safetensors(tensors(seed=1)))
    with pytest.raises(IntegrityError, match="that make the name"):
        publish(staged, tmp_path / "adapters", manifest)
    assert names(tmp_path / "adapters") == []


def test_a_published_adapter_is_never_taken_for_a_stage(tmp_path: Path) -> None:
    path = good(tmp_path)
    with pytest.raises(UsageError, match="published already"):
        publish(path, tmp_path, verify(path, BASE))
    verify(path, BASE)


def failing(monkeypatch: pytest.MonkeyPatch, call: str, nth: int, code: int) -> list[int]:
    """Let the nth call of an `os` function fail; return a list that counts the calls."""
    real, calls = getattr(os, call), [0]

    def fault(*args: Any, **keywords: Any) -> Any:  # Any: passes through to whichever function it stands for
        calls[0] += 1
        if calls[0] == nth:
            raise OSError(code, os.strerror(code))
        return real(*args, **keywords)

    monkeypatch.setattr(os, call, fault)
    return calls


@pytest.mark.parametrize(("code", "error"), [(errno.ENOSPC, StoreFullError), (errno.EIO, StoreError)])
@pytest.mark.parametrize("call", SITES)
def test_whichever_system_call_fails_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, error: type[StoreError]
) -> None:
    outcome: str | type[StoreError] = error
    nth = 0
    while outcome is error:
        nth += 1
        root, staged = tmp_path / f"{call}-{nth}", stage(tmp_path / f"staged-{nth}")
        manifest = manifest_of(staged)
        with monkeypatch.context() as patch:
            failing(patch, call, nth, code)
            outcome = outcome_of(staged, root, manifest)
        if outcome is error:
            assert not staged.exists()
            assert names(root) == []
    assert outcome == manifest.name
    assert nth > 1, f"os.{call} is never called, so this proves nothing"
    verify(root / manifest.name, BASE)


def outcome_of(staged: Path, root: Path, manifest: Manifest) -> str | type[StoreError]:
    try:
        return publish(staged, root, manifest).name
    except StoreError as error:
        return type(error)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_every_way_of_saying_full_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    staged = stage(tmp_path / "staged")
    manifest = manifest_of(staged)
    with monkeypatch.context() as patch:
        failing(patch, "write", 1, code)
        with pytest.raises(StoreFullError, match=f"No space left for adapter '{manifest.name}'"):
            publish(staged, tmp_path, manifest)
    assert names(tmp_path) == []


@pytest.mark.parametrize("most_bytes", [0, 100, 1_000])
def test_a_real_limit_on_file_sizes_is_a_full_disk(tmp_path: Path, most_bytes: int) -> None:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=publish_to_a_full_disk, args=(tmp_path, most_bytes, theirs))
    child.start()
    assert ours.recv() == "StoreFullError"
    child.join()
    assert names(tmp_path) == []


def test_kill_9_leaves_no_half_adapter_and_loses_no_whole_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    moments = random.Random(0)
    acknowledged: list[str] = []
    swept = 0
    for round in range(MOST_KILLS):
        if swept and round >= KILLS:
            break
        ours, theirs = context.Pipe()
        child = context.Process(target=publish_until_killed, args=(tmp_path, round * 1_000_000 + 1, theirs))
        child.start()
        theirs.close()
        acknowledged.append(ours.recv())
        time.sleep(moments.uniform(0.0, 0.02))
        child.kill()
        child.join()
        while ours.poll():
            try:
                acknowledged.append(ours.recv())
            except EOFError:
                break
        swept += len(sweep(tmp_path))
        whole = [name for name in names(tmp_path) if not name.startswith(".")]
        for name in whole:
            verify(tmp_path / name, BASE)
        assert set(acknowledged) <= set(whole)
        assert len(whole) == len(names(tmp_path)), "sweep left something"
    assert swept, "no kill fell into a publication, so this proves nothing"


def test_sweep_removes_stages_and_nothing_else(tmp_path: Path) -> None:
    path = good(tmp_path)
    stage(new_stage(tmp_path))
    (tmp_path / "keep").mkdir()
    (tmp_path / ".stage-link").symlink_to(path)
    assert len(sweep(tmp_path)) == 1
    assert names(tmp_path) == sorted([path.name, "keep", ".stage-link"])
    assert sweep(tmp_path / "absent") == []
    verify(path, BASE)


def test_remove_deletes_an_adapter_damaged_or_not_and_twice_is_once(tmp_path: Path) -> None:
    path = good(tmp_path)
    (path / "MANIFEST.json").unlink()
    remove(path)
    remove(path)
    assert names(tmp_path) == []


def test_remove_touches_nothing_that_is_no_adapter(tmp_path: Path) -> None:
    path = good(tmp_path)
    other = tmp_path / "documents"
    other.mkdir()
    link = tmp_path / path.name.replace("-v1-", "-v2-")
    link.symlink_to(path)
    for wrong in (other, link, tmp_path, tmp_path / "seal.db"):
        with pytest.raises(UsageError, match="not an adapter's folder"):
            remove(wrong)
    assert other.is_dir()
    verify(path, BASE)


def test_remove_hides_the_adapter_before_it_deletes_the_first_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = good(tmp_path)
    with monkeypatch.context() as patch:
        failing(patch, "unlink", 2, errno.EIO)
        with pytest.raises(StoreError, match="can't be deleted"):
            remove(path)
    assert not path.exists()
    sweep(tmp_path)
    assert names(tmp_path) == []
