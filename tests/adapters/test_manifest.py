"""A manifest survives the disk; names are safe everywhere and never part of one another."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal_agent.adapters.artefact import EvaluationFigures, adapter_name
from seal_agent.adapters.manifest import MAX_NAME, NAME, decode, encode
from seal_agent.errors import IntegrityError, InvalidScopeError, UsageError
from seal_agent.types import Evaluation, Graded, Question, ScopeId, Sheet
from tests.adapters.forge import manifest_of, record, stage

SHA = "c0ffee00" * 8
WEIRD = [
    ScopeId(),
    ScopeId(tenant="t", agent=None),
    ScopeId(user="A"),
    ScopeId(user="a"),
    ScopeId(user="á"),
    ScopeId(user="ana.b"),
    ScopeId(user="ana-b"),
    ScopeId(user="ana_b"),
    ScopeId(user="ana b"),
    ScopeId(user="ana@example.org"),
    ScopeId(user="東京"),
    ScopeId(user="🙂"),
    ScopeId(tenant="...", agent="---", user="___"),
    ScopeId(tenant="CON", agent="NUL", user="aux"),
    ScopeId(user="x" * 128),
    ScopeId(tenant="x" * 128, agent="y" * 128, user="z" * 128),
    ScopeId(tenant="tenant1"),
    ScopeId(tenant="tenant10"),
    ScopeId(tenant="a", agent="b"),
    ScopeId(tenant="a", agent="b", user="c"),
    ScopeId(tenant="a_b", agent="c"),
]


def usable(text: str) -> bool:
    try:
        ScopeId(user=text)
    except InvalidScopeError:
        return False
    return True


def test_a_manifest_comes_back_as_it_was(tmp_path: Path) -> None:
    manifest = replace(manifest_of(stage(tmp_path / "staged")), files={"README.md": record(b"x")}, parent="p", scale=0.5)
    assert decode(encode(manifest)) == manifest


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{}", b"\xff", b'{"format": 1', b'{"format": NaN}'])
def test_what_is_no_manifest_is_refused_by_name(text: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"MANIFEST\.json"):
        decode(text)


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    text = encode(manifest_of(stage(tmp_path / "staged")))
    with pytest.raises(IntegrityError, match=r"scale"):
        decode(text.replace(b'"scale": 1.0', b'"scale": 1e999'))
    with pytest.raises(IntegrityError, match=r"version"):
        decode(text.replace(b'"version": 1', b'"version": "1"'))


def test_evaluation_figures_are_counts_and_shares_and_none_where_nothing_was_asked() -> None:
    right = Graded(question=Question(id="q", text="?", answers=("x",)), reply="x", correct=True)
    wrong = replace(right, reply="y", correct=False)
    baseline = Sheet(adapter=None, held_out=(wrong, wrong), retained=(), general=(), perplexity=10.0)
    candidate = Sheet(adapter="a", held_out=(right, wrong), retained=(), general=(), perplexity=11.0)
    figures = EvaluationFigures.of(Evaluation(baseline=baseline, candidate=candidate, seed=3))
    assert (figures.held_out, figures.baseline_recall, figures.candidate_recall) == (2, 0.0, 0.5)
    assert (figures.general, figures.baseline_general, figures.candidate_general) == (0, None, None)
    assert figures.perplexity_ratio == pytest.approx(1.1)
    assert figures.seed == 3


def test_a_name_tells_the_reader_whose_it_is() -> None:
    assert re.fullmatch(r"default_default_ana-695879af-v3-c0ffee00", adapter_name(ScopeId(user="Ana"), 3, SHA))


def test_names_of_weird_scopes_are_safe_distinct_and_short() -> None:
    names = [adapter_name(scope, 12, SHA) for scope in WEIRD]
    assert len({name.casefold() for name in names}) == len(WEIRD)
    for name in names:
        assert NAME.fullmatch(name)
        assert re.fullmatch(r"[a-z0-9_-]+", name)
        assert len(name) <= MAX_NAME


def test_no_name_is_part_of_another() -> None:
    bait = adapter_name(ScopeId(user="ana"), 1, SHA)
    scopes = [*WEIRD, ScopeId(user="ana"), ScopeId(user=f"x-{bait}"), ScopeId(tenant=bait, agent=None)]
    names = [adapter_name(scope, version, SHA) for scope in scopes for version in (1, 2, 11, 12, 112)]
    assert not [(short, long) for short in names for long in names if short != long and short in long]


@given(st.text(min_size=1, max_size=128).filter(usable), st.integers(1, 10**9))
def test_any_id_makes_a_safe_name(user: str, version: int) -> None:
    name = adapter_name(ScopeId(user=user), version, SHA)
    assert NAME.fullmatch(name)
    assert len(name) <= MAX_NAME


@pytest.mark.parametrize(("version", "sha"), [(0, SHA), (-1, SHA), (1, "short"), (1, SHA.upper()), (1, "../" * 8), (10**110, SHA)])
def test_a_name_is_not_made_from_nonsense(version: int, sha: str) -> None:
    with pytest.raises(UsageError, match="version="):
        adapter_name(ScopeId(), version, sha)
