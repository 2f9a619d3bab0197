"""The fused layer against peft's own: same outputs, same gradients, and hands off whatever is more than a plain LoRA."""

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from seal_agent.trainers.fused import fuse


def two_layers(*, bias: bool = True, **options: Any) -> torch.nn.Module:  # Any: LoraConfig's fields
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Linear(12, 20, bias=bias), torch.nn.SiLU(), torch.nn.Linear(20, 6, bias=bias))
    view: torch.nn.Module = get_peft_model(plain, LoraConfig(r=4, lora_alpha=12, target_modules=["0", "2"], **options))
    for name, parameter in view.named_parameters():
        if "lora_B" in name:  # peft begins with zeros, which would hide a wrong A
            torch.nn.init.normal_(parameter)
    return view.double()


def results(view: torch.nn.Module, inputs: torch.Tensor) -> list[torch.Tensor]:
    """The outputs and every gradient, the inputs' included."""
    inputs = inputs.clone().requires_grad_()
    outputs = view(inputs)
    outputs.square().sum().backward()
    gradients = [parameter.grad for parameter in view.parameters() if parameter.requires_grad]
    assert all(gradient is not None for gradient in gradients)
    return [outputs, inputs.grad, *gradients]


@pytest.mark.parametrize("bias", [True, False])
def test_outputs_and_gradients_are_those_of_peft(bias: bool) -> None:
    view = two_layers(bias=bias)
    fused = copy.deepcopy(view)
    assert fuse(fused) == 2
    inputs = torch.randn(3, 5, 12, dtype=torch.float64)
    for ours, theirs in zip(results(fused, inputs), results(view, inputs), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_inputs_that_need_no_gradient_leave_the_others_as_they_are() -> None:
    view = two_layers()
    fused = copy.deepcopy(view)
    fuse(fused)
    inputs = torch.randn(5, 12, dtype=torch.float64)
    for one in (view, fused):
        one(inputs).square().sum().backward()
    pairs = list(zip(view.parameters(), fused.parameters(), strict=True))
    assert sum(ours.grad is not None for _, ours in pairs) == 4
    for theirs, ours in pairs:
        if theirs.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("options", [{"lora_dropout": 0.1}, {"use_dora": True}, {"lora_bias": True}])
def test_what_is_more_than_a_plain_lora_stays_with_peft(options: dict[str, Any]) -> None:
    assert fuse(two_layers(**options)) == 0


def test_lora_matrices_in_another_dtype_than_the_base_stay_with_peft() -> None:
    view = two_layers()
    for name, parameter in view.named_parameters():
        if "lora_" not in name:
            parameter.data = parameter.data.to(torch.bfloat16)
    assert fuse(view) == 0
