"""`facts` lists what is held to be true, and how far the weights know it."""

from tests.brains import learn
from tests.cli.conftest import Cli


def test_facts_are_listed_with_what_the_weights_know(cli: Cli) -> None:
    with cli.open() as memory:
        ana = memory.scope(user="ana")
        tea = ana.remember("Ana drinks tea.", kind="preference")
        ana.remember("Ana sails.")
        learn(memory, ana, {"Tea?": "yes"}, facts=[tea])
    lines = cli("facts", "--user", "ana").out.splitlines()
    assert [line.split()[0] for line in lines] == ["learned", "active"]
    assert "(90%)" in lines[0]
    assert [fact["text"] for fact in cli("facts", "--user", "ana", "--state", "active", "--json").json] == ["Ana sails."]


def test_no_facts_is_no_failure(cli: Cli) -> None:
    cli("init")
    assert (cli("facts").code, cli("facts", "--json").json) == (0, [])


def test_an_unknown_state_is_refused(cli: Cli) -> None:
    cli("init")
    assert cli("facts", "--state", "known").code == 2


def test_superseded_facts_are_shown_on_request(cli: Cli) -> None:
    from seal_agent.ledger.facts import supersede
    from tests.brains import START

    with cli.open() as memory:
        scope = memory.scope()
        old, new = scope.remember("Old."), scope.remember("New.")
        with memory._parts.ledger.write() as conn:
            supersede(conn, old.id, new.id, START)
    assert [fact["text"] for fact in cli("facts", "--json").json] == ["New."]
    assert [fact["text"] for fact in cli("facts", "--all", "--json").json] == ["Old.", "New."]
