"""The index serves when it can, is never waited for, is checked before it is used, and is made anew when it fails."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from seal_agent.errors import VectorIndexError
from seal_agent.ledger.generations import current_generation, watermarks
from seal_agent.retrieval import building, vector_index
from seal_agent.retrieval.backlog import embed_backlog
from seal_agent.retrieval.vector_index import VectorIndex
from seal_agent.types import ScopeId
from tests.retrieval.indexes import Disk
from tests.retrieval.test_backlog import record_unembedded
from tests.waiting import LONG, wait_until

if TYPE_CHECKING:
    from tests.retrieval.conftest import Brain

ANA = ScopeId(user="ana")
BEN = ScopeId(user="ben")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_index, "START_AFTER", 0.0)
    monkeypatch.setattr(vector_index, "QUERY_WAIT", LONG)  # a thread that was made to pause in its turn is no reason to find nothing


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def opening(brain: "Brain", disk: Disk) -> Iterator[Callable[[], VectorIndex]]:
    """Open the index as a process that has just started; the one before is closed."""
    opened: list[VectorIndex] = []

    def start() -> VectorIndex:
        for former in opened:
            former.close()
        opened.append(disk.index(brain.ledger, brain.embedder.id))
        return opened[-1]

    yield start
    for index in opened:
        index.close()


def serve(index: VectorIndex, *scopes: ScopeId) -> None:
    for scope in scopes:
        index.want(scope.key)
    assert index.wait(LONG).state == "serving"


def nearest(brain: "Brain", index: VectorIndex, text: str, k: int = 1, scope: ScopeId = ANA) -> list[str] | None:
    found = index.query(scope.key, brain.embedder.embed([text])[0], k)
    return None if found is None else [entry_id for entry_id, _ in found]


def folders(brain: "Brain") -> list[str]:
    return sorted(path.name for path in (brain.ledger.folder / "index").glob("*"))


def current(brain: "Brain") -> tuple[int, dict[str, int]]:
    with brain.ledger.read() as connection:
        generation = current_generation(connection, brain.embedder.id)
        assert generation is not None
        return generation.number, watermarks(connection, generation.number)


def test_a_scope_is_not_served_until_it_is_wanted_and_filled(brain: "Brain", disk: Disk, opening: Callable[[], VectorIndex]) -> None:
    brain.record(ANA, "one", "two")
    brain.record(BEN, "three")
    index = opening()
    assert nearest(brain, index, "one") is None
    assert (index.status().state, disk.opened) == ("idle", [])
    serve(index, ANA)
    assert nearest(brain, index, "one") == ["episode-0:0"]
    assert nearest(brain, index, "three", scope=BEN) is None
    assert current(brain) == (1, {ANA.key: 2})
    serve(index, BEN)
    assert nearest(brain, index, "three", scope=BEN) == ["episode-1:0"]


def test_wanting_a_scope_and_asking_for_it_never_wait_for_the_building(
    brain: "Brain", disk: Disk, opening: Callable[[], VectorIndex]
) -> None:
    brain.record(ANA, "one")
    disk.slow = threading.Event()
    index = opening()
    started = time.monotonic()
    index.want(ANA.key)
    assert nearest(brain, index, "one") is None
    assert time.monotonic() - started < LONG / 2
    disk.slow.set()
    serve(index, ANA)


def test_what_is_added_later_is_found_at_once_before_and_after_it_is_taken_in(
    brain: "Brain", opening: Callable[[], VectorIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_index, "FILL_AT", 3)
    brain.record(ANA, "one")
    index = opening()
    serve(index, ANA)
    for number in range(7):
        brain.record(ANA, f"subject{number}")
        assert nearest(brain, index, f"subject{number}") == [f"episode-{number + 1}:0"]
    assert index.wait(LONG).watermarks[ANA.key] > 1
    assert current(brain)[1] == index.status().watermarks


def test_a_scope_that_is_far_behind_is_not_served_until_it_has_caught_up(
    brain: "Brain", opening: Callable[[], VectorIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_index, "FILL_AT", 2)
    monkeypatch.setattr(vector_index, "MOST_BEYOND", 4)
    brain.record(ANA, "one")
    index = opening()
    serve(index, ANA)
    brain.record(ANA, *[f"subject{number}" for number in range(5)])
    assert nearest(brain, index, "subject4") is None
    index.wait(LONG)
    assert nearest(brain, index, "subject4") == ["episode-1:4"]


def test_after_a_restart_the_folder_is_probed_and_goes_on_where_it_was(
    brain: "Brain", disk: Disk, opening: Callable[[], VectorIndex]
) -> None:
    brain.record(ANA, "one")
    serve(opening(), ANA)
    assert disk.probed == []
    brain.record(ANA, "two")
    again = opening()
    serve(again, ANA)
    assert (disk.probed, folders(brain)) == ([brain.ledger.folder / "index/gen-1"], ["gen-1"])
    assert nearest(brain, again, "two") == ["episode-1:0"]


@pytest.mark.parametrize("harm", ["broken", "torn", "gone", "foreign"])
def test_a_folder_that_fails_its_probe_is_never_opened_and_made_anew(
    brain: "Brain", disk: Disk, opening: Callable[[], VectorIndex], harm: str
) -> None:
    brain.record(ANA, "one", "two")
    serve(opening(), ANA)
    old = brain.ledger.folder / "index/gen-1"
    if harm == "broken":
        disk.broken.add(old)
    elif harm == "torn":
        disk.folders[old][ANA.key].popitem()
    elif harm == "gone":
        old.rmdir()
    else:
        disk.folders[old] = {"another": {}}
    again = opening()
    disk.opened.clear()
    serve(again, ANA)
    assert disk.opened == [brain.ledger.folder / "index/gen-2"]
    assert (nearest(brain, again, "two"), folders(brain), current(brain)[0]) == (["episode-0:1"], ["gen-2"], 2)


def test_one_that_fails_in_use_is_made_anew_and_the_caller_scans_meanwhile(
    brain: "Brain", disk: Disk, opening: Callable[[], VectorIndex]
) -> None:
    brain.record(ANA, "one")
    index = opening()
    serve(index, ANA)
    disk.broken.add(brain.ledger.folder / "index/gen-1")
    assert nearest(brain, index, "one") is None
    status = index.wait(LONG)
    assert (status.state, status.generation) == ("serving", 2)
    assert "gen-1" in str(status.error)
    assert nearest(brain, index, "one") == ["episode-0:0"]
    assert (folders(brain), disk.closed) == (["gen-2"], [brain.ledger.folder / "index/gen-1"])


def test_one_that_keeps_silent_is_not_believed_and_after_a_few_it_stays_off(
    brain: "Brain", disk: Disk, opening: Callable[[], VectorIndex]
) -> None:
    brain.record(ANA, "one")
    index = opening()
    serve(index, ANA)
    disk.silent = True
    for _ in range(vector_index.MOST_FAILURES + 1):
        assert index.status().state == "serving"
        assert nearest(brain, index, "one") is None
        index.wait(LONG)
    assert index.status().state == "off"
    made = len(disk.opened)
    index.want(ANA.key)
    assert index.wait(LONG).state == "off"
    assert len(disk.opened) == made
    disk.silent = False
    index.rebuild()
    assert nearest(brain, index, "one") == ["episode-0:0"]


def test_a_full_disk_leaves_the_index_off_and_nothing_behind(brain: "Brain", disk: Disk, opening: Callable[[], VectorIndex]) -> None:
    brain.record(ANA, "one")
    disk.full = True
    index = opening()
    index.want(ANA.key)
    status = index.wait(LONG)
    assert status.state == "off"
    assert "no space" in str(status.error)
    assert folders(brain) == []
    disk.full = False
    index.rebuild()
    assert nearest(brain, index, "one") == ["episode-0:0"]


def test_a_rebuild_leaves_out_what_the_ledger_no_longer_tells_while_the_old_one_serves(
    brain: "Brain", disk: Disk, opening: Callable[[], VectorIndex]
) -> None:
    old = brain.tell(ANA, "Ana lives in Utrecht.")
    index = opening()
    serve(index, ANA)
    new = brain.correct(old, "Ana lives in Ghent.")
    assert set(nearest(brain, index, "lives", k=2) or ()) == {old.id, new.id}
    disk.slow = threading.Event()
    rebuilding = threading.Thread(target=index.rebuild)
    rebuilding.start()
    assert set(nearest(brain, index, "lives", k=2) or ()) == {old.id, new.id}
    disk.slow.set()
    rebuilding.join(LONG)
    assert nearest(brain, index, "lives", k=2) == [new.id]
    assert folders(brain) == ["gen-2"]


def test_a_rebuild_that_fails_leaves_the_old_generation_in_use(brain: "Brain", disk: Disk, opening: Callable[[], VectorIndex]) -> None:
    brain.record(ANA, "one")
    index = opening()
    serve(index, ANA)
    disk.full = True
    with pytest.raises(VectorIndexError, match="no space"):
        index.rebuild()
    assert (nearest(brain, index, "one"), folders(brain), index.status().state) == (["episode-0:0"], ["gen-1"], "serving")


def test_discarding_deletes_every_folder_at_once_and_a_new_one_comes_by_itself(
    brain: "Brain", disk: Disk, opening: Callable[[], VectorIndex]
) -> None:
    brain.record(ANA, "one")
    index = opening()
    serve(index, ANA)
    (brain.ledger.folder / "index" / "gen-7").mkdir()
    disk.slow = threading.Event()
    index.discard()
    assert not {"gen-1", "gen-7"} & set(folders(brain))
    assert nearest(brain, index, "one") is None
    disk.slow.set()
    assert index.wait(LONG).generation == 2
    assert nearest(brain, index, "one") == ["episode-0:0"]


def test_discarding_stops_a_generation_that_is_being_built(
    brain: "Brain", disk: Disk, opening: Callable[[], VectorIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "PAGE", 1)
    brain.record(ANA, "one", "two", "three")
    disk.slow = threading.Event()
    index = opening()
    index.want(ANA.key)
    wait_until(lambda: bool(disk.opened))
    discarding = threading.Thread(target=index.discard)
    discarding.start()
    disk.slow.set()
    discarding.join(LONG)
    assert index.wait(LONG).state == "serving"
    assert nearest(brain, index, "three") == ["episode-0:2"]


def test_entries_embedded_late_are_taken_in_although_the_watermark_has_passed(
    brain: "Brain", disk: Disk, opening: Callable[[], VectorIndex]
) -> None:
    brain.record(ANA, "first")
    record_unembedded(brain, "late")
    brain.record(ANA, "last")
    index = opening()
    serve(index, ANA)
    for scope_key, ids in embed_backlog(brain.ledger, brain.embedder).items():
        index.embedded_late(scope_key, ids)
    index.wait(LONG)
    assert nearest(brain, index, "late") == ["late:0"]


def test_folders_left_by_a_process_that_died_are_removed(brain: "Brain", disk: Disk, opening: Callable[[], VectorIndex]) -> None:
    brain.record(ANA, "one")
    serve(opening(), ANA)
    (brain.ledger.folder / "index" / "gen-9").mkdir()
    serve(opening(), ANA)
    assert folders(brain) == ["gen-1"]


def test_another_embedder_has_its_own_generation(brain: "Brain", disk: Disk, opening: Callable[[], VectorIndex]) -> None:
    brain.record(ANA, "one")
    serve(opening(), ANA)
    other = disk.index(brain.ledger, "another")
    assert other.query(ANA.key, brain.embedder.embed(["one"])[0], 1) is None
    other.close()


def test_searches_from_many_threads_while_it_is_filled_agree_with_the_exact_scan(
    brain: "Brain", opening: Callable[[], VectorIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_index, "FILL_AT", 5)
    monkeypatch.setattr(building, "SERVING_PAGE", 2)
    brain.record(ANA, *[f"subject{number}" for number in range(20)])
    index = opening()
    serve(index, ANA)
    wrong: list[object] = []

    def ask() -> None:
        for number in range(30):
            found = index.query(ANA.key, brain.embedder.embed([f"subject{number % 20}"])[0], 1)
            if found is not None and found[0][1] < 0.999:
                wrong.append(found)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(20):
        brain.record(ANA, f"other{number}")
    for thread in threads:
        thread.join(LONG)
    assert wrong == []


def test_closing_ends_the_thread_and_a_closed_index_serves_nothing(brain: "Brain", disk: Disk, opening: Callable[[], VectorIndex]) -> None:
    brain.record(ANA, "one")
    index = opening()
    serve(index, ANA)
    index.close()
    index.close()
    index.want(ANA.key)
    assert nearest(brain, index, "one") is None
    assert disk.closed == [brain.ledger.folder / "index/gen-1"]
    assert not [thread for thread in threading.enumerate() if thread.name == "seal-index"]


def test_a_process_that_asks_once_and_ends_opens_nothing(
    brain: "Brain", disk: Disk, opening: Callable[[], VectorIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_index, "START_AFTER", LONG)
    brain.record(ANA, "one")
    index = opening()
    index.want(ANA.key)
    started = time.monotonic()
    index.close()
    assert time.monotonic() - started < LONG / 2
    assert disk.opened == disk.probed == []


def test_what_a_folder_must_hold_is_what_the_ledger_holds_up_to_the_watermark(brain: "Brain", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "PAGE", 3)
    brain.record(ANA, *[f"subject{number}" for number in range(10)])
    wanted = building.expected(brain.ledger, brain.embedder.id, ANA.key, 7)
    assert list(wanted.ids) == [f"episode-0:{number}" for number in range(7)]
    assert wanted.sample.shape == (7, brain.embedder.dim)
    assert building.expected(brain.ledger, brain.embedder.id, BEN.key, 7).ids == ()


def test_a_folder_that_cannot_be_deleted_is_named(
    brain: "Brain", opening: Callable[[], VectorIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    brain.record(ANA, "one")
    index = opening()
    serve(index, ANA)
    with monkeypatch.context() as patched:
        patched.setattr("seal_agent.retrieval.generation_folders.shutil.rmtree", refuse)
        with pytest.raises(VectorIndexError, match=r"gen-1 could not be deleted .* by hand"):
            index.discard()
