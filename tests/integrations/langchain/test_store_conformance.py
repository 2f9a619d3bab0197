"""LangGraph's own store tests, from its source distributions, on SealStore; needs the package index."""

import json

import pytest

from benchmarks.store_conformance import main

FEWEST_OF_SQLITE = 129
"""Of 136; what fails looks into the replaced class, or wants an error where there is nothing to fear here (docs/LOG.md)."""


@pytest.mark.slow
def test_langgraph_s_own_store_tests_pass(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--json", "--quick"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    core, sqlite = figures["langgraph-checkpoint"], figures["langgraph-checkpoint-sqlite"]
    assert (core["failed"], core["passed"]) == (0, core["total"]), core["failures"]
    assert core["total"] >= 117
    assert sqlite["passed"] >= FEWEST_OF_SQLITE, sqlite["failures"]
