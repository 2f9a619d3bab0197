"""The probe finds out in a child what would hang, kill or deceive this process."""

import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from seal_agent.errors import VectorIndexError
from seal_agent.protocols import Vectors
from seal_agent.retrieval import probe as module
from seal_agent.retrieval.probe import Expected, probe
from seal_agent.retrieval.probe_child import compare
from seal_agent.retrieval.projection import DATABASE, ChromaProjection
from seal_agent.testing import HashEmbedder
from tests.waiting import LONG

ANA = "default/default/ana"
TEXTS = [f"subject{number} is kept in room{number % 7}" for number in range(50)]
IDS = [f"e{number}" for number in range(50)]
VECTORS = HashEmbedder().embed(TEXTS)


def expected(ids: list[str], sample: Vectors) -> Expected:
    return Expected(scope_key=ANA, ids=ids, sample=sample)


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "gen-1"
    projection = ChromaProjection(path)
    projection.fill(ANA, IDS, VECTORS)
    projection.close()
    return path


class Torn:
    """A projection that has lost something, and does not say so."""

    def __init__(self, ids: list[str], cosines: float, counted: int) -> None:
        self._ids, self._cosines, self._counted = ids, cosines, counted

    def ids(self, _: str) -> set[str]:
        return set(self._ids)

    def count(self, _: str) -> int:
        return self._counted

    def best_cosines(self, _: str, vectors: Vectors, among: int) -> list[float]:
        return [self._cosines] * len(vectors)


class Narrow(Torn):
    """An index that misses so many of a thousand, and finds them when it is asked for many."""

    def __init__(self, missed: int) -> None:
        super().__init__(IDS, 0.5, len(IDS))
        self._missed = missed

    def best_cosines(self, _: str, vectors: Vectors, among: int) -> list[float]:
        if among > 1:
            return [1.0] * len(vectors)
        missed = min(self._missed, len(vectors))
        self._missed -= missed
        return [0.5] * missed + [1.0] * (len(vectors) - missed)


@pytest.mark.parametrize(
    ("torn", "said"),
    [
        (Torn(IDS[1:], 1.0, 50), "1 of 50 ids are missing"),
        (Torn(IDS, 1.0, 49), "counts 49 of 50"),
        (Torn(IDS, 0.4, 50), "50 of 50 vectors .* don't find themselves"),
        (Torn([*IDS, "superseded"], 1.0, 51), ""),
    ],
)
def test_what_is_missing_is_told(torn: Torn, said: str) -> None:
    fault = compare(torn, {"scope_key": ANA, "ids": IDS}, VECTORS)
    assert (fault or "") == "" if not said else fault is not None
    if said:
        with pytest.raises(AssertionError, match=said):
            raise AssertionError(fault)


def test_a_miss_or_two_of_an_approximate_index_are_forgiven() -> None:
    class Missing(Torn):
        def best_cosines(self, _: str, vectors: Vectors, among: int) -> list[float]:
            return [0.4, 0.4] + [1.0] * (len(vectors) - 2)

    assert compare(Missing(IDS, 1.0, 50), {"scope_key": ANA, "ids": IDS}, VECTORS) is None


@pytest.mark.parametrize(("missed", "whole"), [(16, True), (30, True), (31, False), (1000, False)])
def test_a_few_per_cent_that_a_wider_search_finds_are_forgiven_and_no_more(missed: int, whole: bool) -> None:
    thousand = np.resize(VECTORS, (1000, VECTORS.shape[1]))
    assert (compare(Narrow(missed), {"scope_key": ANA, "ids": IDS}, thousand) is None) == whole


@pytest.mark.slow
def test_a_whole_folder_passes(folder: Path) -> None:
    probe(folder, [expected(IDS, VECTORS)], never)


@pytest.mark.slow
def test_one_that_lacks_an_id_or_a_scope_fails(folder: Path) -> None:
    with pytest.raises(VectorIndexError, match="1 of 51 ids are missing"):
        probe(folder, [expected([*IDS, "another"], VECTORS)], never)
    with pytest.raises(VectorIndexError, match="failed its probe: Chroma could not"):
        probe(folder, [Expected(scope_key="nobody", ids=IDS, sample=VECTORS)], never)


@pytest.mark.slow
def test_a_vector_that_is_not_there_does_not_find_itself(folder: Path) -> None:
    strangers = -VECTORS
    with pytest.raises(VectorIndexError, match="don't find themselves"):
        probe(folder, [expected(IDS, strangers.astype(np.float32))], never)


@pytest.mark.slow
def test_a_database_that_is_none_fails(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_text("not a database " * 1000)
    with pytest.raises(VectorIndexError, match="failed its probe"):
        probe(tmp_path, [expected(IDS, VECTORS)], never)


def python_that(tmp_path: Path, does: str) -> str:
    """An interpreter in whose place something else runs."""
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\n{does}\n")
    script.chmod(0o700)
    return str(script)


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("kill -SEGV $$", "died of signal 11"),
        ("exit 3", "ended with code 3"),
        ("exec sleep 600", "did not end within 0 seconds"),
        ("cat >/dev/null; echo something is wrong", "something is wrong"),
    ],
)
def test_a_child_that_dies_hangs_or_complains_fails_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, said: str
) -> None:
    monkeypatch.setattr(sys, "executable", python_that(tmp_path, does))
    if "within" in said:
        monkeypatch.setattr(module, "SECONDS", 0.2)
        monkeypatch.setattr(module, "SECONDS_PER_VECTOR", 0.0)
    with pytest.raises(VectorIndexError, match=said):
        probe(tmp_path / "gen-1", [expected(IDS, VECTORS)], never)


def test_a_probe_that_is_interrupted_ends_its_child_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", python_that(tmp_path, "exec sleep 600"))
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    started = time.monotonic()
    with pytest.raises(VectorIndexError, match="interrupted"):
        probe(tmp_path / "gen-1", [expected(IDS, VECTORS)], stop.is_set)
    assert time.monotonic() - started < LONG


def test_without_an_interpreter_nothing_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    with pytest.raises(VectorIndexError, match="could not be probed"):
        probe(tmp_path / "gen-1", [], never)
