"""Keys: made once, kept as a hash, bound to a scope, ended on time, and managed while another process owns the brain."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from seal_agent.api_keys import ApiKeys, keys_of_folder
from seal_agent.errors import InvalidTurnError, StoreError, UnknownRecordError, UsageError
from seal_agent.ledger.ledger import DATABASE, Ledger
from seal_agent.types import ScopeId

ANA = ScopeId(agent="support", user="ana")
SUPPORT = ScopeId(agent="support")


class SetClock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path) as opened:
        yield opened


@pytest.fixture
def keys(ledger: Ledger, clock: SetClock) -> ApiKeys:
    return ApiKeys(ledger, clock)


def test_a_token_opens_the_scope_it_was_made_for(keys: ApiKeys) -> None:
    key, token = keys.create(ANA, role="reader", name="laptop")
    found = keys.authenticate(token)
    assert found == key
    assert found is not None
    assert (found.scope, found.role, found.any_user) == (ANA, "reader", False)


def test_no_token_is_ever_made_twice(keys: ApiKeys) -> None:
    assert len({keys.create(ANA)[1] for _ in range(20)}) == 20


def test_the_database_never_holds_a_secret(keys: ApiKeys, ledger: Ledger) -> None:
    _, token = keys.create(ANA)
    secret = token.split("-", 2)[2]
    on_disk = b"".join(file.read_bytes() for file in ledger.folder.glob(f"{DATABASE}*"))
    assert secret.encode() not in on_disk


@pytest.mark.parametrize("wrong", ["", "seal-", "x" * 1_000_000, "seal-zz-", "naïve", "seal-000000000000-" + "a" * 43, "\x00"])
def test_a_wrong_token_opens_nothing(keys: ApiKeys, wrong: str) -> None:
    keys.create(ANA)
    assert keys.authenticate(wrong) is None


def test_the_right_id_with_another_keys_secret_opens_nothing(keys: ApiKeys) -> None:
    (a, _), (_, token_b) = keys.create(ANA), keys.create(SUPPORT)
    assert keys.authenticate(f"seal-{a.id}-{token_b.split('-', 2)[2]}") is None


def test_a_key_expires_to_the_second(keys: ApiKeys, clock: SetClock) -> None:
    _, token = keys.create(ANA, lifetime=timedelta(days=1))
    clock.now += timedelta(days=1) - timedelta(seconds=1)
    assert keys.authenticate(token) is not None
    clock.now += timedelta(seconds=1)
    assert keys.authenticate(token) is None


def test_a_revoked_key_is_out_at_once_and_revoking_again_changes_nothing(keys: ApiKeys) -> None:
    key, token = keys.create(ANA)
    assert keys.revoke(key.id) == keys.revoke(key.id)
    assert keys.authenticate(token) is None


def test_a_brain_whose_keys_are_all_revoked_stays_closed(keys: ApiKeys) -> None:
    assert not keys.exist()
    key, _ = keys.create(ANA)
    keys.revoke(key.id)
    assert keys.exist()


def test_rotation_keeps_scope_role_and_lifetime_and_lets_the_old_key_work_during_the_grace(keys: ApiKeys, clock: SetClock) -> None:
    old, old_token = keys.create(SUPPORT, role="operator", any_user=True, lifetime=timedelta(days=30))
    clock.now += timedelta(days=10)
    new, token = keys.rotate(old.id, grace=timedelta(hours=1))
    assert (new.scope, new.role, new.any_user, new.replaces) == (SUPPORT, "operator", True, old.id)
    assert new.expires_at == clock.now + timedelta(days=30)
    assert keys.authenticate(old_token) is not None
    clock.now += timedelta(hours=1)
    assert keys.authenticate(old_token) is None
    assert keys.authenticate(token) == new


def test_grace_never_prolongs_a_key(keys: ApiKeys, clock: SetClock) -> None:
    old, old_token = keys.create(ANA, lifetime=timedelta(hours=1))
    keys.rotate(old.id, grace=timedelta(days=7))
    clock.now += timedelta(hours=1)
    assert keys.authenticate(old_token) is None


def test_a_dead_key_is_not_rotated(keys: ApiKeys) -> None:
    key, _ = keys.create(ANA)
    keys.revoke(key.id)
    with pytest.raises(UsageError, match="revoked or expired"):
        keys.rotate(key.id)


def test_an_unknown_key_is_named(keys: ApiKeys) -> None:
    with pytest.raises(UnknownRecordError, match="'nope'"):
        keys.revoke("nope")


@pytest.mark.parametrize("scope", [ANA, ScopeId(agent=None)])
def test_only_an_agents_key_may_act_for_any_user(keys: ApiKeys, scope: ScopeId) -> None:
    with pytest.raises(UsageError, match="any_user"):
        keys.create(scope, any_user=True)


def test_what_makes_no_sense_is_refused(keys: ApiKeys) -> None:
    with pytest.raises(UsageError, match="no role"):
        keys.create(ANA, role="root")  # type: ignore[arg-type]  # what a command line may pass
    with pytest.raises(UsageError, match="over before"):
        keys.create(ANA, lifetime=timedelta(0))
    with pytest.raises(InvalidTurnError, match="name"):
        keys.create(ANA, name="x" * 129)
    assert keys.list() == []


def test_keys_are_managed_while_another_owner_has_the_brain_open(ledger: Ledger) -> None:
    keys = ApiKeys(ledger)
    with keys_of_folder(ledger.folder) as beside:  # the lock is taken, as by a server
        key, token = beside.create(ANA)
        assert [each.id for each in beside.list()] == [key.id]
    assert keys.authenticate(token) is not None
    with keys_of_folder(ledger.folder) as beside:
        beside.revoke(key.id)
    assert keys.authenticate(token) is None


def test_keys_are_managed_when_nobody_has_the_brain_open(tmp_path: Path) -> None:
    with keys_of_folder(tmp_path / "new") as keys:
        _, token = keys.create(ANA)
    with keys_of_folder(tmp_path / "new") as keys:
        assert keys.authenticate(token) is not None


def test_an_older_schema_under_a_running_process_is_told(ledger: Ledger) -> None:
    with ledger.write() as conn:
        version = conn.exec_driver_sql("PRAGMA user_version").scalar_one()
        conn.exec_driver_sql(f"PRAGMA user_version={version - 1}")
    with keys_of_folder(ledger.folder) as keys, pytest.raises(StoreError, match="older seal-agent"):
        keys.list()
