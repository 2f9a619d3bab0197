"""What is kept is whole, whoever makes it at the same time, and what is damaged is made anew."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from seal_agent.consolidation.kept import keep, kept_json, read_kept

NUMBERS = TypeAdapter(list[int])


def test_several_that_keep_the_same_at_once_are_not_in_each_others_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, made = tmp_path / "cache" / "numbers.json", list(range(500))
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: keep(file, NUMBERS, made), range(64)))
    assert caplog.messages == []
    assert read_kept(file, NUMBERS) == made
    assert [path.name for path in file.parent.iterdir()] == ["numbers.json"]


def test_what_is_damaged_or_not_whole_is_made_anew_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "numbers.json"
    made: list[list[int]] = []

    def make() -> list[int]:
        made.append([1, 2])
        return made[-1]

    for content in (None, "{oops", "[1]", "[1, 2]"):
        if content is not None:
            file.write_text(content)
        assert kept_json(file, NUMBERS, make, lambda found: len(found) == 2) == [1, 2]
    assert len(made) == 3
