"""Facts over time: stated, merged, corrected, rejected, pinned, expired; what no longer holds is told nowhere."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from seal_agent.errors import UnknownRecordError, UsageError
from seal_agent.memory import Memory
from seal_agent.testing import HashEmbedder
from tests.brains import START, Clock, open_brain


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(tmp_path: Path, clock: Clock) -> Iterator[Memory]:
    with open_brain(tmp_path / "brain", embedder=HashEmbedder(256), clock=clock) as opened:
        yield opened


def told(memory: Memory) -> set[str]:
    return {fact.text for fact in memory.scope(user="ana").facts(["active", "learned"])}


def test_what_says_the_same_in_other_words_is_one_fact(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    first = ana.remember("The kettle stands in the kitchen.")
    assert ana.remember("The kettle, it stands in the kitchen!") == first
    assert ana.remember("The kettle stands in kitchen 7.") != first


def test_a_statement_that_corrects_by_its_wording_supersedes(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    old = ana.remember("Ana lives in Silver Street.")
    new = ana.remember("Ana now lives in Granite Street.")
    assert told(memory) == {new.text}
    (superseded,) = ana.facts(["superseded"])
    assert (superseded.id, superseded.superseded_by, superseded.valid_to) == (old.id, new.id, new.valid_from)


def test_a_correction_takes_the_place_and_the_pin_and_the_old_one_is_history(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    old = ana.remember("Ana's order ships to Silver.", pin=True)
    new = ana.correct(old.id, "Ana's order ships to Granite.")
    assert new.pinned
    assert told(memory) == {"Ana's order ships to Granite."}
    assert all("Silver" not in hit.text for hit in ana.search("order ships", 9))
    assert "Silver" not in ana.context("Where does the order ship?").text
    changes = [(event.change, event.text) for event in ana.history(new.id)]
    assert changes[0] == ("recorded", "Ana's order ships to Silver.")
    assert {change for change, _ in changes} == {"recorded", "pinned", "superseded", "corrected"}
    assert ana.correct(new.id, new.text) == new
    with pytest.raises(UsageError, match="superseded"):
        ana.correct(old.id, "Anything.")


def test_a_rejected_fact_is_told_nowhere_nor_is_the_sentence_it_was_drawn_from(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.add("I've been vegan since 2011. I live in Porto near the river.")
    ana.consolidate()
    home = next(fact for fact in ana.facts() if "Porto" in fact.text)
    rejected = ana.reject(home.id, "that was my brother")
    assert (rejected.state, rejected.learned_by) == ("rejected", None)
    assert ana.reject(home.id) == rejected
    assert all("Porto" not in hit.text for hit in ana.search("Where does she live, Porto?", 9))
    assert any("vegan" in hit.text for hit in ana.search("vegan", 9))
    assert "Porto" not in ana.context("Where does she live?").text
    assert [event.note for event in ana.history(home.id) if event.change == "rejected"] == ["that was my brother"]


def test_a_fact_with_a_time_to_live_expires_everywhere_and_is_unlearnt(memory: Memory, clock: Clock) -> None:
    ana = memory.scope(user="ana")
    guest = ana.remember("Ana's guest stays until the weekend.", ttl=timedelta(hours=2))
    ana.remember("Ana drinks tea in the morning.")
    assert guest.valid_to is not None
    ana.consolidate()
    clock.now += timedelta(hours=3)
    assert told(memory) <= {"Ana drinks tea in the morning."}
    assert [fact.state for fact in ana.facts() if fact.id == guest.id] == ["expired"]
    assert all("guest" not in hit.text for hit in ana.search("guest weekend"))
    plan = ana.consolidate(dry_run=True)
    assert guest.id not in {fact.id for fact in (*plan.new_facts, *plan.replayed_facts)}
    assert ana.history(guest.id)[-1].change == "expired"


def test_stating_it_again_gives_it_more_time_or_no_end_and_a_pin_takes_the_limit_away(memory: Memory, clock: Clock) -> None:
    ana = memory.scope(user="ana")
    first = ana.remember("Ana's guest stays.", ttl=timedelta(hours=2))
    again = ana.remember("Ana's guest stays.", ttl=timedelta(days=2))
    assert again.id == first.id
    assert again.valid_to is not None
    assert first.valid_to is not None
    assert again.valid_to > first.valid_to
    assert ana.remember("Ana's guest stays.").valid_to is None
    assert ana.remember("Ana's guest stays.", ttl=timedelta(hours=2)).valid_to is not None
    assert ana.pin(first.id).valid_to is None
    clock.now += timedelta(days=9)
    assert told(memory) == {"Ana's guest stays."}
    assert not ana.unpin(first.id).pinned


def test_pinned_facts_stand_first_in_the_profile_whatever_their_kind(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.remember("Ana wants short answers.", kind="preference")
    event = ana.remember("The lift is out of order.", kind="event", pin=True)
    assert ana.context("hello").cited[0] == event.id


def test_since_when_it_holds_is_not_when_it_was_recorded(memory: Memory) -> None:
    fact = memory.scope(user="ana").remember("Ana moved.", valid_from=START - timedelta(days=900))
    assert fact.valid_from == START - timedelta(days=900)
    assert fact.recorded_at is not None
    assert fact.recorded_at > fact.valid_from


@pytest.mark.parametrize(
    "wrong",
    [
        {"ttl": timedelta()},
        {"ttl": 60},
        {"ttl": timedelta(days=1), "pin": True},
        {"ttl": timedelta.max},
        {"valid_from": START.replace(tzinfo=None)},
    ],
    ids=str,
)
def test_a_time_that_makes_no_sense_is_refused(memory: Memory, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        memory.scope(user="ana").remember("Ana sails.", **wrong)
    assert memory.scope(user="ana").facts() == []


def test_a_shared_fact_is_changed_where_it_is_of_and_nobody_else_s_is_known(memory: Memory) -> None:
    shared, bens = memory.scope().remember("Parcels ship on Mondays."), memory.scope(user="ben").remember("Ben sails.")
    ana = memory.scope(user="ana")
    with pytest.raises(UnknownRecordError, match="change it there"):
        ana.correct(shared.id, "Parcels ship on Fridays.")
    assert ana.history(shared.id)[0].text == shared.text
    for call in (ana.history, ana.pin, ana.reject):
        with pytest.raises(UnknownRecordError, match="No fact"):
            call(bens.id)
