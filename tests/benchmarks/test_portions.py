"""Portions of a long benchmark: what is done stays done, and results of other conditions are kept apart."""

from pathlib import Path

import pytest

from benchmarks.portions import Portions
from seal_agent.errors import UsageError

SEED = {"seed": 0}


def test_a_unit_is_made_once_whatever_happens_to_the_process(tmp_path: Path) -> None:
    file = tmp_path / "new" / "out.jsonl"
    assert Portions(file, SEED).result("a", lambda: [1.5, None]) == [1.5, None]
    assert Portions(file, SEED).result("a", lambda: pytest.fail("made again")) == [1.5, None]


def test_a_line_that_was_left_half_written_is_made_again(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    Portions(file, SEED).result("a", lambda: 1)
    with file.open("a") as kept:
        kept.write('{"unit": "b", "resu')
    assert Portions(file, SEED).result("b", lambda: 2) == 2
    assert Portions(file, SEED).result("b", lambda: 3) == 2


def test_results_of_other_conditions_are_refused(tmp_path: Path) -> None:
    Portions(tmp_path / "out", SEED)
    with pytest.raises(UsageError, match=r'"seed": 0.*not.*"seed": 1.*--out'):
        Portions(tmp_path / "out", {"seed": 1})


def test_a_file_of_another_kind_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("[1, 2]\n3\n")
    with pytest.raises(UsageError, match="no portions"):
        Portions(tmp_path / "out", SEED)
    assert (tmp_path / "out").read_text() == "[1, 2]\n3\n"


def test_once_the_time_is_up_only_what_is_done_is_wanted(tmp_path: Path) -> None:
    Portions(tmp_path / "out", SEED).result("a", lambda: 1)
    over = Portions(tmp_path / "out", SEED, minutes=0)
    assert (over.wants("a"), over.wants("b")) == (True, False)
