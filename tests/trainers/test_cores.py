"""Several cores at work on one training step."""

import threading

import pytest
import torch

from seal_agent.trainers.cores import Cores
from tests.waiting import LONG


def test_results_come_in_the_order_of_the_parts_whoever_is_done_first() -> None:
    second_is_done = threading.Event()

    def slow() -> str:
        assert second_is_done.wait(LONG)
        return "first"

    def quick() -> str:
        second_is_done.set()
        return "second"

    with Cores(2) as cores:
        assert cores.run([slow, quick]) == ["first", "second"]


def test_each_thread_has_one_core_and_everybody_else_keeps_theirs() -> None:
    before = torch.get_num_threads()
    elsewhere: list[int] = []
    with Cores(2) as cores:
        together = threading.Barrier(2)
        parts = [lambda: (together.wait(LONG), torch.get_num_threads())[1]] * 2
        assert cores.run(parts) == [1, 1]
        stranger = threading.Thread(target=lambda: elsewhere.append(torch.get_num_threads()))
        stranger.start()
        stranger.join()
    assert (torch.get_num_threads(), elsewhere) == (before, [before])


def test_what_goes_wrong_in_a_part_reaches_the_caller() -> None:
    with Cores(2) as cores, pytest.raises(ZeroDivisionError):
        cores.run([lambda: 1, lambda: 1 // 0])


def test_with_one_core_the_caller_computes() -> None:
    with Cores(1) as cores:
        assert cores.run([threading.current_thread] * 2) == [threading.current_thread()] * 2


def test_no_thread_stays_behind() -> None:
    with Cores(2):
        assert any(thread.name.startswith("seal-train") for thread in threading.enumerate())
    assert not any(thread.name.startswith("seal-train") for thread in threading.enumerate())
