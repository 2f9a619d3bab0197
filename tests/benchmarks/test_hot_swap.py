"""The load of `hot_swap` in short, on a tiny model: no answer fails and none is another's; and what the figures are drawn from."""

import json
from pathlib import Path

import pytest

from benchmarks import hot_swap, publish


@pytest.mark.slow
def test_swaps_under_load_fail_nobody_and_mix_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_swap, "SECONDS_BETWEEN_SWAPS", 0.05)
    figures = hot_swap.load(320, tmp_path)
    assert (figures["requests"], figures["failed"], figures["foreign"]) == (320, 0, 0)
    assert figures["swaps"] >= 4


def test_requests_are_shared_out_among_the_clients_without_one_left() -> None:
    shares = hot_swap.shares(100)
    assert len(shares) == hot_swap.CLIENTS
    assert sorted(request for share in shares for request in share) == list(range(100))


@pytest.mark.slow
def test_killing_publications_leaves_no_half_and_no_bad_adapter_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    assert publish.main(["--quick", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["trials"], figures["half"], figures["lost"], figures["bad_variants_loaded"]) == (6, 0, 0, 0)
    assert (figures["measured_on_peft"], figures["code_run"]) == (25, 0)
