"""The count of operations, the figures drawn from the trials, and the way out where TRL is missing; nothing is measured here."""

import importlib.util
from dataclasses import replace
from typing import Any

import pytest
from transformers import TrainerControl

from benchmarks.training_arms import TRL_SECONDS, Meter, make_documents, stopwatch
from benchmarks.training_flops import Shape, training_flops
from benchmarks.training_throughput import main, summarise

# One layer that can be counted by hand: query 4x4, key and value 4x2, output 4x4, gate and up 4x8, down 8x4.
LINEAR = ((4, 4), (4, 2), (4, 2), (4, 4), (4, 8), (4, 8), (8, 4))
ONE_LAYER = Shape(hidden=4, vocabulary=10, layers=1, rank=1, linear=LINEAR, reading=3)
WEIGHTS = 16 + 8 + 8 + 16 + 32 + 32 + 32
LORA = 8 + 6 + 6 + 8 + 12 + 12 + 12
READING = 16 + 8 + 8 + 3 * 4
"""Weights of query, key and value, and of their three LoRA matrices A of rank 1, whose inputs need no gradient in the first layer."""
SCORES = 12 * 4
"""Per pair of tokens: scores and mixing, two products of 2 x hidden forward, twice that backward."""


def test_one_token_without_a_label_costs_what_the_hand_counts() -> None:
    assert training_flops(ONE_LAYER, [(1, 0)]) == 4 * WEIGHTS + 6 * LORA - 2 * READING + SCORES


def test_only_the_first_trained_layer_is_spared_the_gradient_of_its_inputs() -> None:
    one, two = training_flops(ONE_LAYER, [(1, 0)]), training_flops(replace(ONE_LAYER, layers=2), [(1, 0)])
    assert two - one == 4 * WEIGHTS + 6 * LORA + SCORES


def test_a_labelled_token_costs_the_head_forward_and_backward() -> None:
    assert training_flops(ONE_LAYER, [(5, 3)]) - training_flops(ONE_LAYER, [(5, 0)]) == 3 * 4 * 4 * 10


def test_attention_is_counted_within_each_document_and_under_the_causal_triangle() -> None:
    apart, joined = training_flops(ONE_LAYER, [(3, 0), (3, 0)]), training_flops(ONE_LAYER, [(6, 0)])
    assert joined - apart == SCORES * (21 - 2 * 6)


def test_the_same_seed_makes_the_same_documents_of_varied_length() -> None:
    documents = make_documents(60, seed=1)
    assert documents == make_documents(60, seed=1)
    assert documents != make_documents(60, seed=2)
    words = [len(document.answer.split()) for document in documents]
    assert min(words) <= 8
    assert max(words) >= 16
    # Anchors would make our trainer compute a second distribution, which TRL's does not.
    assert all(document.fact_id for document in documents)


def block(tokens: int, processor: float, flops: int = 0) -> Meter:
    return Meter(tokens=tokens, steps=1, processor=processor, wall=2 * processor, flops=flops)


def figures() -> dict[str, Any]:
    blocks = {
        "ours": [block(300, 1.0, 60), block(200, 1.0, 40), block(100, 1.0, 20)],
        "ours_default": [block(400, 1.0)],
        "trl": [block(20, 1.0), block(10, 1.0), block(30, 1.0)],
        "trl_float32": [block(100, 1.0), block(160, 2.0), block(10, 1.0)],
    }
    return summarise(blocks, [100.0, 80.0, 20.0])


def test_ratios_are_between_medians_and_both_are_stated() -> None:
    found = figures()
    assert (found["tokens_per_s"], found["trl_tokens_per_s"], found["ratio_to_trl"]) == (200, 20, 10)
    assert (found["best_trl"], found["best_trl_tokens_per_s"], found["ratio_to_best_trl"]) == ("trl_float32", 80, 2.5)
    assert found["wall_tokens_per_s"]["ours"] == 100


def test_our_own_arms_never_count_as_the_best_of_trl() -> None:
    assert figures()["best_trl_tokens_per_s"] < figures()["default_tokens_per_s"]


def test_the_gemm_fraction_sets_each_trial_against_the_products_measured_beside_it() -> None:
    assert figures()["gemm_fraction"] == 0.6


def test_the_spread_is_relative_to_the_median_and_unknown_after_one_trial() -> None:
    assert figures()["spread"] == {"ours": 1.0, "ours_default": None, "trl": 1.0, "trl_float32": pytest.approx(90 / 80)}


def test_a_meter_begins_at_the_first_step_only(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 4.0, 6.0, 9.0])
    monkeypatch.setattr("benchmarks.training_arms.time.process_time", lambda: next(times))
    meter = Meter()
    meter.begin()
    meter.step()
    meter.begin()
    meter.step()
    assert (meter.before, meter.processor, meter.steps) == (3.0, 5.0, 2)


def test_a_run_of_trl_ends_after_the_step_that_used_up_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 0.0, TRL_SECONDS / 2, TRL_SECONDS * 2])
    monkeypatch.setattr("benchmarks.training_arms.time.process_time", lambda: next(times))
    meter, control = Meter(), TrainerControl()
    watch = stopwatch(meter)
    ended = []
    for _ in range(2):
        watch.on_step_begin(None, None, control)
        watch.on_step_end(None, None, control)
        ended.append(control.should_training_stop)
    assert ended == [False, True]


def test_without_trl_it_says_how_to_install_it_and_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["--quick"]) == 2
    assert "pip install 'seal-agent[bench]'" in capsys.readouterr().err
