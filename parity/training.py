"""Deterministic training steps between prepare and convert: plain gradient descent against a counter's gradient."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from parity.counter import normal_like, words

LEARNING_RATE = 2.0**-6  # a power of two: the step is exact before it is added
Layer = TypeVar("Layer", bound=nn.Module)


def descend(layer: nn.Module) -> None:
    """w -= rate * grad_w for every parameter that has a gradient."""
    with torch.no_grad():
        for parameter in layer.parameters():
            if parameter.grad is not None:
                parameter.sub_(LEARNING_RATE * parameter.grad)


def train(layer: Layer, x: Tensor, steps: int, move: Callable[[nn.Module], object] = descend) -> Layer:
    """`steps` times the output's gradient is drawn and `move` moves the parameters in place; returns the layer.

    Floating inputs are drawn anew in x's shape: a case's own aim at overflow and would train every weight to NaN. The
    same layer and shape give the same bits whichever lane asks, as far as the layer's products are order-free.
    """
    if not steps:
        return layer
    layer.train()
    if x.is_floating_point():
        x = normal_like(words(0, 4 * x.numel()), x.dtype).reshape(x.shape).to(x.device)
    for step in range(steps):
        layer.zero_grad()
        output = layer(x)
        drawn = normal_like(words(step + 1, 4 * output.numel()), output.dtype)
        output.backward(drawn.reshape(output.shape).to(output.device))
        move(layer)
    layer.zero_grad()
    return layer


def float_layer_like(layer: Layer, trained: nn.Module) -> Layer:
    """A layer of the kind `layer` is, in its own strides, with the weight and bias of what was trained in its place."""
    fresh = copy.deepcopy(layer)
    state = trained.state_dict()
    fresh.load_state_dict({name: state[name] for name in fresh.state_dict()})
    return fresh
