"""`nights`: its pages, its codes, and that it stops when it is told to."""

import contextlib
import json
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from seal_agent.cli import session
from seal_agent.config import NightSettings, Settings
from seal_agent.ledger.ledger import DATABASE
from seal_agent.memory import Memory
from seal_agent.types import ProgressCallback
from tests.brains import START, learn, open_brain
from tests.cli import conftest
from tests.cli.conftest import Cli

ALWAYS = Settings(nights=NightSettings(window="00:00-00:00", idle_minutes=0, max_load=0, check_seconds=0.05))


@pytest.fixture
def told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A brain in which it is always night and somebody has said something."""

    def opened(folder: Path, progress: ProgressCallback) -> Memory:
        return open_brain(folder, conftest.SCRIPT, settings=ALWAYS)

    monkeypatch.setattr(session, "open_memory", opened)
    monkeypatch.setenv("SEAL_NIGHTS__WINDOW", ALWAYS.nights.window)  # `next` opens no memory: it reads the settings itself
    monkeypatch.setenv("SEAL_NIGHTS__MAX_LOAD", "0")
    cli("init")
    cli("add", "hi there", "--user", "ana")
    return cli


def test_a_brain_without_nights_says_what_to_do(told: Cli) -> None:
    assert "seal-agent nights next" in told("nights", "list").out
    assert told("nights", "list", "--json").json == []
    assert told("nights", "show", "--user", "ana").out == "No scheduled night yet and no cycle of default/default/ana.\n"


def test_due_nights_are_held_once_listed_and_shown(told: Cli) -> None:
    [row] = told("nights", "run", "--due", "--json").json
    assert (row["state"], row["reason"]) == ("skipped", "nothing new to learn")
    assert told("nights", "run", "--due").out == "nothing is due\n"
    listed = told("nights", "list", "--user", "ana").out
    assert listed == f"{START:%Y-%m-%d}  skipped    default/default/ana  nothing new to learn\n"
    assert told("nights", "list", "--all").out == listed
    assert told("nights", "list").out != listed
    assert told("nights", "show", f"{START:%Y-%m-%d}", "--user", "ana").out.startswith(listed)
    assert told("nights", "show", "--user", "ana", "--json").json["report"]["state"] == "skipped"


def test_looking_ahead_works_beside_a_process_that_has_the_brain_and_says_the_same(told: Cli) -> None:
    told("nights", "pause", "--user", "ben", "--note", "exams")
    alone = told("nights", "next", "--json").json
    with told.open():
        beside = told("nights", "next", "--json").json
        assert "paused: default/default/ben  exams" in told("nights", "next").out
    assert beside == alone
    assert beside["due"] == [{"tenant": "default", "agent": "default", "user": "ana"}]
    assert beside["is_open"]


def test_looking_back_pausing_and_resuming_work_beside_a_process_that_has_the_brain(told: Cli) -> None:
    told("nights", "run", "--due")
    with told.open() as memory:
        [row] = told("nights", "list", "--user", "ana", "--json").json
        assert row["state"] == "skipped"
        assert told("nights", "show", "--user", "ana", "--json").json["night"]["date"] == row["date"]
        assert told("nights", "pause", "--user", "ana", "--note", "exams", "--json").json["changed"]
        assert memory.nights.paused() == {"default/default/ana": "exams"}
        assert "not paused" in told("nights", "resume", "--all").out
        assert told("nights", "resume", "--user", "ana", "--json").json["changed"]
        assert not memory.nights.is_paused(memory.scope(user="ana"))
        assert told("nights", "run", "--user", "ana").code == 3


def test_a_night_now_is_a_consolidation(told: Cli) -> None:
    assert told("nights", "run", "--user", "ana").out == "skipped: nothing new to learn\n"
    assert told("nights", "run", "--user", "ana", "--json").json["state"] == "skipped"


def test_a_dry_run_says_what_would_be_trained_and_holds_nothing(told: Cli) -> None:
    ended = told("nights", "run", "--due", "--dry-run")
    assert ended.out.startswith("default/default/ana: nothing new to learn")
    assert told("nights", "run", "--dry-run", "--user", "ana", "--json").json["estimated_tokens"] == 0
    assert told("nights", "list", "--all", "--json").json == []


def test_next_says_when_whose_and_what_holds_it_up(told: Cli) -> None:
    out = told("nights", "next").out
    assert "is open" in out
    assert "due now: default/default/ana" in out
    told("nights", "pause", "--all", "--note", "moving house")
    found = told("nights", "next", "--json").json
    assert (found["due"], found["paused"], found["waits_for"]) == ([], {"": "moving house"}, "nights are paused")
    assert "paused: everybody  moving house" in told("nights", "next").out
    assert told("nights", "run", "--due").out == "nothing is due; nights are paused\n"


def test_pauses_begin_and_end(told: Cli) -> None:
    assert told("nights", "pause", "--user", "ana").out == "nights of default/default/ana are paused\n"
    assert told("nights", "pause", "--user", "ana").out == "nights of default/default/ana are paused already\n"
    assert told("nights", "resume", "--user", "ana").out == "nights of default/default/ana are held again\n"
    assert told("nights", "resume", "--user", "ana", "--json").json == {"paused": False, "changed": False}


@pytest.mark.slow
def test_who_is_paused_with_everybody_or_by_himself_is_told_so(told: Cli) -> None:
    told("nights", "pause", "--all")
    told("nights", "pause", "--user", "ben")
    assert told("nights", "resume", "--user", "ana", "--json").json == {"paused": True, "changed": False}
    assert "resume --all" in told("nights", "resume", "--user", "ana").out
    assert told("nights", "resume", "--all").out == "all nights are held again\nstill paused by itself: default/default/ben\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(("show", "yesterday"), "is no date"), (("show", "2020-01-01"), "No night of"), (("run", "--due", "--forever"), "choose one")],
)
def test_wrong_usage_is_code_2(told: Cli, arguments: tuple[str, ...], reason: str) -> None:
    ended = told("nights", *arguments)
    assert ended.code == 2
    assert reason in ended.err


def test_forever_holds_nights_until_it_is_told_to_stop(told: Cli) -> None:
    unheard = signal.getsignal(signal.SIGTERM)

    def stop_after_a_night() -> None:
        with contextlib.closing(sqlite3.connect(told.brain / DATABASE)) as rows:
            while (
                signal.getsignal(signal.SIGTERM) is unheard or not rows.execute("SELECT 1 FROM nights WHERE ended_at NOT NULL").fetchall()
            ):
                time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)  # before anybody listens, it would end the tests

    threading.Thread(target=stop_after_a_night, daemon=True).start()
    ended = told("nights", "run", "--forever")
    assert (ended.code, ended.out) == (0, "")
    assert "stopping" in ended.err
    assert len(told("nights", "list", "--all", "--json").json) == 1


def test_a_roll_back_by_the_watch_is_shown(told: Cli) -> None:
    from tests.test_watch import answered, night

    with open_brain(told.brain) as memory:
        ana = memory.scope(user="ana")
        adapter = night(memory, ana, "Lyon")
        learn(memory, memory.scope(user="ben"), {"Capital of France?": "Nice"})
        for _ in range(8):
            ana.feedback(answered(adapter), "bad")
    assert f"rolled back: {adapter.name} was rolled back to the base: 8 of 8" in told("nights", "show", "--user", "ana").out
    shown = told("nights", "show", "--user", "ana", "--json").json
    assert shown["events"][0]["kind"] == "rolled_back"
    assert json.dumps(shown)
