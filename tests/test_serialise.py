"""Every record has one JSON form, on one line of ASCII."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from seal_agent.serialise import plain, to_json
from seal_agent.types import CycleReport, Hit, ScopeId, TrainingResult

SCOPE = ScopeId(user="ana")


def test_a_record_becomes_an_object_with_iso_times() -> None:
    at = datetime(2026, 11, 2, 9, 12, tzinfo=UTC)
    hit = Hit(text="Grüße", score=0.5, source="turn", episode_id="e", fact_id=None, role="user", at=at, scope=SCOPE)
    assert plain(hit) == {
        "text": "Grüße",
        "score": 0.5,
        "source": "turn",
        "episode_id": "e",
        "fact_id": None,
        "role": "user",
        "at": "2026-11-02T09:12:00+00:00",
        "scope": {"tenant": "default", "agent": "default", "user": "ana"},
        "turn": None,
        "name": None,
    }


def test_nested_records_paths_and_tuples_are_told_too() -> None:
    training = TrainingResult(path=Path("a/b"), steps=1, passes=1, trained_tokens=2, seconds=0.5, losses=(1.0, 0.5))
    report = CycleReport(cycle_id="c", scope=SCOPE, state="promoted", reason="yes", training=training, self_edits={"question": 3})
    told = json.loads(to_json(report))
    assert (told["training"]["path"], told["training"]["losses"], told["self_edits"]) == ("a/b", [1.0, 0.5], {"question": 3})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_become_null(number: float) -> None:
    assert to_json({"loss": number}) == '{"loss": null}'


def test_the_line_is_ascii_and_holds_no_line_break() -> None:
    line = to_json(["Grüße\nan \u2028 alle", "\x1b[31m"])
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == ["Grüße\nan \u2028 alle", "\x1b[31m"]


def test_sets_are_sorted() -> None:
    assert plain(frozenset({"b", "a"})) == ["a", "b"]


def test_what_has_no_form_is_a_bug() -> None:
    with pytest.raises(TypeError, match="object has no JSON form"):
        plain(object())
