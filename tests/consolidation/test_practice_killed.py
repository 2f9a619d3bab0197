"""A round of practice is killed again and again, without a word of warning, and comes to what an undisturbed one comes to."""

import multiprocessing
import os
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from seal_agent.consolidation import kept
from seal_agent.consolidation.practising import PRACTICE
from seal_agent.consolidation.round_report import RoundReport
from seal_agent.ledger.ledger import Ledger
from seal_agent.testing import InstantTrainer
from tests.consolidation.brains import open_brain
from tests.consolidation.test_outer_loop import SAID, SMALL, Author, asked_of, hold

KILLS = 6


def play(folder: Path) -> RoundReport:
    with Ledger.open(folder) as ledger:
        brain = open_brain(folder, ledger).with_settings(practice=SMALL | {"facts_per_context": 1})
        if not brain.facts():
            for text in SAID:
                brain.state(text)
        return hold(brain.with_parts(model=Author(asked_of(brain)), trainer=InstantTrainer()))


def play_and_stop(folder: Path, after: int) -> None:
    """Play, and once so many further pages are written wait to be killed: by itself it may be done before anybody has looked."""
    pages = folder / PRACTICE
    wanted = len(list(pages.glob("*.json"))) + after
    keep = kept.keep

    def keep_and_stop(file: Path, kind: Any, made: Any) -> None:  # Any: as what is kept
        keep(file, kind, made)
        if file.parent == pages and len(list(pages.glob("*.json"))) >= wanted:
            os.kill(os.getpid(), signal.SIGSTOP)

    kept.keep = keep_and_stop
    play(folder)


@pytest.mark.slow
def test_a_round_that_is_killed_comes_to_what_an_undisturbed_one_does(tmp_path: Path, vectors: Path) -> None:
    for name in ("killed", "undisturbed"):
        shutil.copytree(vectors, tmp_path / name / "cache")
    expected = play(tmp_path / "undisturbed")
    order, folder = random.Random(0), tmp_path / "killed"
    killed = 0
    for _ in range(KILLS):
        child = multiprocessing.get_context("spawn").Process(target=play_and_stop, args=(folder, order.randint(1, 4)))
        child.start()
        os.waitid(os.P_PID, child.pid or 0, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        child.kill()
        child.join()
        killed += child.exitcode == -signal.SIGKILL
    assert killed == KILLS
    found = play(folder)
    assert (found.tried, found.judged, found.state) == (expected.tried, expected.judged, expected.state)
    assert found.state == "promoted"
