"""Both trainers side by side on a tiny model, and the way out where TRL is missing."""

import importlib.util
from pathlib import Path

import pytest

from benchmarks import trl_peer
from benchmarks.portions import Portions
from benchmarks.trl_peer import Bench, Plan, main, measure
from seal_agent.models.local import LocalModel

ONE = Plan(facts=1, seeds=[0], passes=1)


def test_without_trl_the_benchmark_names_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert main([]) == 2
    assert "pip install" in capsys.readouterr().err


def test_a_seed_counts_once_both_arms_have_run(chat_model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trl_peer, "version", lambda _: "1")
    monkeypatch.setattr(Bench, "run", lambda _, arm, __, seed: {"seconds": 2.0 + (arm == "trl"), "recall": 0.5})
    figures = measure(chat_model, Plan(facts=1, seeds=[0, 1], passes=1), tmp_path, Portions())
    assert (figures["seconds_ours"], figures["seconds_trl"], figures["recall_ours"], figures["ratio"]) == (2.0, 3.0, 0.5, 2 / 3)
    assert (figures["trials"], figures["seeds"]) == (2, [0, 1])
    kept = Portions(tmp_path / "out")
    kept.result("0/ours", lambda: {"seconds": 1.0, "recall": 1.0})
    assert measure(chat_model, ONE, tmp_path, Portions(tmp_path / "out", minutes=0)) == {"trials": 0}


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="TRL comes with the extra `bench` only")
@pytest.mark.filterwarnings("ignore")  # TRL's and its dependencies' own
def test_both_trainers_learn_the_same_facts(chat_model: LocalModel, tmp_path: Path) -> None:
    figures = measure(chat_model, ONE, tmp_path, Portions())
    assert figures["trials"] == 1
    assert min(figures["seconds_ours"], figures["seconds_trl"]) > 0
