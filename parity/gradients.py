"""The gradients of a prepared layer as stages: what input and weight receive from a drawn gradient of the output."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from parity.counter import normal_like, words
from parity.trace import Stage, Trace

_SEED = 0x677261  # apart from the seeds of training steps


def with_gradients(trace: Trace, layer: nn.Module, x: Tensor) -> Trace:
    """The trace, and after it grad.input (unless x holds indices) and grad.weight of a prepared layer in eval mode.

    The output's gradient is drawn from a counter, so every lane is handed the same bits. Layer and x keep theirs.
    """
    weight = cast(nn.Parameter, layer.weight)
    leaves: dict[str, Tensor] = {"grad.weight": weight}
    with torch.enable_grad():
        if x.is_floating_point():
            x = x.detach().requires_grad_()
            leaves = {"grad.input": x, **leaves}
        output = layer(x)
        found = torch.autograd.grad(output, list(leaves.values()), drawn_gradient(output), materialize_grads=True)
    stages = [Stage(name=name, tensor=grad, computed=grad.dtype) for name, grad in zip(leaves, found, strict=True)]
    return Trace([*trace, *stages])


def drawn_gradient(output: Tensor) -> Tensor:
    """Near-normal values of the output's shape and dtype, the same for every lane."""
    drawn = normal_like(words(_SEED, 4 * output.numel()), output.dtype)
    return drawn.reshape(output.shape).to(output.device)
