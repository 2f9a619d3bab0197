"""Every kind is found in what people say, nothing ordinary is, and hostile text costs no time."""

import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.planted import FORMS, Planted, planted
from seal_agent.config import PrivacySettings
from seal_agent.consolidation.bundled import labelled_sentences, topics
from seal_agent.privacy.kinds import KINDS, Detection, merged
from seal_agent.privacy.scan import OVERLAP, PIECE, scan
from seal_agent.turns import MAX_CHARACTERS

DEFAULT = PrivacySettings()
ONE_EACH = list(planted(len(FORMS)))

WHAT_A_SCAN_LOADS = """
import sys
from seal_agent.config import PrivacySettings
from seal_agent.privacy.scan import scan
found = scan("ana@example.com, +44 20 7946 0123, 4111 1111 1111 1111, AKIA" + "IOSFODNN7EXAMPLE", PrivacySettings())
print(len(found), *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def covers(found: list[Detection], item: Planted) -> bool:
    start = item.text.index(item.secret)
    return any(one.start <= start and start + len(item.secret) <= one.end for one in found)


@pytest.mark.parametrize("item", ONE_EACH, ids=lambda item: item.form)
def test_every_form_is_found_whole_and_under_its_kind(item: Planted) -> None:
    found = scan(item.text, DEFAULT)
    assert covers(found, item)
    assert item.kind in [one.kind for one in found]


@pytest.mark.parametrize("item", ONE_EACH, ids=lambda item: item.form)
def test_it_is_found_in_the_middle_of_a_long_text_and_across_the_edge_of_a_piece(item: Planted) -> None:
    before = "So it goes, one day after another, and nobody writes. " * 40
    for padding in (before[: PIECE - OVERLAP - 20], before[: PIECE - 30]):
        moved = Planted(kind=item.kind, form=item.form, text=f"{padding}\n{item.text}\n{before}", secret=item.secret)
        assert covers(scan(moved.text, DEFAULT), moved)


@pytest.mark.parametrize(
    "text",
    [
        "My password is not working.",
        "I forgot my password, can you reset it?",
        "The password is wrong, and so is the token.",
        "The secret is to let the dough rest.",
        "My customer number is 550 912.",
        "Order QX-4471 ships to Rotterdam on 14 March 2026.",
        "The tracking code is JX 4471 2209 DE.",
        "It came to 1,249.99 after 3 weeks and 2 calls, at 10:30 on 12.11.2026.",
        "See https://docs.example.org/guide/v1.2.3/index.html#top for version 10.2.",
        "I have 12 chairs, 4 desks, 6 lamps, 3 monitors and 2 shelves.",
        "The bond between us and our pets is amazing.",
        "Order number 4471220933 please.",
        "Keep the receipt, the key is under the mat.",
    ],
)
def test_ordinary_talk_holds_nothing(text: str) -> None:
    assert scan(text, DEFAULT) == []


def test_nothing_that_people_usually_tell_is_found() -> None:
    said = [text for topic in topics() for text in topic.statements] + [text for text, kind in labelled_sentences() if kind != "none"]
    assert [text for text in said if scan(text, DEFAULT)] == []


def test_an_identity_number_needs_its_word_beside_it() -> None:
    number = next(item for item in ONE_EACH if item.form == "NHS number").secret.replace(" ", "")
    assert [one.kind for one in scan(f"my NHS number is {number}", DEFAULT)] == ["national_id"]
    assert scan(f"order {number} is late", DEFAULT) == []


def test_a_turn_said_in_confidence_counts_as_a_whole() -> None:
    text = "Off the record: I'm leaving the firm in May."
    assert [(one.kind, one.start, one.end) for one in scan(text, DEFAULT)] == [("confidential", 0, len(text))]


def test_own_expressions_are_looked_for_too() -> None:
    found = scan("staff id EMP-00412, thanks", PrivacySettings(patterns={"staff id": r"EMP-\d{5}"}))
    assert [(one.kind, one.detector, one.start, one.end) for one in found] == [("custom", "custom:staff id", 9, 18)]


def test_a_private_key_longer_than_a_piece_is_found_to_its_end() -> None:
    body = "\n".join(["M" * 64] * 60)
    key = f"-----BEGIN {'PRIVATE'} KEY-----\n{body}\n-----END {'PRIVATE'} KEY-----"
    text = f"here: {key} done"
    assert [(one.kind, text[one.start : one.end]) for one in scan(text, DEFAULT)] == [("private_key", key)]


def test_overlapping_detections_become_one_under_the_graver_kind() -> None:
    found = merged(
        [
            Detection(kind="email", start=4, end=9, detector="a"),
            Detection(kind="password", start=0, end=5, detector="b"),
            Detection(kind="phone", start=9, end=12, detector="c"),
        ]
    )
    assert [(one.kind, one.start, one.end, one.detector) for one in found] == [("password", 0, 9, "b"), ("phone", 9, 12, "c")]


def test_a_detection_does_not_hold_the_text() -> None:
    item = ONE_EACH[0]
    assert item.secret not in repr(scan(item.text, DEFAULT))


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "a.a-" * (MAX_CHARACTERS // 4),
        "a@" * (MAX_CHARACTERS // 2),
        "1 " * (MAX_CHARACTERS // 2),
        "password " * (MAX_CHARACTERS // 40),
        "-----BEGIN PRIVATE KEY-----" * (MAX_CHARACTERS // 200),
        "eyJ" + "A" * MAX_CHARACTERS,
    ],
    ids=["dots", "ats", "digits", "words", "headers", "one word"],
)
def test_hostile_text_is_scanned_in_bounded_time(text: str) -> None:
    started = time.process_time()
    scan(text, DEFAULT)
    assert time.process_time() - started < 10  # patterns of quadratic time would take minutes


@settings(deadline=None, max_examples=60)
@given(st.text())
def test_any_text_gives_places_in_order_within_it(text: str) -> None:
    found = scan(text, DEFAULT)
    places = [place for one in found for place in (one.start, one.end)]
    assert places == sorted(places)
    assert all(0 <= one.start < one.end <= len(text) and one.kind in KINDS for one in found)


def test_scanning_loads_no_model_library() -> None:
    done = subprocess.run([sys.executable, "-c", WHAT_A_SCAN_LOADS], capture_output=True, text=True, check=True, timeout=120)
    count, *modules = done.stdout.split()
    assert count == "4"
    assert {"torch", "spacy", "transformers", "presidio_analyzer"}.isdisjoint(modules)


def test_scanning_asks_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    assert [one.kind for one in scan("ana@some-firm.co.uk", DEFAULT)] == ["email"]
