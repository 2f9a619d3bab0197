"""The same LoRA with a smaller update."""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from seal_agent.adapters.scale import WEIGHTS, scaled
from seal_agent.errors import UsageError
from seal_agent.testing import InstantTrainer, ScriptedModel
from seal_agent.types import Example, Turn, silent

HELLO = (Turn(role="user", content="Where does Ana live?"),)


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    examples = [Example(prompt=HELLO, answer="Porto", fact_id="f")]
    InstantTrainer().train(examples, probes=(), out=tmp_path / "candidate", seed=0, progress=silent, should_stop=lambda: False)
    return tmp_path / "candidate"


@pytest.mark.parametrize("factor", [1.0, 0.5, 0.1])
def test_the_update_is_multiplied_by_the_factor(candidate: Path, tmp_path: Path, factor: float) -> None:
    before, after = load_file(candidate / WEIGHTS), load_file(scaled(candidate, tmp_path / "copy", factor) / WEIGHTS)
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_allclose(after[name], before[name] * (factor if ".lora_B." in name else 1.0), rtol=1e-6)
        assert after[name].dtype == before[name].dtype


def test_the_original_is_left_as_it_is(candidate: Path, tmp_path: Path) -> None:
    before = (candidate / WEIGHTS).read_bytes()
    scaled(candidate, tmp_path / "copy", 0.5)
    assert (candidate / WEIGHTS).read_bytes() == before


def test_all_that_belongs_to_the_weights_comes_along(candidate: Path, tmp_path: Path) -> None:
    copy = scaled(candidate, tmp_path / "copy", 0.5)
    assert {path.name for path in copy.iterdir()} == {path.name for path in candidate.iterdir()}
    with safe_open(candidate / WEIGHTS, framework="numpy") as one, safe_open(copy / WEIGHTS, framework="numpy") as other:
        assert one.metadata() == other.metadata()
    model = ScriptedModel({})
    model.load_adapter("copy", copy)
    assert model.generate([HELLO], adapter="copy")[0].text == "Porto"


@pytest.mark.parametrize("factor", [0.0, -0.5, 1.1, float("nan"), float("inf")])
def test_an_adapter_is_only_ever_scaled_down(candidate: Path, tmp_path: Path, factor: float) -> None:
    with pytest.raises(UsageError, match="only ever scaled down"):
        scaled(candidate, tmp_path / "copy", factor)
    assert not (tmp_path / "copy").exists()


def test_no_folder_is_written_over(candidate: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(FileExistsError):
        scaled(candidate, tmp_path / "copy", 0.5)
