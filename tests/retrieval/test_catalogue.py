"""The catalogue knows where each turn stands, and keeps up with what is recorded, changed and removed."""

import itertools
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seal_agent.ledger.episodes import add_episode
from seal_agent.retrieval.catalogue import Catalogue, Catalogues, Shelf
from seal_agent.types import Episode, ScopeId, Turn
from tests.brains import START

if TYPE_CHECKING:
    from tests.retrieval.conftest import Brain

ANA = ScopeId(agent="support", user="ana")
numbers = itertools.count()


def say(brain: "Brain", session: str | None, *texts: str, name: str | None = None) -> None:
    turns = tuple(Turn(role="user", content=text, name=name) for text in texts)
    with brain.ledger.write() as connection:
        given_id = f"said-{next(numbers)}"
        add_episode(connection, Episode(id=given_id, scope=ANA, session=session, at=START, turns=turns), None, None)


def read(brain: "Brain", shelf: Shelf) -> Catalogue:
    with shelf.lock, brain.ledger.read() as connection:
        return shelf.refresh(connection)


def held(brain: "Brain", shelf: Shelf, word: str) -> list[int]:
    with shelf.lock, brain.ledger.read() as connection:
        shelf.refresh(connection)
        return list(shelf.holding(connection, [word])[0].tolist())


def same(one: Catalogue, other: Catalogue) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in Catalogue.__slots__)


def test_neighbours_are_of_the_same_conversation_across_episodes(brain: "Brain") -> None:
    say(brain, "s1", "a0", "a1")
    say(brain, "s2", "b0")
    say(brain, "s1", "a2")
    say(brain, None, "alone")
    catalogue = read(brain, Shelf(ANA))
    none = len(catalogue)
    assert catalogue.before[:-1].tolist() == [none, 0, none, 1, none]
    assert catalogue.after[:-1].tolist() == [1, 3, none, none, none]
    assert [places.tolist() for places in catalogue.neighbours(np.array([3]))] == [[1], [0], [none], [none]]
    assert catalogue.conversations.tolist() == [0, 0, 1, 0, 2]


def test_facts_have_no_neighbours_and_are_each_a_conversation_of_their_own(brain: "Brain") -> None:
    brain.tell(ANA, "one")
    brain.tell(ANA, "two")
    catalogue = read(brain, Shelf(ANA))
    assert set(catalogue.before.tolist() + catalogue.after.tolist()) == {2}
    assert catalogue.conversations.tolist() == [0, 1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["s1", "s2", None, "fact", "gone"]), st.integers(1, 4)), min_size=1, max_size=8))
def test_kept_up_step_by_step_it_equals_one_read_at_once(brain: "Brain", steps: list[tuple[str | None, int]]) -> None:
    shelf = Shelf(ANA)
    for session, count in steps:
        if session == "fact":
            brain.tell(ANA, f"fact {next(numbers)}")
        elif session == "gone":
            with brain.ledger.write() as connection:
                connection.exec_driver_sql("DELETE FROM entries WHERE seq = (SELECT min(seq) FROM entries)")
        else:
            say(brain, session, *["word" for _ in range(count)])
        kept = read(brain, shelf)
    assert same(kept, read(brain, Shelf(ANA)))
    assert held(brain, shelf, "word") == held(brain, Shelf(ANA), "word")


def test_a_word_stands_in_texts_names_and_dates(brain: "Brain") -> None:
    say(brain, "s1", "the first of Caroline's", "nothing", name="Bo")
    say(brain, "s1", "nothing either", name="Caroline")
    shelf = Shelf(ANA)
    assert held(brain, shelf, "caroline") == [0, 2]
    assert held(brain, shelf, "bo") == [0, 1]
    assert held(brain, shelf, f"{START:%B}".lower()) == held(brain, shelf, str(START.year)) == [0, 1, 2]


def test_a_word_that_was_asked_for_is_kept_up_with(brain: "Brain") -> None:
    shelf = Shelf(ANA)
    assert held(brain, shelf, "cheese") == []
    say(brain, "s1", "cheese", "wine")
    assert held(brain, shelf, "cheese") == [0]
    say(brain, "s1", "more cheese")
    assert held(brain, shelf, "cheese") == [0, 2]


def test_an_unnamed_user_is_spoken_of_by_the_scope_and_an_assistant_is_nobody(brain: "Brain") -> None:
    brain.record(ANA, "hello")
    shelf = Shelf(ANA)
    assert held(brain, shelf, "ana") == [0]
    assert held(brain, shelf, "user") == []


def test_only_so_many_catalogues_are_kept(brain: "Brain") -> None:
    catalogues = Catalogues(kept_entries=1)
    shelves = [catalogues.shelf(ScopeId(user=user)) for user in ("a", "b")]
    for shelf, text in zip(shelves, ("one", "two"), strict=True):
        brain.record(shelf.scope, text)
        read(brain, shelf)
    assert catalogues.shelf(ScopeId(user="b")) is shelves[1]
    assert catalogues.shelf(ScopeId(user="a")) is not shelves[0]
