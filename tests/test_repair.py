"""Repair makes anew what the ledger can answer for, and leaves the ledger alone."""

from pathlib import Path

import pytest

from seal_agent.memory import Memory
from tests.brains import BrokenEmbedder, open_brain


def repaired(memory: Memory) -> dict[str, str]:
    return {finding.name: finding.text for finding in memory.repair()}


def test_a_whole_brain_stays_as_it_is(tmp_path: Path) -> None:
    with open_brain(tmp_path) as memory:
        memory.scope(user="ana").add("I'm vegetarian.")
        found = memory.repair()
        assert all(finding.ok for finding in found)
        assert memory.scope(user="ana").search("vegetarian")[0].text == "I'm vegetarian."


def test_words_that_the_lexical_index_lost_are_found_again(tmp_path: Path) -> None:
    with open_brain(tmp_path) as memory:
        memory.scope(user="ana").add("I'm vegetarian.")
        with memory._parts.ledger.write() as connection:
            connection.exec_driver_sql("INSERT INTO entries_fts(entries_fts) VALUES ('delete-all')")
    with open_brain(tmp_path) as memory:
        [shown] = [finding for finding in memory.doctor() if finding.name == "lexical index"]
        assert (shown.level, shown.exit_code, shown.way_out) == ("problem", 4, "seal-agent doctor --repair")
        assert repaired(memory)["lexical index"] == "made anew"
        assert all(finding.ok for finding in memory.doctor())
        with memory._parts.ledger.read() as connection:
            count = connection.exec_driver_sql("SELECT count(*) FROM entries_fts WHERE entries_fts MATCH 'vegetarian'").scalar_one()
        assert count == 1


def test_what_waits_for_its_vector_is_embedded(tmp_path: Path) -> None:
    embedder = BrokenEmbedder()
    with open_brain(tmp_path, embedder=embedder) as memory:
        memory.scope(user="ana").add_many(["one thing", "another thing"])
        failed = {finding.name: finding for finding in memory.repair()}["embeddings"]
        assert (failed.ok, failed.exit_code) == (False, 3)
        embedder.broken = False
        assert repaired(memory)["embeddings"] == "2 texts embedded"
        assert memory.stats().not_embedded == 0


def test_what_dead_processes_left_is_removed(tmp_path: Path) -> None:
    with open_brain(tmp_path) as memory:
        for left in ("index/gen-4", "adapters/.stage-1", ".archive-1"):
            (tmp_path / left).mkdir(parents=True)
        (tmp_path / "seal.db.v1.backup.part").write_text("half")
        assert repaired(memory)["leftovers"] == "3 removed"
        assert not any((tmp_path / left).exists() for left in ("index/gen-4", "adapters/.stage-1", ".archive-1", "seal.db.v1.backup.part"))


@pytest.mark.slow
def test_a_damaged_index_is_made_anew_with_chroma(tmp_path: Path) -> None:
    from seal_agent.config import Settings

    settings = Settings.load(None, retrieval={"exact_scan_below": 3})
    with open_brain(tmp_path, settings=settings) as memory:
        ana = memory.scope(user="ana")
        ana.add_many([f"Order {number} ships." for number in range(5)])
        ana.search("order")
        assert memory.wait_for_index().state == "serving"
    with open_brain(tmp_path, settings=settings) as memory:
        assert "generation 1 of 1 scopes is whole" in {finding.name: finding for finding in memory.doctor()}["index"].text
    (tmp_path / "index/gen-1/chroma.sqlite3").write_bytes(b"")
    with open_brain(tmp_path, settings=settings) as memory:
        shown = {finding.name: finding for finding in memory.doctor()}["index"]
        assert (shown.level, "failed its probe" in shown.text, "doctor --repair" in shown.way_out) == ("warning", True, True)
        assert repaired(memory)["index"] == "made anew for 1 scopes"
        assert memory.wait_for_index().generation == 2
        assert memory.scope(user="ana").search("order 3")[0].text == "Order 3 ships."
