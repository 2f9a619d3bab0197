"""Keep, redact, block: what reaches the ledger, what is said about it, and what facts are drawn from."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from seal_agent.config import PrivacySettings, Settings
from seal_agent.errors import BlockedContentError, SettingsError, UsageError
from seal_agent.ledger.items import NewItem
from seal_agent.privacy.kinds import KINDS
from seal_agent.privacy.screen import for_training, kinds_in, screened, screened_turns
from seal_agent.types import Episode, Fact, ScopeId, Turn
from tests.brains import open_brain

KEY = "AKIA" + "IOSFODNN7EXAMPLE"
SAID = f"Use {KEY}, and write to ana@example.com."
START = datetime(2026, 11, 2, tzinfo=UTC)


def test_every_kind_has_a_policy() -> None:
    assert tuple(sorted(PrivacySettings().policies)) == tuple(sorted(KINDS))


def test_by_default_keys_are_redacted_and_addresses_kept() -> None:
    assert screened(SAID, PrivacySettings()) == "Use [redacted: api_key], and write to ana@example.com."


def test_each_kind_follows_its_own_policy() -> None:
    assert screened(SAID, PrivacySettings(api_key="keep", email="redact")) == f"Use {KEY}, and write to [redacted: email]."


def test_what_is_blocked_is_refused_without_being_repeated() -> None:
    with pytest.raises(BlockedContentError, match=r"Turn 1 holds what privacy\.api_key = 'block' keeps out.*characters 4 to 24") as caught:
        screened_turns([Turn(role="user", content="hi"), Turn(role="tool", content=SAID)], PrivacySettings(api_key="block"))
    assert KEY not in str(caught.value)


def test_a_redacted_text_is_not_redacted_again() -> None:
    once = screened(SAID, PrivacySettings())
    assert screened(once, PrivacySettings()) == once


@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
def test_every_role_is_screened_and_the_episode_says_what_was_taken_out(tmp_path: Path, role: str) -> None:
    with open_brain(tmp_path) as memory:
        ana = memory.scope(user="ana")
        episode = ana.add([{"role": role, "content": SAID}], outcome=f"used {KEY}", id="e1")
        assert (episode.turns[0].content, episode.redacted) == ("Use [redacted: api_key], and write to ana@example.com.", ("api_key",))
        assert episode.outcome == "used [redacted: api_key]"
        assert ana.add([{"role": role, "content": SAID}], outcome=f"used {KEY}", id="e1") == episode
    assert KEY.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_what_is_remembered_is_screened(tmp_path: Path) -> None:
    with open_brain(tmp_path) as memory:
        assert memory.scope(user="ana").remember(f"The key is {KEY}.").text == "The key is [redacted: api_key]."


def test_corrections_and_reasons_are_screened(tmp_path: Path) -> None:
    with open_brain(tmp_path) as memory:
        ana = memory.scope(user="ana")
        old = ana.remember("Ana's gate opens at eight.")
        assert ana.correct(old.id, f"Ana's gate opens with {KEY}.").text == "Ana's gate opens with [redacted: api_key]."
        rejected = ana.reject(ana.remember("Ana has a boat.").id, f"no, {KEY}")
        assert ana.history(rejected.id)[-1].note == "no, [redacted: api_key]"


def test_items_are_screened_and_wait_for_the_vectors_of_what_is_left(tmp_path: Path) -> None:
    def item(key: str, value: object) -> NewItem:
        vectors = {"$": np.ones(4, dtype=np.float32)}
        return NewItem(namespace=("notes",), key=key, value=json.dumps(value), texts='["$"]', ttl=None, vectors=vectors)

    with open_brain(tmp_path) as memory:
        items = memory.scope(user="ana").items
        items.write({(("notes",), key): item(key, said) for key, said in (("a", {"said": [SAID, 3]}), ("b", {"said": "hi"}))}, "four")
        held = {item.key: json.loads(item.value) for item in items.find(("notes",))}
        assert held == {"a": {"said": ["Use [redacted: api_key], and write to ana@example.com.", 3]}, "b": {"said": "hi"}}
        assert [item.key for item in items.not_embedded(("notes",), "four", 9)] == ["a"]
    with open_brain(tmp_path, settings=Settings(privacy=PrivacySettings(email="block"))) as memory:
        items = memory.scope(user="ana").items
        with pytest.raises(BlockedContentError, match="The item 'c'"):
            items.write({(("notes",), "c"): item("c", [SAID])}, "four")
        assert len(items.find(("notes",))) == 2
    assert KEY.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_blocked_content_leaves_nothing_behind(tmp_path: Path) -> None:
    with open_brain(tmp_path, settings=Settings(privacy=PrivacySettings(email="block"))) as memory:
        ana = memory.scope(user="ana")
        for refused in (lambda: ana.add(SAID), lambda: ana.remember(SAID), lambda: ana.add("hi", outcome=SAID)):
            with pytest.raises(BlockedContentError):
                refused()
        assert (memory.stats().episodes, memory.stats().facts) == (0, {})


def test_facts_are_drawn_from_copies_that_hold_marks_and_the_ledger_keeps_the_words() -> None:
    episode = Episode(id="e", scope=ScopeId(user="ana"), session=None, at=START, turns=(Turn(role="user", content=f"I'm vegan. {SAID}"),))
    (copy,) = for_training([episode], PrivacySettings())
    assert copy.turns[0].content == "I'm vegan. Use [redacted: api_key], and write to [redacted: email]."
    assert episode.turns[0].content == f"I'm vegan. {SAID}"


def test_a_fact_says_which_kinds_it_holds() -> None:
    fact = Fact(id="f", scope=ScopeId(user="ana"), kind="profile", text=SAID, quote=SAID, valid_from=START)
    assert kinds_in(fact, PrivacySettings()) == ("api_key", "email")


@pytest.mark.parametrize("toml", ['email = "hide"', 'patterns = { broken = "(" }', 'emails = "keep"'])
def test_a_policy_that_makes_no_sense_is_refused(tmp_path: Path, toml: str) -> None:
    (tmp_path / "seal.toml").write_text(f"[privacy]\n{toml}\n")
    with pytest.raises(SettingsError, match="privacy"):
        Settings.load(tmp_path / "seal.toml")


def test_the_error_is_one_of_usage() -> None:
    assert issubclass(BlockedContentError, UsageError)
