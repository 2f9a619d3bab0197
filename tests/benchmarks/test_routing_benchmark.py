"""The routing benchmark: everything is asked each way, and what it says of the routes is what the traces say."""

import json
from pathlib import Path

import pytest

from benchmarks import routing
from seal_agent.memory import Memory
from tests.brains import learn, open_brain

SAID = {"shredder": "the Tarvok 900"}


class Fakes:
    """Stands where `Memory` does."""

    @staticmethod
    def open(folder: Path) -> Memory:
        return open_brain(folder, SAID)


def test_every_route_is_asked_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(routing, "Memory", Fakes)
    with open_brain(tmp_path / "brain") as memory:
        bruno = memory.scope(user="bruno", agent="support")
        learn(memory, bruno, {"Which weekday should goods reach Bruno?": "on thursdays"})
    assert routing.main(["--brain", str(tmp_path / "brain"), "--general", "4", "--quick", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["gold"], found["general"], found["customers"], list(found["routes"])) == (9, 2, ["bruno"], list(routing.ROUTES))
    accuracy = {name: row["accuracy"] for name, row in found["routes"].items()}
    assert accuracy["weights"] == pytest.approx(2 / 11), "the lesson, and what the script of the base answers"
    assert found["both_at_least"] == (accuracy["both"] >= max(accuracy["text"], accuracy["weights"]))
    assert found["routes"]["weights"]["prompt_tokens"] < found["routes"]["text"]["prompt_tokens"]
    assert sum(sum(ways.values()) for ways in found["taken"].values()) == 11


@pytest.mark.slow
def test_a_week_whose_night_was_refused_has_nothing_to_route_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "Memory", Fakes)
    with pytest.raises(SystemExit, match="no weights to route to"):
        routing.main(["--brain", str(tmp_path / "brain"), "--general", "4"])


def test_general_questions_are_dealt_once() -> None:
    dealt = routing.dealt({"ana": ([], []), "bruno": ([], [])}, 9, 3)
    texts = [question.text for questions in dealt.values() for question in questions]
    assert (len(texts), len(set(texts)), len(dealt["ana"])) == (9, 9, 5)
