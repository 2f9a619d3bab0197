"""How one would ask for a fact."""

import numpy as np
import pytest

from seal_agent.consolidation.asking import FEW, LEAST, MOST_BY_OWN_WORDS, Asked, Topics, grouped, own_words, shared_out, taking_turns
from seal_agent.consolidation.bundled import topics as bundled_topics
from tests.consolidation.brains import ALLERGY, ANA, BEN, CAR, DIET, HASHED, HOME, fact

FACTS = [
    fact(quote)
    for quote in (DIET, HOME, CAR, ALLERGY, "I live in Lisbon.", "My car is electric, a Renault Zoe.", "We keep kosher at home.")
]
VECTORS = HASHED.embed([one.quote for one in FACTS])


def test_a_fact_is_asked_for_by_the_questions_of_its_topic(topics: Topics) -> None:
    [asked] = topics.questions([fact(HOME)], 14)
    assert asked[0].topic == "home city"
    assert ("Where does Ana live?", "Where do I live?") in [(way.third, way.first) for way in asked]


def test_no_question_is_taught_with_two_answers(topics: Topics) -> None:
    ways = topics.questions(FACTS, 14)
    texts = [text for asked in ways for way in asked for text in (way.third, way.first)]
    assert len(texts) == len(set(texts))


def test_a_topic_of_two_facts_goes_to_the_nearer_one(topics: Topics) -> None:
    near, far = fact(HOME), fact("I live in a house")
    ways = topics.questions([far, near], 14)
    assert "home city" in {way.topic for way in ways[1]}
    assert "home city" not in {way.topic for way in ways[0]}


def test_questions_come_best_topic_first_and_no_more_than_asked_for(topics: Topics) -> None:
    for count in (0, 1, 7, 14):
        for asked in topics.questions(FACTS, count):
            assert len(asked) <= count
            similar = [way.similarity for way in asked]
            assert similar == sorted(similar, reverse=True)


def test_the_topics_of_a_fact_take_turns() -> None:
    ways = [
        Asked(third=f"{name}{number}", first="", topic=name, similarity=0.5)
        for name, count in (("a", 2), ("b", 1))
        for number in range(count)
    ]
    assert [way.third for way in taking_turns(ways)] == ["a0", "b0", "a1"]


def test_what_a_fact_with_enough_topics_leaves_goes_to_the_next_nearest() -> None:
    similarity = np.array([[0.9, 0.8, 0.7, 0.1], [0.2, 0.3, 0.6, 0.4]])
    assert shared_out(similarity, 0.5, 2) == [[0, 1], [2]]
    assert shared_out(similarity, 0.5, 3) == [[0, 1, 2], []]
    assert shared_out(similarity, 0.35, 3) == [[0, 1, 2], [3]]


def test_a_fact_that_no_topic_is_near_to_is_asked_for_in_a_few_ways_of_its_own(topics: Topics) -> None:
    near, far = topics.questions([fact(HOME), fact("xq zzyx vrrm")], 14)
    assert (len(near), len(far)) == (14, FEW)
    assert not {way.topic for way in near} & {way.topic for way in far}


def test_a_fact_whose_topics_others_took_is_asked_for_by_its_own_words(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    similarity = np.full((2, len(bundled_topics())), 0.1)
    similarity[0, :3], similarity[1, :3] = (0.9, 0.8, 0.7), (0.4, 0.3, 0.2)
    monkeypatch.setattr(topics, "rank_facts", lambda facts: similarity[: len(facts)])
    cello = fact("I play the cello in the Rosewood quartet on Thursdays.")
    _, asked = topics.questions([fact(HOME), cello], 14)
    assert [way.third for way in asked[:2]] == ["What has Ana said about Rosewood quartet?", "What has Ana said about Thursdays?"]
    assert (len(asked), {way.similarity for way in asked}) == (MOST_BY_OWN_WORDS, {0.0})
    assert len({text for way in asked for text in (way.third, way.first)}) == 2 * len(asked)
    assert topics.questions([fact(HOME), cello], 2)[1] == asked[:2]
    similarity[0, 2] = 0.1
    assert {way.similarity for way in topics.questions([fact(HOME), cello], 14)[1]} == {0.2}, "its third topic is free"


def test_words_that_two_facts_share_ask_for_neither() -> None:
    assert own_words([fact("I live in Ghent."), fact("I live by the Ghent market.")]) == [[], ["Ghent market"]]
    assert own_words([fact("It is what it is.")]) == [[]]
    both = [fact("I live in Ghent."), fact("I work in Ghent."), fact("I live and work in Leeds.")]
    assert own_words(both) == [["live Ghent"], ["work Ghent"], ["Leeds"]]


def test_what_one_clause_says_counts_as_much_as_what_the_whole_says(topics: Topics) -> None:
    said = f"we were closed for ages, {HOME.lower()} and the lift broke down again yesterday"
    [alone], [within] = topics.rank_facts([fact(HOME.lower())]), topics.rank_facts([fact(said)])
    [whole] = topics.rank(HASHED.embed([said]))
    assert within[alone.argmax()] > whole[alone.argmax()]


def test_a_topic_counts_only_when_it_is_near(topics: Topics) -> None:
    for asked in topics.questions(FACTS, 100):
        assert len(asked) == FEW or all(way.similarity >= LEAST for way in asked)


def test_questions_name_the_person_whose_fact_it_is(topics: Topics) -> None:
    for scope, name in ((ANA, "Ana"), (BEN, "Ben")):
        [asked] = topics.questions([fact(HOME, scope)], 6)
        assert any(name in way.third for way in asked)
        assert not any("{name}" in way.third + way.first for way in asked)


def test_asking_is_the_same_every_time(topics: Topics) -> None:
    assert topics.questions(FACTS, 14) == topics.questions(FACTS, 14)


def test_every_fact_is_ranked_against_every_topic(topics: Topics) -> None:
    assert topics.rank(VECTORS).shape == (len(FACTS), len(bundled_topics()))


def test_a_group_counts_with_the_mean_of_its_best() -> None:
    similarity = np.array([[0.1, 0.9, 0.5, 0.2]], dtype=np.float32)
    np.testing.assert_allclose(grouped(similarity, [3, 1], best=2), [[0.7, 0.2]], rtol=1e-6)
