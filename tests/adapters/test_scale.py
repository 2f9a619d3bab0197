"""The same LoRA with a smaller update."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from seal_agent.adapters.manifest import WEIGHTS
from seal_agent.adapters.scale import multiplied, scaled
from seal_agent.errors import IntegrityError, UsageError
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


@pytest.mark.parametrize(
    ("whole", "smaller"),
    [
        (0x3F80, 0x3EC0),
        (0x3F82, 0x3EC3),
        pytest.param(0x3F81, 0x3EC2, id="halfway between two, up to the even one"),
        pytest.param(0x3F83, 0x3EC4, id="halfway between two, down to the even one"),
        pytest.param(0xBF81, 0xBEC2, id="negative"),
        (0x0000, 0x0000),
        pytest.param(0x7F80, 0x7F80, id="infinity"),
        pytest.param(0xFF80, 0xFF80, id="minus infinity"),
    ],
)
def test_bfloat16_is_rounded_to_the_nearest(whole: int, smaller: int) -> None:
    assert multiplied(whole.to_bytes(2, "little"), "BF16", 0.375) == smaller.to_bytes(2, "little")


def test_what_is_no_number_does_not_become_one() -> None:
    for bits in (0x7FC0, 0x7FFF, 0xFFC0, 0xFFFF):
        [scaled_down] = np.frombuffer(multiplied(bits.to_bytes(2, "little"), "BF16", 0.5), "<u2")
        assert scaled_down & 0x7F80 == 0x7F80
        assert scaled_down & 0x007F


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_values_keep_their_type(dtype: type[np.floating[Any]], tmp_path: Path) -> None:
    values = np.linspace(-1, 1, 7, dtype=dtype)
    (tmp_path / "one").mkdir()
    save_file({"x.lora_A.weight": values, "x.lora_B.weight": values}, tmp_path / "one" / WEIGHTS)
    found = load_file(scaled(tmp_path / "one", tmp_path / "other", 0.3) / WEIGHTS)
    np.testing.assert_array_equal(found["x.lora_B.weight"], values * dtype(0.3), strict=True)
    np.testing.assert_array_equal(found["x.lora_A.weight"], values, strict=True)


def test_weights_that_are_no_such_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / WEIGHTS).write_bytes(b"\x02\0\0\0\0\0\0\0{")
    with pytest.raises(IntegrityError, match=WEIGHTS):
        scaled(tmp_path / "one", tmp_path / "other", 0.5)


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
