"""The kill test and the damages in short; their figures are what they say they are."""

from pathlib import Path

import pytest

from benchmarks import crash_safety, index_damage
from benchmarks.crash_safety import Record, note
from benchmarks.crash_writer import text_of


def test_a_turns_text_follows_from_its_id_and_differs_from_others() -> None:
    texts = {text_of(f"r{number}p0-{number}-0") for number in range(500)}
    assert len(texts) == 500
    assert text_of("r1p0-1-0") in texts


def test_what_a_writer_says_is_counted() -> None:
    record = Record()
    note(record, {"event": "acked", "ids": ["a", "b"]})
    note(record, {"event": "dark", "lost": ["a"], "dark": []})
    note(record, {"event": "checked", "state": "serving", "error": "torn", "unserved": 0, "unfindable": []})
    note(record, {"event": "checked", "state": "off", "error": None, "unserved": 2, "unfindable": []})
    assert (record.acked, record.lost, record.rebuilds, record.manual_repairs) == (["a", "b"], ["a"], 1, 1)


def test_every_hnsw_file_is_harmed_in_four_ways() -> None:
    named = list(index_damage.damages())
    assert len(named) == 26
    assert len([name for name in named if "chroma" not in name and name != "generation deleted"]) == 21


@pytest.mark.slow
def test_kills_and_a_full_disk_lose_nothing(tmp_path: Path) -> None:
    figures = crash_safety.measure(tmp_path, kills=2, full_disks=1, seed=5, minutes=15.0)
    assert figures["kills"] >= 2
    assert (figures["lost"], figures["unfindable"], figures["manual_repairs"]) == (0, 0, 0)


@pytest.mark.slow
def test_a_damage_that_hangs_chroma_costs_nothing() -> None:
    figures = index_damage.measure(1_200, "link_lists.bin truncated", False)
    assert (figures["damages"], figures["lost"], figures["died"]) == (1, 0, 0)
    assert figures["trials"]["link_lists.bin truncated"]["outcome"] == "rebuilt"
