"""An adapter is verified before it is loaded, held while a request runs with it, and freed when others took its place."""

import dataclasses
import threading
from pathlib import Path

import pytest

from seal_agent.errors import IntegrityError
from seal_agent.serving import Serving
from seal_agent.types import Adapter, ScopeId
from tests.brains import START
from tests.waiting import LONG


class RecordingModel:
    """Notes what is loaded and freed, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def load_adapter(self, name: str, path: Path) -> None:
        self.events.append(f"+{name}")

    def unload_adapter(self, name: str) -> None:
        self.events.append(f"-{name}")


def adapter(name: str) -> Adapter:
    return Adapter(
        name=name,
        scope=ScopeId(user="ana"),
        version=1,
        path=Path("adapters") / name,
        sha256="0",
        base_id="b",
        parent=None,
        state="promoted",
        created_at=START,
        cycle_id="c",
        fact_ids=(),
    )


def serving(model: RecordingModel, kept: int = 8, verify: object = None) -> Serving:
    return Serving(lambda: model, verify or (lambda path: None), Path("/brain"), kept)  # type: ignore[arg-type, return-value]  # two methods are enough


def test_an_adapter_is_loaded_once_for_many_requests() -> None:
    model = RecordingModel()
    served = serving(model)
    for _ in range(3):
        served.end(served.begin(adapter("a")))
    assert model.events == ["+a"]


def test_a_damaged_adapter_is_never_loaded_and_never_counts_as_loaded() -> None:
    model, paths = RecordingModel(), list[Path]()

    def refuse(path: Path) -> None:
        paths.append(path)
        raise IntegrityError("It is damaged; restore it.")

    served = serving(model, verify=refuse)
    for _ in range(2):
        with pytest.raises(IntegrityError):
            served.begin(adapter("a"))
    assert (model.events, paths) == ([], [Path("/brain/adapters/a")] * 2)


@pytest.mark.parametrize("other", ["replaced", "written over", "another file"])
def test_files_that_change_between_the_check_and_the_loading_are_not_used(tmp_path: Path, other: str) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(b"checked")

    def swap(path: Path) -> None:
        if other == "replaced":
            (tmp_path / "new").write_bytes(b"foreign")
            (tmp_path / "new").replace(weights)
        elif other == "written over":
            weights.write_bytes(b"foreign")
        else:
            (path / "adapter_config.json").touch()

    model = RecordingModel()
    with pytest.raises(IntegrityError, match="changed while it was loaded"):
        serving(model, verify=swap).begin(dataclasses.replace(adapter("a"), path=folder))
    assert model.events == ["+a", "-a"] * 2


def test_files_that_change_once_while_they_are_loaded_are_checked_and_loaded_again(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"checked")
    checks: list[Path] = []

    def link_once(path: Path) -> None:
        checks.append(path)
        if len(checks) == 1:
            (tmp_path / "weights").touch()

    model = RecordingModel()
    served = serving(model, verify=link_once)
    served.end(served.begin(dataclasses.replace(adapter("a"), path=tmp_path)))
    assert (model.events, len(checks)) == (["+a", "-a", "+a"], 2)


def test_an_absolute_path_is_taken_as_it_is() -> None:
    paths: list[Path] = []
    served = serving(RecordingModel(), verify=paths.append)
    served.check(dataclasses.replace(adapter("a"), path=Path("/elsewhere/a")))
    assert paths == [Path("/elsewhere/a")]


def test_the_least_recently_used_idle_adapter_is_freed() -> None:
    model = RecordingModel()
    served = serving(model, kept=2)
    for name in ("a", "b", "a", "c"):
        served.prepare(adapter(name))
    assert model.events == ["+a", "+b", "+c", "-b"]


def test_an_adapter_in_use_is_not_freed_until_its_last_request_ends() -> None:
    model = RecordingModel()
    served = serving(model, kept=1)
    first, second = served.begin(adapter("a")), served.begin(adapter("a"))
    served.prepare(adapter("b"))
    served.end(first)
    assert "-a" not in model.events
    served.end(second)
    served.prepare(adapter("c"))
    assert "-a" in model.events


def test_requests_with_a_loaded_adapter_do_not_wait_for_another_to_load() -> None:
    model, loading, finish = RecordingModel(), threading.Event(), threading.Event()

    def verify(path: Path) -> None:
        if path.name == "slow":
            loading.set()
            assert finish.wait(LONG)

    served = serving(model, verify=verify)
    served.prepare(adapter("a"))
    thread = threading.Thread(target=lambda: served.prepare(adapter("slow")))
    thread.start()
    assert loading.wait(LONG)
    served.end(served.begin(adapter("a")))
    assert "+slow" not in model.events
    finish.set()
    thread.join()
    assert model.events == ["+a", "+slow"]


def test_an_unwanted_adapter_goes_with_its_last_request() -> None:
    model = RecordingModel()
    served = serving(model)
    served.prepare(adapter("idle"))
    name = served.begin(adapter("busy"))
    for one in ("idle", "busy", "never loaded"):
        served.drop(one)
    assert model.events == ["+idle", "+busy", "-idle"]
    served.end(name)
    assert model.events[-1] == "-busy"
