"""`find` says what is on this machine, and fetches nothing."""

from pathlib import Path

import pytest

from seal_agent.errors import ModelNotFoundError
from seal_agent.models import weights, wheels
from seal_agent.models.weights import find, resolve
from seal_agent.models.wheels import Wheel
from tests.models.tiny import MEMBERS, in_hub_cache, serving

pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "from_hub", lambda _: pytest.fail("the hub was asked"))


@pytest.mark.parametrize("name", ["tiny", "TINY", "org/tiny"])
def test_an_embedded_model_is_found_once_it_was_prepared(
    wheel: Wheel, wheel_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with pytest.raises(ModelNotFoundError):
        find(name, cache=cache)
    assert not cache.exists()
    monkeypatch.setattr(wheels, "run_pip", serving(wheel_file.read_bytes()))
    prepared = resolve("tiny", cache=cache)
    assert find(name, cache=cache) == prepared


def test_a_local_folder_is_found_where_it_lies(tiny_folder: Path, cache: Path) -> None:
    assert find(str(tiny_folder), cache=cache) == tiny_folder


def test_a_gguf_file_is_found_before_it_is_unpacked(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    assert find(str(file), cache=cache) == file
    assert find(str(tmp_path), cache=cache) == file, "alone in its folder"
    assert not cache.exists()


def test_a_model_in_the_hub_cache_is_found(tiny_folder: Path, hub_cache: Path, cache: Path) -> None:
    snapshot = in_hub_cache(hub_cache, tiny_folder, *MEMBERS)
    assert find("org/tiny", cache=cache) == snapshot


@pytest.mark.parametrize("name", ["", "./absent", "org/absent"])
def test_what_is_not_here_is_not_found(name: str, cache: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        find(name, cache=cache)
