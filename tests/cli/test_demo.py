"""The demo on the fakes: every step and figure, in a second. What the real model learns is `tests/test_learning.py`'s to prove."""

import json
from pathlib import Path

import pytest

from seal_agent.cli import demo, main, session
from seal_agent.cli.demo import read_week
from seal_agent.cli.demo_run import run_demo
from seal_agent.cli.demo_show import Narrator
from seal_agent.config import Settings
from seal_agent.errors import UsageError
from seal_agent.memory import Memory
from seal_agent.testing import HashEmbedder, InstantTrainer, ScriptedModel
from seal_agent.types import ProgressCallback, silent


def open_fake(folder: Path, progress: ProgressCallback) -> Memory:
    settings = Settings.load(gate={"min_gain": 0.0})
    return Memory.open(folder, settings=settings, model=ScriptedModel({}), trainer=InstantTrainer(), embedder=HashEmbedder(256))


def test_the_demo_measures_all_four_phases_and_puts_every_miss_down_to_a_step(tmp_path: Path) -> None:
    with open_fake(tmp_path, silent) as memory:
        result = run_demo(memory, read_week("support_week", "ana"), Narrator(quiet=True), silent)

    assert result.customers == ("ana",)
    assert result.questions == len(result.rows) == 9
    assert result.promoted == 1
    assert result.rollback_bit_equal
    assert result.recall_rolled_back == result.recall_base == 0.0
    assert result.recall_promoted_again == result.recall_after
    assert sum(result.missed.values()) == sum(not row.right[1] for row in result.rows)
    assert result.perplexity_ratio == pytest.approx(1.0)
    assert 0 < result.facts_learned <= result.facts_total
    assert result.forgotten is not None
    assert not result.forgotten.still_right
    assert result.forgotten.before != result.forgotten.after
    assert result.forgotten.receipt.adapters
    assert result.forgotten.receipt.scan.hits == ()


def test_demo_json_ends_with_one_object_holding_the_documented_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "open_memory", open_fake)

    code = main(["demo", "--json"])

    out = capsys.readouterr().out
    figures = json.loads(out.splitlines()[-1])
    assert code == 0
    assert len(out.splitlines()) == 1
    assert {"recall_base", "recall_after", "recall_rolled_back", "recall_promoted_again", "general_base", "general_after"} <= set(figures)
    assert {"perplexity_ratio", "missed", "facts_total", "facts_learned", "trained_tokens", "seconds", "peak_rss_mb"} <= set(figures)
    assert set(figures["missed"]) == {"not_extracted", "no_material", "not_recalled", "stale"}


def test_the_demo_ends_with_the_table_question_by_question(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(demo, "open_memory", open_fake)

    assert main(["demo", "--customers", "dmitri"]) == 0

    out = capsys.readouterr().out
    assert "What membership tier does Dmitri hold at present?" in out
    assert "to the letter: yes" in out


@pytest.mark.parametrize(("week", "customers"), [("support_week", "nobody"), ("third_week", ""), ("support_week", "ana,nobody")])
def test_an_unknown_week_or_customer_is_refused_with_the_ones_there_are(week: str, customers: str) -> None:
    with pytest.raises(UsageError, match=r"ana|support_week"):
        read_week(week, customers)


def test_all_customers_are_the_seven_of_the_week_and_four_of_the_second() -> None:
    assert len(read_week("support_week", "all")) == 7
    assert len(read_week("second_week", "all")) == 4
    assert session.open_memory is not open_fake
