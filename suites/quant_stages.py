"""Every stage of one scheme on one tensor, by the functions and by the three flows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quant import (
    ProductRules,
    QuantScheme,
    TensorScheme,
    choose_qparams,
    convert,
    dequantize,
    prepare,
    quantize,
    quantize_,
)
from quant.fake import Operand, fake_operand
from suites.directed_groups import same_bits

Stages = dict[str, Tensor | None]

# In the order in which they are computed; the fake ones follow the stored ones they correspond to.
ORDER = ("scale", "zero_point", "codes", "fake codes", "dequantized", "fake dequantized", "gradient")


def stages_of(scheme: TensorScheme, x: Tensor, grad: Tensor) -> Stages:
    """Stored and fake stages of x, and the gradient that `grad` becomes."""
    qparams = choose_qparams(x, scheme)
    quantized = quantize(x, qparams)
    trained = x.clone().requires_grad_()
    operand = fake_operand(trained, scheme)
    if operand.dequantized.requires_grad:
        operand.dequantized.backward(grad.to(operand.dequantized.dtype))
    values = (
        qparams.scale,
        qparams.zero_point,
        quantized.codes,
        operand.codes,
        dequantize(quantized, x.dtype),
        operand.dequantized.detach(),
        trained.grad,
    )
    return dict(zip(ORDER, values, strict=True))


def differing(a: Stages, b: Stages) -> list[str]:
    """Names of the stages whose bits differ, in order."""
    return [name for name in ORDER if not same_bits(a[name], b[name])]


def flows_of(scheme: TensorScheme, weight: Tensor) -> dict[str, Operand]:
    """The weight operand of a Linear that PTQ quantized, that prepare made, and that convert made of it."""
    layer = QuantScheme(weight=scheme, product=ProductRules())
    x = weight.new_zeros(1, weight.shape[1])
    prepared = prepare(_linear(weight), layer)
    operands = {"prepare": prepared.stages(x).weight}
    operands["convert"] = convert(prepared).stages(x).weight
    operands["ptq"] = quantize_(_linear(weight), layer).stages(x).weight
    return operands


def unlike(a: Operand, b: Operand) -> list[str]:
    """Names of the stages in which two operands differ."""
    pairs = {
        "scale": (a.qparams.scale, b.qparams.scale),
        "zero_point": (a.qparams.zero_point, b.qparams.zero_point),
        "codes": (a.codes, b.codes),
        "dequantized": (a.dequantized, b.dequantized),
    }
    return [name for name, (one, other) in pairs.items() if not same_bits(one, other)]


def _linear(weight: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
    linear.weight = nn.Parameter(weight.clone())
    return linear


def uneven_gradient(x: Tensor) -> Tensor:
    """A gradient of signed numbers that no scale divides evenly, in x's dtype."""
    steps = torch.arange(x.numel(), dtype=torch.float64).reshape(x.shape)
    return ((steps * 0.61803398875 % 2 - 1) * 3).to(x.dtype)
