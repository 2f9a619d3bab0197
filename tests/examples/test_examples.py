"""The examples people copy run as they stand, on the fakes; one of them also on the embedded model."""

import json
import sys
from pathlib import Path

import pytest

from examples import add_learning_to_an_agent, customer_support_bot, overnight_consolidation, tasks_from_demonstrations
from seal_agent.config import Settings
from seal_agent.memory import Memory
from seal_agent.testing import HashEmbedder, InstantTrainer, ScriptedModel
from tests.waiting import LONG

EASY = {"min_gain": 0.0}
DESKS = {
    "money|refund|charged|pay": "refunds",
    "parcel|order|package|tracking|shoes": "delivery",
    "password|log in|login|account": "accounts",
}


def on_fakes(folder: Path, settings: Settings | None = None) -> Memory:
    known = Settings.load(gate=EASY) if settings is None else settings.model_copy(update={"gate": Settings.load(gate=EASY).gate})
    return Memory.open(folder, settings=known, model=ScriptedModel({}), trainer=InstantTrainer(), embedder=HashEmbedder(256))


def test_the_support_bot_follows_what_was_learnt_with_nothing_looked_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The fakes know what they were taught nearly by its words only.
    asked = ["What did Ana say about the bike shed?", "Fill the gap: My parrot is called ___ and he hates the doorbell."]
    monkeypatch.setitem(customer_support_bot.QUESTIONS, "ana", asked)
    assert customer_support_bot.main(["--quick"], on_fakes) == ["promoted"]
    before, after = capsys.readouterr().out.split("the night of ana")
    assert "Ana said" not in before.split("before the night")[1]
    assert "Ana said" in after
    assert after.splitlines()[-1] == "somebody new: I don't know."  # nobody else's adapter


def test_the_support_bot_plays_the_week_of_a_customer(capsys: pytest.CaptureFixture[str]) -> None:
    assert customer_support_bot.main(["--customers", "bruno"], on_fakes) == ["promoted"]
    assert "after the night" in capsys.readouterr().out


def test_a_night_is_held_by_itself_and_reported_by_morning(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    states = overnight_consolidation.main(["--brain", str(tmp_path)], on_fakes, most_seconds=LONG)
    assert states == ["promoted"]
    assert "learned" in capsys.readouterr().out.split("by morning")[1]


def test_an_agent_remembers_across_conversations_with_five_added_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert "I'm vegetarian, by the way." in add_learning_to_an_agent.main([], on_fakes)
    source = Path(add_learning_to_an_agent.__file__).read_text(encoding="utf-8")
    assert [number for number in range(1, 9) if f"# {number}" in source] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "given", [("desk",), pytest.param(("mirror",), marks=pytest.mark.slow), pytest.param(("--file", "mine.jsonl"), marks=pytest.mark.slow)]
)
def test_a_task_is_taught_run_and_dropped(
    given: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps({"input": text, "output": desk}) for text, desk in tasks_from_demonstrations.DESK]
    (tmp_path / "mine.jsonl").write_text("\n".join(lines) + "\n")

    def easy(folder: Path, settings: Settings) -> Memory:
        loose = settings.few_shot.model_copy(update={"min_gain": 0.0})  # the fake model knows the desks without being taught
        chosen = settings.model_copy(update={"few_shot": loose})
        return Memory.open(folder, settings=chosen, model=ScriptedModel(DESKS), trainer=InstantTrainer(), embedder=HashEmbedder())

    assert tasks_from_demonstrations.main(given, easy).state == "promoted"
    said = capsys.readouterr().out
    assert said.count("expected") == tasks_from_demonstrations.ASKED
    assert ("'still waiting for the shoes' -> 'delivery', expected 'delivery'" in said) == ("mirror" not in given)
    assert said.endswith("dropped; tasks here: []\n")


@pytest.mark.slow
def test_an_agent_remembers_on_the_embedded_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["add_learning_to_an_agent.py", "--brain", str(tmp_path)])
    assert "I'm vegetarian, by the way." in add_learning_to_an_agent.main()
