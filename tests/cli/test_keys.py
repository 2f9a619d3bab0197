"""`keys`: the token on stdout, once; the rest on stderr; no brain, no key."""

from datetime import UTC, datetime, timedelta

import pytest

from seal_agent.types import ScopeId
from tests.cli.conftest import Cli


@pytest.fixture
def brain(cli: Cli) -> Cli:
    cli.open().close()
    return cli


def test_create_prints_a_token_that_works_and_nothing_else(brain: Cli) -> None:
    ended = brain("keys", "create", "--agent", "support", "--user", "ana")
    (token,) = ended.out.splitlines()
    assert "default/support/ana" in ended.err
    with brain.open() as memory:
        key = memory.keys.authenticate(token)
        assert key is not None
        assert key.scope == ScopeId(agent="support", user="ana")


def test_a_key_lasts_ninety_days_unless_told_otherwise(brain: Cli) -> None:
    made = [brain("keys", "create", *lasting, "--json").json["key"]["expires_at"] for lasting in ([], ["--expires", "never"])]
    assert made[1] is None
    assert timedelta(days=89) < datetime.fromisoformat(made[0]) - datetime.now(UTC) < timedelta(days=91)


def test_list_shows_states_and_never_a_token(brain: Cli) -> None:
    first = brain("keys", "create", "--name", "laptop", "--json").json
    second = brain("keys", "create", "--any-user", "--role", "operator", "--json").json
    assert brain("keys", "revoke", first["key"]["id"]).code == 0
    out = brain("keys", "list").out
    assert "revoked" in out
    assert "default/default/*" in out
    assert first["token"].rsplit("-", 1)[1] not in out
    assert [key["id"] for key in brain("keys", "list", "--json").json] == [first["key"]["id"], second["key"]["id"]]


def test_rotate_gives_a_new_token_and_ends_the_old_one(brain: Cli) -> None:
    old = brain("keys", "create", "--json").json
    new = brain("keys", "rotate", old["key"]["id"], "--json").json
    assert new["key"]["replaces"] == old["key"]["id"]
    with brain.open() as memory:
        assert memory.keys.authenticate(old["token"]) is None
        assert memory.keys.authenticate(new["token"]) is not None


def test_keys_are_made_while_a_server_has_the_brain(brain: Cli) -> None:
    with brain.open() as memory:
        token = brain("keys", "create", "--json").json["token"]
        assert memory.keys.authenticate(token) is not None


@pytest.mark.parametrize(
    "wrong", [("--expires", "soon"), ("--expires", "0d"), ("--role", "root"), ("--any-user", "--user", "ana"), ("--tenant", "../../etc")]
)
def test_wrong_options_are_refused(brain: Cli, wrong: tuple[str, ...]) -> None:
    ended = brain("keys", "create", *wrong)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: ")


def test_a_misspelt_folder_does_not_become_a_brain(cli: Cli) -> None:
    ended = cli("keys", "create")
    assert ended.code == 2
    assert "no brain" in ended.err
    assert not cli.brain.exists()


def test_an_empty_list_says_what_it_means(brain: Cli) -> None:
    assert "this machine only" in brain("keys", "list").out


def test_unknown_ids_and_endless_grace_are_refused(brain: Cli) -> None:
    assert "'nope'" in brain("keys", "revoke", "nope").err
    assert brain("keys", "rotate", "nope", "--grace", "never").code == 2
