"""Nights in a row: what is told when, what merging leaves behind, and the figures, on a tiny model that learns nothing worth knowing."""

import json
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from benchmarks import line_chart, portions
from benchmarks.merging import merged
from benchmarks.nights_plan import live_after, make_nights
from benchmarks.portions import Portions
from benchmarks.seven_nights import Bench, figures, main, measure, plot
from seal_agent.config import ModelSettings
from seal_agent.consolidation import evaluation, inner_loop
from seal_agent.errors import UsageError
from seal_agent.models.local import LocalModel
from seal_agent.types import Question

GENERAL = (Question(id="general-0", text="what is water ?", answers=("water",)),)


def test_every_night_tells_new_facts_and_from_the_second_on_replaces_one_of_an_earlier_night() -> None:
    told = make_nights(7, 8, seed=0)
    assert [len(facts) for facts in told] == [8, 9, 9, 9, 9, 9, 9]
    assert len(live_after(told, 6)) == 56
    for night, facts in enumerate(told[1:], 1):
        [new] = [fact for fact in facts if fact.former]
        [old] = [fact for fact in live_after(told, night - 1) if fact.id == new.id]
        assert new.former == (old.value,) != (new.value,)
    assert told == make_nights(7, 8, seed=0) != make_nights(7, 8, seed=1)


def test_a_replaced_value_is_asked_for_as_stale_and_taught_no_more() -> None:
    told = make_nights(2, 2, seed=0)
    [new] = [fact for fact in told[1] if fact.former]
    assert {question.stale for question in new.questions()} == {new.former}
    taught = [example.answer for fact in live_after(told, 1) for example in fact.examples() if fact.id == new.id]
    assert taught
    assert not any(new.former[0] in answer for answer in taught)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inner_loop, "anchor_prompts", lambda: ("say no",))
    monkeypatch.setattr(evaluation, "general_questions", lambda: GENERAL)
    monkeypatch.setattr(evaluation, "general_texts", lambda: ("ana lives in oslo .",))
    monkeypatch.setattr(portions, "training", partial(portions.training, max_passes=1))


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_both_arms_are_measured_after_each_night_and_go_on_where_they_stopped(chat_model: LocalModel, tmp_path: Path) -> None:
    def bench() -> Bench:
        return Bench(chat_model, make_nights(2, 1, 0), 0, tmp_path / "cache")

    whole = measure(bench(), Portions(tmp_path / "out"))
    assert (whole["nights"], whole["facts"]) == (2, [1, 2])
    for arm in (whole, whole["sequential_merge"]):
        assert len(arm["by_night"]) == 2
        assert arm["seconds"] > 0
        assert arm["by_night"][0]["stale"] is None
        assert arm["stale_told"] is not None
    (tmp_path / "out").write_text("".join((tmp_path / "out").read_text().splitlines(keepends=True)[:3]))
    assert measure(bench(), Portions(tmp_path / "out", minutes=0))["nights"] == 1
    again = measure(bench(), Portions(tmp_path / "out"))
    assert again["sequential_merge"]["by_night"][1]["live"] == whole["sequential_merge"]["by_night"][1]["live"]


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_merging_changes_the_weights_by_what_was_trained_and_a_missing_night_is_named(chat_model: LocalModel, tmp_path: Path) -> None:
    bench = Bench(chat_model, make_nights(2, 1, 0), 0, tmp_path)
    with pytest.raises(UsageError, match="merged-night-0"):
        bench.merging(1)
    bench.merging(0)
    after = LocalModel(merged(chat_model.folder, [tmp_path / "merged-night-0"], tmp_path / "merged"), "m", ModelSettings())
    changed = [
        name
        for (name, one), (_, other) in zip(chat_model.new_view().named_parameters(), after.new_view().named_parameters(), strict=True)
        if not torch.equal(one, other)
    ]
    assert changed
    assert all("proj" in name for name in changed)


def row(night1: float, live: float) -> dict[str, float | None]:
    return {"night1": night1, "live": live, "stale": None, "general": 0.5, "seconds": 1.0}


def test_the_plot_is_a_drawing_with_a_line_for_each_series(tmp_path: Path) -> None:
    arm = figures([row(0.9, 0.9), row(0.5, 0.75)], 0.6)
    assert (arm["night1_after_first"], arm["night1_after_last"], arm["mean_live_last"], arm["seconds"]) == (0.9, 0.5, 0.75, 2.0)
    plot(arm | {"sequential_merge": arm}, tmp_path / "new" / "nights.svg")
    drawn = ElementTree.parse(tmp_path / "new" / "nights.svg").getroot()  # our own file
    assert len(drawn.findall("{http://www.w3.org/2000/svg}polyline")) == 4
    assert "<&>" in "".join(ElementTree.fromstring(line_chart.chart({"<&>": [0.5]}, "t")).itertext())  # our own text
    with pytest.raises(UsageError, match="SVG"):
        plot(arm | {"sequential_merge": arm}, tmp_path / "nights.png")


def test_more_facts_than_there_are_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--nights", "20"])
    assert ended.value.code == 2
    assert "no more than 56 facts" in capsys.readouterr().err


def test_no_time_at_all_says_so_in_the_figures(chat_model: LocalModel, tmp_path: Path) -> None:
    found = measure(Bench(chat_model, make_nights(1, 1, 0), 0, tmp_path), Portions(minutes=0))
    assert json.loads(json.dumps(found)) == {"nights": 0}
