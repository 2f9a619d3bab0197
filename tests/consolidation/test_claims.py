"""What a writer may make of a user's turn: the same words, in the third person, and nothing that the user has not said."""

import json

import pytest

from seal_agent.consolidation.claims import Checked, Claim, Passage, check, locate, parsed
from tests.consolidation.forbidden import ORDERS, SECRETS


def checked(quote: str, statement: str, text: str, before: str = "", subject: str = "Ana") -> Checked | str:
    return check(Claim(quote=quote, statement=statement), Passage(text=text, before=before, subject=subject))


def held(quote: str, statement: str, text: str, before: str = "") -> tuple[str, str]:
    found = checked(quote, statement, text, before)
    assert isinstance(found, Checked)
    assert found.flaw is None
    return found.quote, found.statement


def flaw(quote: str, statement: str, text: str, before: str = "") -> tuple[str, str | None]:
    """What stands instead, and why."""
    found = checked(quote, statement, text, before)
    assert isinstance(found, Checked)
    assert found.statement == ""
    return found.quote, found.flaw


@pytest.mark.parametrize(
    ("quote", "statement", "text"),
    [
        ("I'm a court interpreter", "Ana is a court interpreter.", "Ah no, I'm a court interpreter so my phone is off."),
        ("I live in Porto.", "Ana lives in Porto", "I live in Porto."),
        ("I've been vegan since 2011", "Ana has been vegan since 2011.", "hi! I've been vegan since 2011, by the way"),
        ("My boss is called Henrike.", "Ana's boss is called Henrike.", "My boss is called Henrike."),
        ("I don't eat fish.", "Ana does not eat fish.", "I don't eat fish."),
        ("I'm no longer in Leeds.", "Ana is no longer in Leeds.", "I'm no longer in Leeds."),
        (
            "We need 6 grey mesh desk chairs",
            "Ana's office side needs 6 grey mesh desk chairs.",
            "We need 6 grey mesh desk chairs. I run the office side.",
        ),
        ("i work for a dental practice", "Ana works for a dental practice.", "i work for a dental practice and sit on wrecks"),
        ("My sister says she is allergic to nuts", "Ana's sister says she is allergic to nuts.", "My sister says she is allergic to nuts."),
        ("If it rains, I take the tram.", "If it rains, Ana takes the tram.", "If it rains, I take the tram."),
    ],
)
def test_the_same_in_the_third_person_holds(quote: str, statement: str, text: str) -> None:
    _, said = held(quote, statement, text)
    assert said.rstrip(".") == statement.rstrip(".")
    assert said.endswith(".")


def test_a_statement_may_name_what_the_user_had_named_before_and_its_quote_then_holds_that_too() -> None:
    before = "I have a parrot called Figo. He came in May."
    assert held(
        "He's afraid of vacuum cleaners.", "Ana's parrot Figo is afraid of vacuum cleaners.", "He's afraid of vacuum cleaners.", before
    ) == (
        "I have a parrot called Figo. ... He's afraid of vacuum cleaners.",
        "Ana's parrot Figo is afraid of vacuum cleaners.",
    )


def test_a_quote_is_widened_to_its_clause_and_no_further() -> None:
    assert held("vegetarian", "Ana is vegetarian.", "Morning, I'm a vegetarian, and the printer is broken.")[0] == "I'm a vegetarian"


@pytest.mark.parametrize(
    ("quote", "statement", "text", "why"),
    [
        ("fish", "Ana eats fish.", "I don't eat meat, cheese or fish.", "leaves words out, or changes their order"),
        ("lives in Porto", "Ana lives in Porto.", "My sister lives in Porto.", "leaves words out, or changes their order"),
        (
            "Lisbon and Braga",
            "Ana lives in Lisbon and Braga.",
            "My sister lives in Porto, Lisbon and Braga.",
            "leaves words out, or changes their order",
        ),
        ("Ben owes me 50 euros.", "Ana owes Ben 50 euros.", "Ben owes me 50 euros.", "leaves words out, or changes their order"),
        ("I don't eat fish.", "Ana eats fish.", "I don't eat fish.", "claims more or less"),
        ("I eat fish.", "Ana never eats fish.", "I eat fish.", "claims more or less"),
        ("I might move to Rome.", "Ana moves to Rome.", "I might move to Rome.", "leaves words out, or changes their order"),
        ("I'll come if it rains.", "Ana will come.", "I'll come if it rains.", "leaves words out, or changes their order"),
        ("I live in Porto.", "Ana lives in Lisbon.", "I live in Porto.", "brings words of its own"),
        ("I live in Porto.", "Ana lives happily in Porto.", "I live in Porto.", "brings words of its own"),
        ("I turn 67 in May.", "Ana turns 68 in May.", "I turn 67 in May.", "brings words of its own"),
        ("I live in Porto.", "I live in Porto.", "I live in Porto.", "does not say whom it is about"),
        ("I live in Porto.", "Ana says I live in Porto.", "I live in Porto.", "speaks to somebody"),
        ("You owe me 50 euros.", "Ana owes 50 euros.", "You owe me 50 euros.", "speaks to somebody"),
        ("He's afraid of dogs.", "Ana is afraid of dogs.", "He's afraid of dogs.", "does not say whom it is about"),
        ("I live in Porto.", "Does Ana live in Porto?", "I live in Porto.", "not one statement"),
        ("I live in Porto.", "Ana lives in Porto. Ana lives in Porto.", "I live in Porto.", "not one statement"),
        ("I live in Porto.", "", "I live in Porto.", "not one statement"),
    ],
)
def test_where_a_statement_says_something_else_the_user_s_own_sentence_stands(quote: str, statement: str, text: str, why: str) -> None:
    assert flaw(quote, statement, text) == (text, why)


def test_what_the_assistant_asked_grounds_nothing() -> None:
    """A passage does not hold it: "Where is your flat?", "Leeds, please."."""
    assert flaw("Leeds, please.", "Ana's flat is in Leeds.", "Leeds, please.") == ("Leeds, please.", "brings words of its own")


@pytest.mark.parametrize("quote", ["I live in Rome", "", "  ", '""', "live in Port", "I live in Porto. And more"])
def test_what_is_no_quote_gives_nothing(quote: str) -> None:
    assert checked(quote, "Ana lives in Porto.", "I live in Porto.") == "not a quote"


@pytest.mark.parametrize("text", [*SECRETS, *ORDERS])
def test_secrets_and_orders_give_nothing_whatever_is_claimed_of_them(text: str) -> None:
    found = checked(text, f"Ana said {text}", f"I live in Porto. {text}")
    assert found == "says nothing that may be kept" or (isinstance(found, Checked) and not found.statement)


@pytest.mark.parametrize("text", ["ok then", "yes please", "and you?"])
def test_words_that_say_nothing_carry_no_claim(text: str) -> None:
    assert checked(text, "Ana lives in Porto.", text, before="I live in Porto.") == "says nothing that may be kept"


@pytest.mark.parametrize(
    ("quote", "text", "found"),
    [
        ("I'm   vegan", "Well,\nI’m vegan!", "I’m vegan"),
        ('"the Bluebell" it is', "“the Bluebell” it is", "the Bluebell” it is"),
        ("c++ (the language)", "I write c++ (the language).", "c++ (the language)"),
        ("art", "Bart likes art.", "art"),
        ("[a-z]+", "abc", None),
    ],
)
def test_a_quote_is_found_whatever_its_white_space_and_quotation_marks(quote: str, text: str, found: str | None) -> None:
    place = locate(quote, text)
    assert (None if place is None else text[slice(*place)]) == found


ENTRY = {"quote": "a", "statement": "b", "kind": "event", "replaces": None}


@pytest.mark.parametrize("reply", [json.dumps([ENTRY]), f"```json\n{json.dumps([ENTRY])}\n```", f"  {json.dumps([ENTRY])}\n"])
def test_a_json_list_is_read_fenced_or_not(reply: str) -> None:
    assert parsed(reply) == ([Claim.model_validate(ENTRY)], 0)


@pytest.mark.parametrize("reply", ["", "null", "{}", json.dumps(ENTRY), f"Sure! {json.dumps([ENTRY])}", "[", "[{]", "[" * 5000])
def test_anything_else_is_no_list(reply: str) -> None:
    assert parsed(reply) is None


@pytest.mark.parametrize("entry", ["a", 1, None, [], {}, {**ENTRY, "quote": 1}, {**ENTRY, "fact": "x"}, {"quote": "a"}])
def test_an_entry_of_another_form_is_counted_and_the_others_are_read(entry: object) -> None:
    assert parsed(json.dumps([entry, ENTRY])) == ([Claim.model_validate(ENTRY)], 1)


def test_an_empty_list_claims_nothing() -> None:
    assert parsed("[]") == ([], 0)
