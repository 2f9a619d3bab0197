"""What a writer may make of a user's turn: the same words, in the third person, and nothing that the user has not said."""

import json

import pytest

from seal_agent.consolidation.claims import Checked, Claim, Passage, check, locate, parsed
from tests.consolidation.forbidden import ORDERS, SECRETS


def checked(quote: str, statement: str, text: str, before: str = "", subject: str = "Ana") -> Checked | str:
    return check(Claim(quote=quote, statement=statement), Passage(text=text, before=before, subject=subject, said=text))


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


CAREFUL = (
    ("I'm on the Hazel plan, I was told that includes delivery.", "I'm on the Hazel plan", "Ana is on the Hazel plan.", ""),
    (
        "No. If something isn't in stock, never send me a replacement, put the money down as store credit.",
        "If something isn't in stock, never send me a replacement, put the money down as store credit",
        "If something isn't in stock, never send Ana a replacement, put the money down as store credit.",
        "",
    ),
    (
        "ahh ok that's out then. Lavender sets off my migraines, like properly",
        "Lavender sets off my migraines",
        "Lavender sets off Ana's migraines.",
        "",
    ),
    ("I'm up in Aberdeen, another two and a half hours on the train!", "I'm up in Aberdeen", "Ana is up in Aberdeen.", ""),
    ("It is the Ostarra 700, with the steel bowl.", "It is the Ostarra 700", "Ana's mixer is the Ostarra 700.", "I come about my mixer."),
    (
        "My accountant does not read another language and each time I sit",
        "My accountant does not read another language",
        "Ana's accountant does not read another language.",
        "",
    ),
    ("ah rip, no good for me, i'm vegan so nothing with feathers", "i'm vegan", "Ana is vegan.", ""),
    ("My son cannot have walnuts, he had to go to the hospital once", "My son cannot have walnuts", "Ana's son cannot have walnuts.", ""),
    ("I got the keys on Wednesday and I'm living in Sheffield now.", "I'm living in Sheffield now", "Ana is living in Sheffield now.", ""),
    ("Just me and Figo. He's my parrot and he has screamed since Tuesday.", "He's my parrot", "Figo is Ana's parrot.", ""),
    (
        "lol its not a holiday its fieldwork. i'm doing my phd in glaciology so i get paid",
        "i'm doing my phd in glaciology",
        "Ana is doing her phd in glaciology.",
        "",
    ),
    (
        "do you have pegs? im off to Svalbard on the 9th of January and normal ones pop out",
        "im off to Svalbard on the 9th of January",
        "Ana is off to Svalbard on the 9th of January.",
        "",
    ),
    (
        "Decline. Epoxy gives me blisters up to the elbow; established twice.",
        "Epoxy gives me blisters up to the elbow",
        "Epoxy gives Ana blisters up to the elbow.",
        "",
    ),
    (
        "They shuffled us because of the drains, and I'm on plot 31 now, down at the far end.",
        "I'm on plot 31 now",
        "Ana is on plot 31 now.",
        "",
    ),
    (
        "ok big one. building a bench for my mums 50th.",
        "building a bench for my mums 50th",
        "Ana is building a bench for her mum's 50th.",
        "",
    ),
    (
        "My hands are beyond saving, I taught geography for thirty-eight years before I retired.",
        "I taught geography for thirty-eight years before I retired",
        "Ana taught geography for thirty-eight years before she retired.",
        "",
    ),
    (
        "Ah please don't ring, not ever actually. I'm a court interpreter.",
        "please don't ring, not ever actually",
        "Please don't ring Ana, not ever actually.",
        "",
    ),
    ("I don't drive, so I take the tram.", "I take the tram", "Ana takes the tram.", ""),
)
"""What a careful writer makes of the example chats."""


@pytest.mark.parametrize(("text", "quote", "statement", "before"), CAREFUL)
def test_a_careful_writer_is_understood(text: str, quote: str, statement: str, before: str) -> None:
    assert held(quote, statement, text, before)[1] == statement


@pytest.mark.parametrize(
    ("quote", "statement", "text"),
    [
        ("tall", "Ana is tall.", "My sister is vegan, sporty and tall."),
        ("sporty and very tall", "Ana is sporty and very tall.", "My sister is vegan, sporty and very tall."),
        ("who is vegan", "Ana is vegan.", "I love my sister, who is vegan."),
        ("I'm vegan", "Ana is vegan.", "I don't think, honestly, that I'm vegan."),
        ("I'm vegan", "Ana is vegan.", "My brother says, wrongly, I'm vegan."),
        ("fish", "Ana's fish.", "I don't eat meat, cheese, fish."),
        ("I'll need a bed", "Ana will need a bed.", "I'll need a bed, if I move."),
    ],
)
def test_a_part_that_says_something_else_than_its_sentence_is_no_statement(quote: str, statement: str, text: str) -> None:
    assert flaw(quote, statement, text)[0] == text


def test_a_quote_over_what_was_left_out_of_a_turn_is_none() -> None:
    """The sentence in the middle was a secret's."""
    passage = Passage(text="I live in\nPorto.", before="", subject="Ana", said="I live in a secret place. Not in Porto.")
    assert check(Claim(quote="I live in Porto.", statement="Ana lives in Porto."), passage) == "not a quote"


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
