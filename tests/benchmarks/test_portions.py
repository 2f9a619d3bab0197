"""Portions of a long benchmark: what is done stays done, and results of other conditions are kept apart."""

from pathlib import Path

import pytest

from benchmarks import portions
from benchmarks.early_stop import told
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


def test_what_keeps_a_benchmark_from_running_is_told_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(portions, "LocalModel", lambda *_: pytest.fail("loaded"))
    Portions(tmp_path / "out", SEED)
    options = portions.parser("any", "Doc.", quick="less").parse_args(["--out", str(tmp_path / "out"), "--json"])
    assert portions.run(options, {}, lambda *_: pytest.fail("measured"), lambda _: pytest.fail("shown")) == 2
    said = capsys.readouterr()
    assert (said.out, "Name another --out" in said.err) == ("", True)


def test_a_benchmark_shows_its_figures_and_ends_with_them_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(portions, "LocalModel", lambda *_: None)
    monkeypatch.setattr(portions, "resolve", lambda _: None)
    options = portions.parser("any", "Doc.", quick="less").parse_args(["--json"])
    shown: list[object] = []
    assert portions.run(options, {}, lambda *_: {"a": 1}, shown.append) == 0
    assert (shown, capsys.readouterr().out) == ([{"a": 1}], '{"a": 1}\n')


@pytest.mark.parametrize(("asked", "expected"), [([], (4, 3)), (["--quick"], (2, 1)), (["--quick", "--seeds", "5"], (2, 5))])
def test_sizes_are_those_asked_for_then_the_quick_ones_then_the_default(asked: list[str], expected: tuple[int, int]) -> None:
    parser = portions.parser("any", "Doc.", quick="less")
    portions.add_sizes(parser, facts=4, seeds=3)
    assert portions.sizes(parser.parse_args(asked), quick=(2, 1), default=(4, 3)) == expected


@pytest.mark.parametrize("asked", [["--facts", "0"], ["--seeds", "-1"], ["--seeds", "some"]])
def test_none_or_fewer_is_wrong_usage(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    parser = portions.parser("any", "Doc.", quick="less")
    portions.add_sizes(parser, facts=4, seeds=3)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(asked)
    assert ended.value.code == 2
    assert asked[0] in capsys.readouterr().err


def test_there_are_customers_enough_to_stop_early_for() -> None:
    assert len(told(4, 4)) >= 3
    assert all(len(facts) == 4 for facts in told(4, 4).values())
