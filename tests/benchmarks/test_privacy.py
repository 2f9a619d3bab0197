"""The measurement of the detectors runs and has its keys; and nothing is found in the example talk."""

import json

import pytest

from benchmarks import privacy


def test_every_key_is_there_and_every_known_form_is_found(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["privacy", "--quick", "--json"])
    monkeypatch.setattr(privacy, "QUICK_PER_FORM", 1)
    privacy.main()
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(figures["recall"].values()) == {1.0}
    assert (figures["flagged"], figures["flagged_by_kind"]) == (0, {})
    assert figures["turns"] > 300
    assert all(f"{key}" in (privacy.__doc__ or "") for key in figures)
