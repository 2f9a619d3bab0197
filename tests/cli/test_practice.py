"""`practice` prints what a round found, and its code says what the gate said."""

from typing import Any

import pytest

from seal_agent.consolidation.policies import POLICIES
from seal_agent.consolidation.registering import Entry, register
from seal_agent.consolidation.round_report import RoundReport, Tried
from seal_agent.scope import Scope
from seal_agent.types import Check, Decision
from tests.brains import START
from tests.cli.conftest import Cli
from tests.few_shot.test_practising import taught


def report(state: str) -> RoundReport:
    tried = (
        Tried(context="c", policy=POLICIES[0], written=3, refused=1, choosing=2.0, reporting=1.0),
        Tried(context="c", policy=POLICIES[1], written=2, refused=0, choosing=0.0, reporting=1.0),
    )
    checks = (Check(name="gain", passed=state == "promoted", text="+0.1"),)
    decision = Decision(verdict="promote" if state == "promoted" else "reject", checks=checks)
    return RoundReport(
        round=1,
        state=state,
        reason="so it came",
        editor="e-v1" if state == "promoted" else None,
        writer=None,
        policy=POLICIES[0],
        policies={POLICIES[0].text: 1.0, POLICIES[1].text: 0.5},
        tried=tried,
        judged=(),
        decision=decision,
    )


@pytest.mark.parametrize(("state", "code", "rounds"), [("promoted", 0, 2), ("rejected", 1, 1), ("skipped", 0, 1)])
def test_the_code_says_what_became_of_it_and_rounds_go_on_only_while_it_helps(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, state: str, code: int, rounds: int
) -> None:
    def practice(self: Scope, **_: Any) -> RoundReport:
        return report(state)

    monkeypatch.setattr(Scope, "practice", practice)
    cli("init")
    ended = cli("practice", "--rounds", "2")
    assert (ended.code, ended.out.count("round 1")) == (code, rounds)
    assert "winner's curse: 100%" in ended.out
    assert [one["state"] for one in cli("practice", "--json").json] == [state]


def test_too_few_facts_end_with_2(cli: Cli) -> None:
    cli("init")
    ended = cli("practice")
    assert ended.code == 2
    assert "practice needs 9" in ended.err


@pytest.mark.slow
def test_what_nights_write_with_is_shown_and_taken_back(cli: Cli) -> None:
    cli("init")
    assert (
        cli("practice", "--show").out
        == "policy  as the settings say\neditor  none, the base writes\nrecipes for tasks  no editor, the base writes\n"
    )
    assert cli("practice", "--show", "--json").json["editor"] is None
    assert "Nobody has practised" in cli("practice", "--drop").err
    assert cli("practice", "--show", "--drop").code == 2
    with cli.open() as memory:
        scope = memory.scope()
        check = Check(name="policy", passed=True, text="")
        decision = Decision(verdict="promote", checks=(check,))
        entry = Entry(scope=scope.id, kind="policy", name="policy", decision=decision, reason="", record=POLICIES[1].text, seed=0)
        register(memory._parts.backends(), entry, None, START)
    assert POLICIES[1].text in cli("practice", "--show").out
    assert "of default/default" in cli("practice", "--show", "--user", "ana").out
    assert cli("practice", "--drop").out.startswith("policy  as the settings say")


@pytest.mark.slow
def test_recipes_are_practised_on_tasks_and_shown_by_task(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("init")
    assert "practising recipes needs 4" in cli("practice", "--recipes").err
    with cli.open() as memory:
        editor = taught(memory).practice_recipes().editor
    ended = cli("practice", "--recipes", "--user", "ana")
    assert (ended.code, "round 2 rejected" in ended.out, "sound recipes 4 -> 4" in ended.out) == (1, True, True)
    assert f"recipes for tasks  {editor}" in cli("practice", "--show", "--user", "ana").out
    assert f"{editor}  promoted" in (listed := cli("adapters", "list", "--user", "ana").out)
    assert "editor of recipes" in listed
    assert cli("practice", "--recipes", "--user", "ana", "--json").json[0]["state"] == "rejected"
