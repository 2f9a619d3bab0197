"""`facts` lists what is held to be true and how far the weights know it, and changes it; `explain` says why."""

from datetime import datetime, timedelta

import pytest

from tests.brains import learn
from tests.cli.conftest import Cli


def test_facts_are_listed_with_what_the_weights_know(cli: Cli) -> None:
    with cli.open() as memory:
        ana = memory.scope(user="ana")
        tea = ana.remember("Ana drinks tea.", kind="preference")
        ana.remember("Ana sails.")
        learn(memory, ana, {"Tea?": "yes"}, facts=[tea])
    lines = cli("facts", "list", "--user", "ana").out.splitlines()
    assert [line.split()[0] for line in lines] == ["learned", "active"]
    assert "(90%)" in lines[0]
    assert [fact["text"] for fact in cli("facts", "list", "--user", "ana", "--state", "active", "--json").json] == ["Ana sails."]


def test_no_facts_is_no_failure(cli: Cli) -> None:
    cli("init")
    assert (cli("facts", "list").code, cli("facts", "list", "--json").json) == (0, [])


def test_an_unknown_state_is_refused(cli: Cli) -> None:
    cli("init")
    assert cli("facts", "list", "--state", "known").code == 2


def test_a_fact_is_corrected_pinned_rejected_and_its_history_is_told(cli: Cli) -> None:
    with cli.open() as memory:
        old = memory.scope(user="ana").remember("Ana lives in Porto.")
    new = cli("facts", "correct", old.id, "Ana lives in Lisbon.", "--user", "ana", "--json").json
    assert cli("facts", "pin", new["id"], "--user", "ana", "--json").json["pinned"]
    assert "pinned Ana lives in Lisbon." in cli("facts", "list", "--user", "ana").out
    assert not cli("facts", "unpin", new["id"], "--user", "ana", "--json").json["pinned"]
    assert cli("facts", "reject", new["id"], "--user", "ana", "--reason", "a joke", "--json").json["state"] == "rejected"
    changes = [event["change"] for event in cli("facts", "history", old.id, "--user", "ana", "--json").json]
    assert {"recorded", "superseded", "corrected", "pinned", "unpinned", "rejected"} == set(changes)
    assert cli("facts", "list", "--user", "ana", "--json").json == []
    assert len(cli("facts", "list", "--user", "ana", "--all", "--json").json) == 2
    assert "a joke" in cli("facts", "show", new["id"], "--user", "ana").out
    assert cli("facts", "pin", new["id"], "--user", "ana").code == 2


def test_a_fact_of_somebody_else_is_no_fact_here(cli: Cli) -> None:
    with cli.open() as memory:
        fact = memory.scope(user="ben").remember("Ben sails.")
    for command in ("show", "history", "pin", "unpin", "reject"):
        assert cli("facts", command, fact.id, "--user", "ana").code == 2


def test_explain_tells_what_stands_behind_a_belief(cli: Cli) -> None:
    with cli.open() as memory:
        ana = memory.scope(user="ana")
        fact = ana.remember("Ana drinks tea.")
        ana.add("The tea was cold today.")
        adapter = learn(memory, ana, {"Tea?": "yes"}, facts=[fact])
    told = cli("explain", "Does she drink tea?", "--user", "ana")
    assert told.code == 0
    assert f"in the weights of {adapter.name}" in told.out
    assert "The tea was cold today." in told.out
    assert f"live: {adapter.name}" in told.out
    assert cli("explain", fact.id, "--user", "ana", "--json").json["beliefs"][0]["fact"]["id"] == fact.id
    assert "Nothing is remembered" in cli("explain", "submarines?", "--user", "cleo").out


@pytest.mark.slow
def test_a_fact_is_stated_pinned_or_for_a_time(cli: Cli) -> None:
    user = ("--user", "ana", "--json")
    pinned = cli("facts", "remember", "Ana drinks tea.", "--kind", "preference", "--pin", *user).json
    assert (pinned["kind"], pinned["pinned"], pinned["valid_to"]) == ("preference", True, None)
    guest = cli("facts", "remember", "Ana's guest stays.", "--ttl", "36h", *user).json
    assert datetime.fromisoformat(guest["valid_to"]) - datetime.fromisoformat(guest["valid_from"]) == timedelta(hours=36)
    assert f"({guest['id']}, until 2026-11-03 " in cli("facts", "list", "--user", "ana").out
    for wrong in (
        ["--ttl", "soon"],
        ["--ttl", "0h"],
        ["--ttl", "-1d"],
        ["--ttl", "99999999999w"],
        ["--kind", "guess"],
        ["--ttl", "1h", "--pin"],
    ):
        assert cli("facts", "remember", "Something else.", *wrong, *user).code == 2
    assert len(cli("facts", "list", *user).json) == 2
