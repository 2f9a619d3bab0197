"""`forget` and `erase` show first and remove with --yes; what is refused leaves everything where it was."""

import pytest

from tests.brains import learn
from tests.cli.conftest import Cli

PASSPORT = "My passport number is XQ-77-4471."


@pytest.fixture
def fact_id(cli: Cli) -> str:
    with cli.open() as memory:
        ana = memory.scope(user="ana")
        ana.add(f"Hello. {PASSPORT}")
        fact = ana.remember(PASSPORT)
        learn(memory, ana, {"Passport?": PASSPORT}, facts=[fact])
        return fact.id


def texts(cli: Cli) -> list[str]:
    return [hit["text"] for hit in cli("search", "passport", "--user", "ana", "--json").json]


def test_a_preview_is_shown_and_nothing_goes(cli: Cli, fact_id: str) -> None:
    shown = cli("forget", fact_id, "--user", "ana")
    assert shown.code == 0
    assert [line.split()[0] for line in shown.out.splitlines()] == ["fact", "turn", "adapter", "live", "Nothing"]
    assert cli("forget", "--query", "passport number", "--user", "ana", "--json").json["facts"][0]["id"] == fact_id
    assert texts(cli)


def test_a_preview_says_what_a_whole_episode_was_about(cli: Cli, fact_id: str) -> None:
    cli("add", "My cat is called Tom. " * 10, "--user", "ana", "--id", "m-9")
    (line, _) = cli("forget", "m-9", "--user", "ana").out.splitlines()
    assert line.startswith("episode    My cat is called Tom. My cat")
    assert line.endswith(" ...  (m-9, whole)")
    assert cli("forget", "m-9", "--user", "ana", "--json").json["beginnings"] == ["My cat is called Tom. " * 10]


def test_with_yes_it_is_gone_and_the_receipt_says_how_that_was_checked(cli: Cli, fact_id: str) -> None:
    done = cli("forget", fact_id, "--user", "ana", "--yes")
    assert (done.code, "FAIL" in done.out) == (0, False)
    assert "weights: withdrawn" in done.out
    assert not any("XQ-77" in text for text in texts(cli))
    assert cli("forget", fact_id, "--user", "ana").code == 2
    assert cli("add", PASSPORT, "--user", "ana").code == 2
    assert cli("forget", "--allow-again", PASSPORT, "--user", "ana", "--json").json == {"lifted": True}
    assert cli("add", PASSPORT, "--user", "ana").code == 0


@pytest.mark.parametrize("wrong", [[], ["--query", "a", "--author", "b"], ["f_unknown"], ["--allow-again", "a", "--yes"]], ids=str)
def test_what_is_not_said_clearly_forgets_nothing(cli: Cli, fact_id: str, wrong: list[str]) -> None:
    assert cli("forget", *wrong, "--user", "ana").code == 2
    assert texts(cli)


def test_what_means_nothing_here_is_no_failure(cli: Cli, fact_id: str) -> None:
    ended = cli("forget", "--query", "submarine", "--user", "ana", "--yes")
    assert (ended.code, ended.out.strip()) == (0, "Nothing here means that.")


def test_a_user_is_erased_after_a_look(cli: Cli, fact_id: str) -> None:
    assert cli("erase", "--user", "ana", "--json").json == {"scopes": ["default/default/ana"]}
    assert cli("erase").code == 2
    assert cli("erase", "--user", "ana", "--whole-tenant").code == 2
    assert cli("erase", "--user", "ana", "--yes").code == 0
    assert cli("erase", "--user", "ana", "--json").json == {"scopes": []}
    assert cli("erase", "--user", "ana", "--yes").code == 2
