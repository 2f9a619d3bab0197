"""Facts from what users said: what becomes one, what never does, and which earlier one it replaces."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.fact_reading import gold, week
from seal_agent.config import FactSettings
from seal_agent.consolidation.durability import Durability, Verdict
from seal_agent.consolidation.facts import Draft, candidates_of, draw_facts, shorten, stated_fact
from seal_agent.consolidation.grading import conveys
from seal_agent.protocols import Vectors
from seal_agent.types import Episode, Fact, ScopeId, Turn
from tests.consolidation.brains import ANA, CAR, DIET, HASHED, HOME, START, SUPPORT, episode, turn
from tests.consolidation.forbidden import ORDERS, SECRETS

EVERYTHING = FactSettings(min_score=-9.0)
"""Keeps every sentence, so that only the rules decide."""


def draw(judge: Durability, *episodes: Episode, known: list[Fact] | None = None, settings: FactSettings | None = None) -> list[Draft]:
    held = list(zip(known or [], HASHED.embed([fact.quote for fact in known or []]), strict=True))
    return draw_facts(episodes, held, judge, HASHED, settings or FactSettings())


def quotes(drafts: list[Draft]) -> list[str]:
    return [draft.fact.quote for draft in drafts]


def test_a_durable_sentence_becomes_a_fact_in_the_third_person_with_the_user_s_words(judge: Durability) -> None:
    [draft] = draw(judge, episode("e1", turn("Hello!", "assistant"), DIET, minute=5))
    fact = draft.fact
    assert fact.text == f"Ana said: {DIET}"
    assert fact.quote == DIET
    assert (fact.sources[0].episode_id, fact.sources[0].turn) == ("e1", 1)
    assert fact.valid_from == episode("e1", minute=5).at
    assert (fact.scope, fact.state) == (ANA, "active")
    assert draft.vector.tolist() == HASHED.embed([DIET])[0].tolist()


@pytest.mark.parametrize(("scope", "subject"), [(SUPPORT, "The customer"), (ScopeId(agent="support", user="mary-ann.o"), "Mary Ann O")])
def test_a_fact_names_whom_its_scope_is_about(judge: Durability, scope: ScopeId, subject: str) -> None:
    [draft] = draw(judge, episode("e1", DIET, scope=scope))
    assert draft.fact.text == f"{subject} said: {DIET}"


@pytest.mark.parametrize("role", ["assistant", "tool", "system"])
def test_only_the_user_s_turns_become_facts(judge: Durability, role: str) -> None:
    said = Turn(role=role, content=DIET)  # type: ignore[arg-type]  # one of the roles, from the parameters
    assert draw(judge, episode("e1", said, turn("ok thanks"), said)) == []


@pytest.mark.parametrize("text", ["hi", "thanks!", "ok", "bye", "hmm", "yes please", "no", "...", "?", "lol"])
def test_small_talk_is_no_fact(judge: Durability, text: str) -> None:
    assert draw(judge, episode("e1", text)) == []


@pytest.mark.parametrize("text", ["Do you have it in blue?", "Where is it?", "How long will that take?", "Any news?", "What now?"])
def test_a_question_is_no_fact(judge: Durability, text: str) -> None:
    assert draw(judge, episode("e1", text)) == []


@pytest.mark.parametrize("text", [*SECRETS, *ORDERS])
def test_secrets_and_orders_never_become_facts(judge: Durability, text: str) -> None:
    assert draw(judge, episode("e1", text), settings=EVERYTHING) == []


def test_a_secret_said_before_does_not_come_along_with_an_answer(judge: Durability) -> None:
    asked = turn("Which one do you have?", "assistant")
    drafts = draw(judge, episode("e1", "My password is hunter2, by the way.", asked, "the Tarvok 900"), settings=EVERYTHING)
    assert quotes(drafts) == ["the Tarvok 900"]


def test_a_sentence_that_leans_on_the_one_before_is_kept_together_with_it() -> None:
    spoken = [c.quote for c in candidates_of(episode("e1", "Just me and Figo. He's my parrot."))]
    assert spoken == ["Just me and Figo.", "He's my parrot.", "Just me and Figo. He's my parrot."]


def test_of_a_pair_and_its_halves_only_what_says_more_is_kept() -> None:
    both = "I have a parrot called Figo. He's afraid of vacuum cleaners."
    halves = both.split(". ")
    joined = Scores({both: 1.0, f"{halves[0]}.": 0.8, halves[1]: 0.7})
    alone = Scores({both: 0.6, f"{halves[0]}.": 0.8, halves[1]: 0.2})
    assert [d.fact.quote for d in draw_facts([episode("e1", both)], [], joined, HASHED, FactSettings())] == [both]
    assert [d.fact.quote for d in draw_facts([episode("e1", both)], [], alone, HASHED, FactSettings())] == [f"{halves[0]}."]


class Scores(Durability):
    """Judges as it is told."""

    def __init__(self, scores: dict[str, float]) -> None:
        self._scores = scores

    def judge(self, sentences: object, vectors: Vectors) -> list[Verdict]:
        assert isinstance(sentences, list)
        return [Verdict(score=self._scores[sentence], kind="profile") for sentence in sentences]


def test_a_short_answer_to_an_open_question_carries_what_it_is_about(judge: Durability) -> None:
    chat = episode("e1", "My shredder is dead again.", turn("Sorry! Which one do you have?", "assistant"), "the Tarvok 900.")
    found = [draft.fact for draft in draw(judge, chat, settings=EVERYTHING)]
    assert found[-1].quote == "My shredder is dead again. ... the Tarvok 900."
    assert found[-1].text == "Ana said: My shredder is dead again. ... the Tarvok 900."
    assert [source.turn for source in found[-1].sources] == [2]


@pytest.mark.parametrize(
    "asked",
    [
        turn("Is it the Tarvok?", "assistant"),
        turn("Noted, which is fine.", "assistant"),
        turn("which one?", "tool"),
        turn("Which one?", "user"),
    ],
)
def test_what_answers_no_open_question_stands_for_itself(judge: Durability, asked: Turn) -> None:
    chat = episode("e1", "My shredder is dead again.", asked, "the Tarvok 900.")
    assert "the Tarvok 900." in quotes(draw(judge, chat, settings=EVERYTHING))


def test_the_same_said_twice_is_kept_once(judge: Durability) -> None:
    assert quotes(draw(judge, episode("e1", DIET), episode("e2", DIET, minute=1), episode("e3", f"{DIET} {DIET}", minute=2))) == [DIET]


@pytest.mark.parametrize("again", ["ive been vegan, since 2011", "Vegan since 2011, I've been."])
def test_the_same_in_other_order_or_punctuation_is_kept_once(judge: Durability, again: str) -> None:
    assert quotes(draw(judge, episode("e1", DIET, again.replace("ive", "i've")), settings=EVERYTHING)) == [DIET]


def test_what_holds_already_is_not_drawn_again(judge: Durability) -> None:
    known = stated_fact(ANA, DIET, "profile", START)
    assert quotes(draw(judge, episode("e1", DIET, HOME), known=[known])) == [HOME]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("My customer number is 550 912.", "My customer number is 550 913."),
        ("We need 6 grey mesh desk chairs.", "We need 8 grey mesh desk chairs."),
        ("My boss is called Henrike.", "My boss is called Henrik."),
        ("Always ring me before delivery.", "Never ring me before delivery."),
        ("I eat meat on Sundays.", "I don't eat meat on Sundays."),
        ("I drive to the office.", "I no longer drive to the office."),
    ],
)
def test_another_number_or_name_or_its_opposite_is_news_and_no_repetition(judge: Durability, one: str, other: str) -> None:
    loose = FactSettings(min_score=-9.0, duplicate_similarity=0.1)
    assert quotes(draw(judge, episode("e1", one), episode("e2", other, minute=1), settings=loose)) == [one, other]


def test_nearly_the_same_with_fewer_words_is_a_repetition(judge: Durability) -> None:
    loose = FactSettings(min_score=-9.0, duplicate_similarity=0.5)
    assert quotes(draw(judge, episode("e1", "I drive a red Skoda Octavia.", "I drive a Skoda Octavia."), settings=loose)) == [
        "I drive a red Skoda Octavia."
    ]


def test_a_correction_replaces_the_fact_that_it_is_most_like(judge: Durability) -> None:
    known = [stated_fact(ANA, text, "profile", START) for text in (DIET, HOME, CAR)]
    [draft] = draw(judge, episode("e1", "I've moved, I live in Lisbon now."), known=known)
    assert draft.supersedes == (known[1].id,)


def test_a_correction_within_one_night_replaces_what_was_said_before(judge: Durability) -> None:
    first, second = draw(judge, episode("e1", HOME), episode("e2", "I've moved, I live in Lisbon now.", minute=1))
    assert second.supersedes == (first.fact.id,)


def test_a_correction_of_nothing_replaces_nothing(judge: Durability) -> None:
    known = [stated_fact(ANA, "The invoices belong in the blue folder.", "profile", START)]
    [draft] = draw(judge, episode("e1", "I've moved, I live in Lisbon now."), known=known)
    assert draft.supersedes == ()


def test_a_similar_sentence_without_words_of_change_replaces_nothing(judge: Durability) -> None:
    [draft] = draw(judge, episode("e1", "I live in Lisbon."), known=[stated_fact(ANA, HOME, "profile", START)], settings=EVERYTHING)
    assert draft.fact.kind != "correction"
    assert draft.supersedes == ()


def test_a_fact_is_replaced_only_once(judge: Durability) -> None:
    drafts = draw(
        judge,
        episode("e1", HOME),
        episode("e2", "I've moved, I live in Lisbon now.", minute=1),
        episode("e3", "I've moved again, I live in Braga now.", minute=2),
    )
    assert [draft.supersedes for draft in drafts] == [(), (drafts[0].fact.id,), (drafts[1].fact.id,)]


def test_no_episode_gives_more_facts_than_allowed(judge: Durability) -> None:
    drafts = draw(
        judge, episode("e1", DIET, HOME, CAR), episode("e2", "I turn 67 in May.", minute=1), settings=FactSettings(max_per_episode=2)
    )
    assert quotes(drafts) == [DIET, HOME, "I turn 67 in May."]


def test_ids_are_the_same_every_time_and_differ_by_scope_episode_turn_and_words(judge: Durability) -> None:
    one = draw(judge, episode("e1", DIET, HOME))
    assert [draft.fact for draft in one] == [draft.fact for draft in draw(judge, episode("e1", DIET, HOME))]
    others = [
        draw(judge, episode("e1", DIET, scope=SUPPORT))[0],
        draw(judge, episode("e2", DIET))[0],
        draw(judge, episode("e1", turn("Hi.", "assistant"), DIET))[0],
    ]
    ids = [draft.fact.id for draft in [*one, *others]]
    assert len(set(ids)) == len(ids)


def test_a_stated_fact_keeps_the_words_as_they_are() -> None:
    fact = stated_fact(ANA, "Ana's order QX-4471 ships to Rotterdam.", "knowledge", START)
    assert (fact.text, fact.quote, fact.kind, fact.sources) == (fact.quote, "Ana's order QX-4471 ships to Rotterdam.", "knowledge", ())
    assert fact.id == stated_fact(ANA, fact.text, "event", START).id != stated_fact(SUPPORT, fact.text, "knowledge", START).id


def test_a_very_long_sentence_is_cut_at_a_comma() -> None:
    long = " ".join(["the old lighthouse keeper"] * 10 + ["in March,"] + ["walks along the shore"] * 10)
    short = shorten(long)
    assert short.endswith("in March")
    assert long.startswith(short)


def test_a_sentence_of_ordinary_length_is_not_cut() -> None:
    assert shorten(DIET) == DIET


def test_no_episodes_give_no_facts(judge: Durability) -> None:
    assert draw(judge) == []
    assert draw(judge, episode("e1", "", " ", "\n")) == []


@pytest.mark.slow
def test_with_the_real_embedder_nine_of_ten_questions_about_the_example_week_have_a_fact_that_answers_them(tmp_path: Path) -> None:
    from seal_agent.models.weights import resolve  # here, because these load torch
    from seal_agent.retrieval.embedding import TransformerEmbedder

    embedder = TransformerEmbedder(resolve("all-minilm-l6-v2"), "all-minilm-l6-v2")
    judge = Durability(embedder, tmp_path)
    told: dict[str, list[Fact]] = {}
    for user, episodes in week().items():
        drafts = draw_facts(episodes, [], judge, embedder, FactSettings())
        gone = {old for draft in drafts for old in draft.supersedes}
        told[user] = [draft.fact for draft in drafts if draft.fact.id not in gone]
    answered = [any(conveys(fact.quote, answer) for fact in told[row["user"]] for answer in row["answers"]) for row in gold()]
    assert np.mean(answered) >= 0.9
    assert sum(len(facts) for facts in told.values()) <= 125
