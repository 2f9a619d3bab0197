"""A candidate that drifts is made smaller until it harms nothing, or given up."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from seal_agent.adapters.artefact import verify
from seal_agent.adapters.manifest import WEIGHTS
from seal_agent.consolidation.bundled import general_questions
from seal_agent.ledger import adapters
from seal_agent.testing import ScriptedModel
from seal_agent.types import CycleReport, Progress, Turn
from tests.consolidation.brains import ANA, BASE_SHA256, DIET, HOME, Brain

WHOLE = "whole"


class Drifting(ScriptedModel):
    """Harmed by an adapter in proportion to the size of its update: perplexity is 10 for the base and 10 * (1 + drift * scale)."""

    def __init__(self, drift: float) -> None:
        super().__init__({})
        self._drift = drift
        self._norms: dict[str, float] = {}

    def load_adapter(self, name: str, path: Path) -> None:
        super().load_adapter(name, path)
        weights = load_file(path / WEIGHTS)
        self._norms[name] = float(np.linalg.norm(next(tensor for key, tensor in weights.items() if ".lora_B." in key)))
        self._norms.setdefault(WHOLE, self._norms[name])

    def score(self, items: Sequence[tuple[Sequence[Turn], str]], *, adapter: str | None = None) -> list[list[float]]:
        if not items or items[0][0]:
            return super().score(items, adapter=adapter)
        scale = self._norms[adapter] / self._norms[WHOLE] if adapter else 0.0
        return [[-float(np.log(10 * (1 + self._drift * scale)))] * 5 for _ in items]


def night(brain: Brain, drift: float, said: list[Progress] | None = None, **gate: float) -> CycleReport:
    brain.hear(DIET, HOME)
    drifting = brain.with_parts(model=Drifting(drift)).with_settings(gate={"max_perplexity_ratio": 1.1, **gate})
    return drifting.night(progress=(said if said is not None else []).append)


def test_a_candidate_that_harms_nothing_is_promoted_as_it_is(brain: Brain) -> None:
    report = night(brain, 0.05)
    assert report.state == "promoted"
    assert report.evaluation is not None
    assert report.evaluation.scale == 1.0


@pytest.mark.parametrize(("drift", "largest"), [(0.2, 0.5), (0.15, 2 / 3), (0.4, 0.25), (0.11, 10 / 11)])
def test_a_candidate_that_drifts_is_scaled_down_to_about_the_largest_harmless_scale(brain: Brain, drift: float, largest: float) -> None:
    report = night(brain, drift)
    assert report.state == "promoted"
    assert report.evaluation is not None
    assert largest - 2**-5 <= report.evaluation.scale <= largest + 1e-6
    assert report.evaluation.perplexity_ratio <= 1.1


def test_what_is_published_is_the_scaled_candidate_and_says_its_scale(brain: Brain) -> None:
    report = night(brain, 0.2)
    assert report.adapter is not None
    assert report.evaluation is not None
    manifest = verify(brain.artefacts / report.adapter, BASE_SHA256)
    assert manifest.scale == report.evaluation.scale
    assert brain.folders() == [report.adapter]
    [up] = [tensor for key, tensor in load_file(brain.artefacts / report.adapter / WEIGHTS).items() if ".lora_B." in key]
    [down] = [tensor for key, tensor in load_file(brain.artefacts / report.adapter / WEIGHTS).items() if ".lora_A." in key]
    np.testing.assert_allclose(up.ravel(), down.ravel() * report.evaluation.scale, rtol=1e-6)


def test_recall_is_asked_again_at_the_scale_found(brain: Brain) -> None:
    report = night(brain, 0.2)
    assert report.evaluation is not None
    assert report.evaluation.candidate.adapter != report.evaluation.baseline.adapter
    assert str(report.evaluation.candidate.adapter).rsplit("-", 1)[1] != "0"


@pytest.mark.parametrize(
    ("drift", "gate", "tried"),
    [
        pytest.param(2.0, {}, ["x0.5", "x0.25", "x0.125"], id="harms at every scale down to the least"),
        pytest.param(2.0, {"min_scale": 0.3}, ["x0.5"], id="the least scale is set higher"),
        pytest.param(2.0, {"scale_steps": 0}, [], id="no scaling allowed"),
        pytest.param(9.0, {"scale_steps": 2}, ["x0.5", "x0.25"], id="steps are used up"),
    ],
)
def test_a_candidate_that_still_harms_at_the_least_scale_is_rejected(
    brain: Brain, drift: float, gate: dict[str, float], tried: list[str]
) -> None:
    said: list[Progress] = []
    report = night(brain, drift, said, **gate)
    assert report.state == "rejected"
    assert "perplexity" in report.reason
    assert [step.detail for step in said if step.stage == "scale"] == tried
    assert brain.live() is None
    assert report.evaluation is not None
    assert report.evaluation.scale == 1.0


def test_no_copy_stays_on_disk_or_in_the_model(brain: Brain) -> None:
    model = Drifting(2.0)
    brain.hear(DIET, HOME)
    report = brain.with_parts(model=model).night()
    assert brain.folders() == [report.adapter]
    assert model.adapters == ()


def test_ctrl_c_while_it_is_scaled_keeps_what_was_trained_and_publishes_nothing(brain: Brain) -> None:
    brain.hear(DIET, HOME)

    def interrupt(step: Progress) -> None:
        if step.stage == "scale" and step.done == 2:
            raise KeyboardInterrupt

    model = Drifting(0.2)
    with pytest.raises(KeyboardInterrupt):
        brain.with_parts(model=model).night(progress=interrupt)
    assert brain.folders() == []
    assert model.adapters == ()
    assert [row.state for row in brain.cycles()] == ["running"]


def test_a_candidate_that_learnt_nothing_is_not_scaled(brain: Brain) -> None:
    said: list[Progress] = []
    assert night(brain, 2.0, said, min_gain=1.0).state == "rejected"
    assert not [step for step in said if step.stage == "scale"]


def test_the_live_adapter_is_asked_what_the_candidate_must_not_lose(brain: Brain) -> None:
    brain.hear(DIET)
    first = brain.night()
    brain.hear(HOME)
    report = brain.with_parts(model=ScriptedModel({})).night()
    assert report.evaluation is not None
    assert report.evaluation.incumbent is not None
    assert report.evaluation.incumbent.adapter == first.adapter
    assert report.evaluation.incumbent.retention is not None
    with brain.backends.ledger.read() as conn:
        assert adapters.get_adapter(conn, str(report.adapter)).parent == first.adapter
        assert len(adapters.list_adapters(conn, ANA)) == 2


def test_where_only_perplexity_fails_general_questions_are_asked_at_full_size_and_at_the_scale_found_only(brain: Brain) -> None:
    model = Drifting(0.2)
    brain.hear(DIET, HOME)
    brain.with_parts(model=model).with_settings(gate={"max_perplexity_ratio": 1.1}).night()
    question = general_questions()[0].text
    by_whom = [call.adapter for call in model.calls if call.prompt[-1].content == question]
    assert len(by_whom) == len(set(by_whom)) == 3  # the base, the candidate and the one found
