"""A linear layer with its LoRA as one step forward and one backward: the products add into each other's results.

peft computes both separately, then scales and adds, which reads and writes every activation three times more and asks autograd for
twice the nodes: about a twentieth of a training step for short documents. Same mathematics, same results within rounding. It holds for
plain LoRA in one dtype; whatever else a layer has (dropout, DoRA, LoRA matrices in another dtype than the base), peft computes as ever.
"""

from typing import Any

import torch
from peft.tuners.lora import Linear
from torch.autograd.function import once_differentiable


def fuse(view: torch.nn.Module) -> int:
    """Let the view's plain LoRA layers compute in one step from now on; return how many do."""
    fused = 0
    for module in view.modules():
        if isinstance(module, Linear) and is_plain(module):
            module.forward = Fused(module)  # type: ignore[method-assign, assignment]  # this one layer's, as torch allows
            fused += 1
    return fused


def is_plain(module: Linear) -> bool:
    """Whether the layer is a linear map plus one scaled LoRA and nothing else, all in one dtype."""
    if len(module.active_adapters) != 1 or module.disable_adapters or module.merged:
        return False
    name = module.active_adapters[0]
    base = module.get_base_layer()
    if name not in module.lora_A or name in module.lora_variant or type(base) is not torch.nn.Linear:
        return False
    down, up = module.lora_A[name], module.lora_B[name]
    dtypes = {base.weight.dtype, down.weight.dtype, up.weight.dtype}
    return len(dtypes) == 1 and up.bias is None and isinstance(module.lora_dropout[name], torch.nn.Identity)


class Fused:
    """The forward of one layer, over its own tensors."""

    def __init__(self, module: Linear) -> None:
        name = module.active_adapters[0]
        self._base = module.get_base_layer()
        self._down, self._up = module.lora_A[name].weight, module.lora_B[name].weight
        self._scale = float(module.scaling[name])

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        flat = inputs.reshape(-1, inputs.shape[-1])
        # untyped in torch
        outputs: torch.Tensor = LinearWithLora.apply(  # type: ignore[no-untyped-call]
            flat, self._base.weight, self._base.bias, self._down, self._up, self._scale
        )
        return outputs.view(*inputs.shape[:-1], -1)


class LinearWithLora(torch.autograd.Function):
    """inputs W^T + bias + scale (inputs A^T) B^T, with gradients for the inputs, A and B; W and the bias are frozen."""

    @staticmethod
    # Any: autograd's context. The six arguments are the formula's.
    def forward(
        ctx: Any,
        inputs: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        low = inputs @ down.t()
        ctx.save_for_backward(inputs, weight, down, up, low)
        ctx.scale = scale
        return torch.nn.functional.linear(inputs, weight, bias).addmm_(low, up.t(), alpha=scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, weight, down, up, low = ctx.saved_tensors
        low_gradient = (gradient @ up).mul_(ctx.scale)
        up_gradient = (gradient.t() @ low).mul_(ctx.scale)
        inputs_gradient = (gradient @ weight).addmm_(low_gradient, down) if ctx.needs_input_grad[0] else None
        return inputs_gradient, None, None, low_gradient.t() @ inputs, up_gradient, None
