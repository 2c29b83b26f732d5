"""Linear layers, quantized and prepared: one computation, whose stages are what it returns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quant import decisions as d
from quant.code_linear import code_linear_product
from quant.fake import Operand, fake_operand, quantized_operand
from quant.product import linear_product
from quant.scheme import QuantScheme
from quant.stored import StoredWeight


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStages:
    """Everything one forward pass computed: the input operand (None if it stays float), the weight's, the output."""

    input: Operand | None
    weight: Operand
    output: Tensor


class QuantizedLinear(nn.Module):
    """output = dequantize(quantize(x)) @ dequantize(weight).T + bias, from stored integer codes.

    x: [..., in_features] in the weight's original dtype. Buffers: weight_codes, weight_scale, weight_zero_point (absent
    in the NONE domain). A module made by `empty` holds NaN scales until a state dict is loaded.
    """

    def __init__(self, stored: StoredWeight, bias: Tensor | None, scheme: QuantScheme) -> None:
        super().__init__()
        self.scheme = scheme
        self.dtype = stored.dtype
        self.out_features, self.in_features = stored.quantized.codes.shape[-2:]
        stored.register(self)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    @classmethod
    def from_float(cls, weight: Tensor, bias: Tensor | None, scheme: QuantScheme) -> QuantizedLinear:
        """The layer that PTQ makes of a float weight [out, in]; raises what choose_qparams raises."""
        return cls(StoredWeight.of(weight, scheme.weight), bias, scheme)

    @classmethod
    def empty(cls, shape: tuple[int, ...], dtype: torch.dtype, scheme: QuantScheme, *, bias: bool) -> QuantizedLinear:
        """A layer of the right shapes and dtypes to load a state dict into."""
        absent = torch.full((*shape[:-2], shape[-2]), torch.nan, dtype=dtype) if bias else None
        return cls(StoredWeight.empty(shape, dtype, scheme.weight), absent, scheme)

    def stages(self, x: Tensor) -> LayerStages:
        """Every intermediate of forward(x); raises ValueError when x is not of the weight's dtype."""
        activation = self.scheme.activation
        check_activation_dtype(x, self.dtype)
        operand = None if activation is None else quantized_operand(x, activation)
        weight = StoredWeight.read(self, self.scheme.weight, self.dtype).operand()
        return layer_stages(x, operand, weight, self.bias, self.scheme, self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(x).output

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, dtype={self.dtype}"


class FakeQuantizedLinear(nn.Linear):
    """QuantizedLinear's output from a float weight that still trains, with straight-through gradients.

    Holds the Parameters it is given. Deep-copies, saves and loads as the nn.Linear whose place it takes.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, scheme: QuantScheme) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape[-2:]
        self.weight, self.bias = weight, bias  # type: ignore[assignment]  # Parameters, which nn.Linear types as Tensor
        self.scheme = scheme

    def stages(self, x: Tensor) -> LayerStages:
        """Every intermediate of forward(x); raises ValueError when x is not of the weight's dtype."""
        activation = self.scheme.activation
        check_activation_dtype(x, self.weight.dtype)
        operand = None if activation is None else fake_operand(x, activation)
        weight = fake_operand(self.weight, self.scheme.weight)
        return layer_stages(x, operand, weight, self.bias, self.scheme, self.weight.dtype)

    def forward(self, input: Tensor) -> Tensor:
        return self.stages(input).output

    def converted(self) -> QuantizedLinear:
        """The layer that stores this one's codes."""
        return QuantizedLinear.from_float(self.weight.detach(), self.bias, self.scheme)


def layer_stages(
    x: Tensor, operand: Operand | None, weight: Operand, bias: Tensor | None, scheme: QuantScheme, dtype: torch.dtype
) -> LayerStages:
    """The product of both operands under the scheme's product rules, beside the operands themselves."""
    output_dtype = scheme.resolved_output_dtype(dtype)
    if scheme.product.product_operands is d.ProductOperands.CODES:
        assert operand is not None
        output = code_linear_product(operand, weight, bias, scheme.product, output_dtype)
    else:
        values = x if operand is None else operand.dequantized
        output = linear_product(values, weight.dequantized, bias, scheme.product, output_dtype)
    return LayerStages(input=operand, weight=weight, output=output)


def check_activation_dtype(x: Tensor, dtype: torch.dtype) -> None:
    """A layer computes in its weight's dtype; an input of another is refused, never cast."""
    if x.dtype != dtype:
        raise ValueError(f"the input is {x.dtype} and the layer's weight is {dtype}; cast the input, or the model")
