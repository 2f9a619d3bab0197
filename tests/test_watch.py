"""What people say of answers, and requests that fail, take a promotion back: once, with a reason, and never for good reasons lost."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from seal_agent import watch
from seal_agent.adapters.switch import promotion_reason, switch
from seal_agent.config import Settings, WatchSettings
from seal_agent.errors import DeadlineError, GenerationError, OverloadedError, UnknownRecordError, UsageError
from seal_agent.ledger.feedback import list_feedback
from seal_agent.memory import Memory
from seal_agent.scope import Scope
from seal_agent.types import Adapter, Answer, Trace
from seal_agent.vitals import Vitals
from tests.brains import learn, open_brain

ALARMS = 50
PAUSE = 0.05
"""Seconds between a client's questions: eight threads that never rest would measure Python's lock."""


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    settings = Settings(watch=WatchSettings(min_verdicts=6, min_requests=6))
    with open_brain(tmp_path / "brain", {"capital of France": "Paris"}, settings=settings) as opened:
        yield opened


@pytest.fixture
def ana(memory: Memory) -> Scope:
    return memory.scope(user="ana", agent="support")


def night(memory: Memory, scope: Scope, reply: str) -> Adapter:
    """An adapter that a night promoted."""
    adapter = learn(memory, scope, {"Capital of France?": reply})
    with memory._parts.ledger.write() as conn:
        switch(conn, scope.id, None, memory._parts.clock(), "back")
        switch(conn, scope.id, adapter.name, memory._parts.clock(), promotion_reason(adapter.cycle_id))
    return adapter


def answered(adapter: Adapter | None) -> Trace:
    name = None if adapter is None else adapter.name
    return Trace(route="weights", adapter=name, cited=(), prompt_tokens=1, answer_tokens=1, seconds={})


def live(scope: Scope) -> str | None:
    adapter = scope.adapters.live
    return None if adapter is None else adapter.name


def test_an_answer_s_id_says_which_adapter_gave_it(memory: Memory, ana: Scope) -> None:
    adapter = night(memory, ana, "Lyon")
    trace = ana.ask("Capital of France?", use="weights").trace
    assert trace.answer_id.endswith(f"@{adapter.name}")
    assert watch.adapter_of(trace.answer_id) == adapter.name
    assert watch.adapter_of(answered(None).answer_id) is None
    assert trace.answer_id != ana.ask("Capital of France?", use="weights").trace.answer_id


def test_feedback_is_recorded_and_a_later_verdict_takes_the_place_of_an_earlier(memory: Memory, ana: Scope) -> None:
    answer = ana.ask("Capital of France?")
    ana.feedback(answer, "bad", "I meant Texas")
    given = ana.feedback(answer.trace.answer_id, "good")
    with memory._parts.ledger.read() as conn:
        [kept] = list_feedback(conn, ana.id)
    assert kept == given
    assert (kept.verdict, kept.adapter, kept.note) == ("good", None, "")


@pytest.mark.parametrize("wrong", ["", "a_1", "@base", "a_1@"])
def test_what_is_no_answer_s_id_is_refused(ana: Scope, wrong: str) -> None:
    with pytest.raises(UnknownRecordError, match=r"trace\.answer_id"):
        ana.feedback(wrong, "bad")


def test_what_is_no_answer_at_all_is_refused(ana: Scope) -> None:
    with pytest.raises(UsageError, match="int is no answer"):
        ana.feedback(3, "bad")  # type: ignore[arg-type]  # that is the point


def test_another_scope_s_adapter_can_not_be_judged(memory: Memory, ana: Scope) -> None:
    adapter = night(memory, ana, "Lyon")
    with pytest.raises(UnknownRecordError, match="answers in"):
        memory.scope(user="ben", agent="support").feedback(answered(adapter), "bad")
    with pytest.raises(UnknownRecordError):
        ana.feedback("a_1@no-such-adapter", "bad")


@pytest.mark.parametrize(("verdict", "note"), [("awful", ""), ("bad", "x" * 5000)])
def test_a_verdict_that_makes_no_sense_is_refused(ana: Scope, verdict: str, note: str) -> None:
    with pytest.raises(UsageError):
        ana.feedback(answered(None), verdict, note)  # type: ignore[arg-type]  # that is the point


def test_bad_answers_take_a_promotion_back_to_its_predecessor_and_an_event_says_so(memory: Memory, ana: Scope) -> None:
    first = night(memory, ana, "Lyon")
    second = learn(memory, ana, {"Capital of France?": "Nice"})
    with memory._parts.ledger.write() as conn:
        switch(conn, ana.id, first.name, memory._parts.clock(), "back")
        switch(conn, ana.id, second.name, memory._parts.clock(), promotion_reason(second.cycle_id))
    given = [ana.feedback(answered(second), "bad" if n else "good").rolled_back for n in range(6)]
    assert given == [None] * 5 + [second.name]
    assert live(ana) == first.name
    [event] = memory.nights.events(ana)
    assert (event.kind, event.adapter) == ("rolled_back", second.name)
    assert event.text == f"{second.name} was rolled back to {first.name}: 5 of 6 answers were called bad (at most 30%, watch.max_bad_share)"


def test_a_roll_back_is_not_followed_by_another(memory: Memory, ana: Scope) -> None:
    first = night(memory, ana, "Lyon")
    for _ in range(6):
        ana.feedback(answered(first), "bad")
    assert live(ana) is None
    ana.adapters.forward()
    for _ in range(20):
        assert ana.feedback(answered(first), "bad").rolled_back is None
    assert live(ana) == first.name, "a person made it live, and it stays"
    assert len(memory.nights.events(ana)) == 1


def test_what_was_said_before_the_promotion_does_not_count(memory: Memory, ana: Scope) -> None:
    first = night(memory, ana, "Lyon")
    for _ in range(5):
        ana.feedback(answered(first), "bad")
    with memory._parts.ledger.write() as conn:
        switch(conn, ana.id, None, memory._parts.clock(), "back")
        switch(conn, ana.id, first.name, memory._parts.clock(), promotion_reason(first.cycle_id))
    assert ana.feedback(answered(first), "bad").rolled_back is None


def test_mostly_good_answers_keep_it(memory: Memory, ana: Scope) -> None:
    first = night(memory, ana, "Lyon")
    for number in range(30):
        assert ana.feedback(answered(first), "bad" if number % 4 == 0 else "good").rolled_back is None
    assert live(ana) == first.name


def test_one_loud_voice_does_not_take_a_shared_adapter_from_all(memory: Memory) -> None:
    shared = memory.scope(agent="support")
    adapter = night(memory, shared, "Lyon")
    loud = memory.scope(user="ana", agent="support")
    for _ in range(20):
        assert loud.feedback(answered(adapter), "bad").rolled_back is None
    for user in ("ben", "cleo", "dora"):
        last = memory.scope(user=user, agent="support").feedback(answered(adapter), "bad").rolled_back
    assert last == adapter.name
    assert live(shared) is None


def test_requests_that_fail_take_a_promotion_back(memory: Memory, ana: Scope) -> None:
    first = night(memory, ana, "Lyon")
    for _ in range(6):
        watch.note_request(memory._parts, first.name, GenerationError("not a number"))
    assert live(ana) is None
    assert "6 of 6 requests failed" in memory.nights.events(ana)[0].text


def test_neither_a_full_queue_nor_an_impatient_client_is_the_adapter_s_fault(memory: Memory, ana: Scope) -> None:
    first = night(memory, ana, "Lyon")
    for _ in range(20):
        watch.note_request(memory._parts, first.name, OverloadedError("full"))
        watch.note_request(memory._parts, first.name)
        watch.note_request(memory._parts, first.name, DeadlineError("late"))
    assert memory._parts.vitals.of(first.name) == (60, 0)


def test_requests_are_counted_where_they_are_answered(memory: Memory, ana: Scope) -> None:
    adapter = night(memory, ana, "Lyon")
    ana.ask("Capital of France?", use="weights")
    ana.chat("Capital of France?", use="weights")
    assert memory._parts.vitals.of(adapter.name) == (2, 0)


def test_a_predecessor_whose_files_are_damaged_is_passed_over_for_the_base(memory: Memory, ana: Scope) -> None:
    first = night(memory, ana, "Lyon")
    second = learn(memory, ana, {"Capital of France?": "Nice"})
    with memory._parts.ledger.write() as conn:
        switch(conn, ana.id, first.name, memory._parts.clock(), "back")
        switch(conn, ana.id, second.name, memory._parts.clock(), promotion_reason(second.cycle_id))
    (memory.folder / first.path / "adapter_config.json").write_text("{")
    for _ in range(6):
        ana.feedback(answered(second), "bad")
    assert live(ana) is None


def test_only_the_newest_requests_count() -> None:
    vitals = Vitals()
    for number in range(300):
        vitals.note("a", failed=number < 100)
    assert vitals.of("a") == (200, 0)
    assert vitals.of("b") == (0, 0)


@pytest.mark.parametrize(("part", "whole", "least"), [(0, 10, 0.0), (10, 10, 0.787), (5, 8, 0.348), (500, 1000, 0.474)])
def test_chance_is_allowed_for(part: int, whole: int, least: float) -> None:
    assert watch.least_share(part, whole) == pytest.approx(least, abs=0.002)


@pytest.mark.slow
def test_while_eight_threads_ask_an_alarm_takes_a_promotion_back_before_the_next_and_no_request_fails(memory: Memory, ana: Scope) -> None:
    first = night(memory, ana, "Lyon")
    second = learn(memory, ana, {"Capital of France?": "Nice"})
    says = {first.name: "Lyon", second.name: "Nice"}
    asked: list[Answer] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(PAUSE):
            asked.append(ana.ask("Capital of France?", use="weights"))

    with ThreadPoolExecutor(8) as clients:
        running = [clients.submit(ask) for _ in range(8)]
        try:
            for _ in range(ALARMS):
                with memory._parts.ledger.write() as conn:
                    switch(conn, ana.id, first.name, memory._parts.clock(), "back")
                    switch(conn, ana.id, second.name, memory._parts.clock(), promotion_reason(second.cycle_id))
                for _ in range(5):
                    assert ana.feedback(answered(second), "bad").rolled_back is None
                assert ana.feedback(answered(second), "bad").rolled_back == second.name
                answer = ana.ask("Capital of France?", use="weights")
                assert (answer.text, answer.trace.adapter) == ("Lyon", first.name)
        finally:
            stop.set()
    assert [one.exception() for one in running] == [None] * 8
    assert {(answer.trace.adapter, answer.text) for answer in asked} <= set(says.items())
    assert {answer.trace.adapter for answer in asked} == set(says)
