"""Linear layers, quantized and prepared: one computation, whose stages are what it returns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quant import decisions as d
from quant.code_linear import code_linear_product
from quant.fake import Operand, quantized_operand
from quant.frozen import freeze, frozen, has_frozen_activation, unloaded
from quant.observers import Observer
from quant.product import linear_product
from quant.qparams import QParams
from quant.ranges import activation_range, ranged_operand, weight_range
from quant.scheme import QuantScheme
from quant.stored import StoredWeight, check_packing


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStages:
    """Everything one forward pass computed: the input operand (None if it stays float), the weight's, the output."""

    input: Operand | None
    weight: Operand
    output: Tensor


class QuantizedLinear(nn.Module):
    """output = dequantize(quantize(x)) @ dequantize(weight).T + bias, from stored integer codes.

    x: [..., in_features] in the weight's original dtype. Buffers: weight_codes, weight_scale, weight_zero_point (absent
    in the NONE domain), and the like for an activation whose qparams are frozen. A module made by `empty` holds NaN
    scales until a state dict is loaded.
    """

    def __init__(
        self, stored: StoredWeight, bias: Tensor | None, scheme: QuantScheme, activation: QParams | None = None
    ) -> None:
        super().__init__()
        if (activation is not None) != has_frozen_activation(scheme):
            raise ValueError(
                "the activation's qparams are given exactly when its statistic is not its own; quantize_ with batches, "
                "or prepare, calibrate and convert, observe them"
            )
        self.scheme = scheme
        self.dtype = stored.dtype
        self.out_features, self.in_features = stored.quantized.codes.shape[-2:]
        stored.register(self)
        if activation is not None:
            freeze(self, activation)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    @classmethod
    def from_float(
        cls, weight: Tensor, bias: Tensor | None, scheme: QuantScheme, activation: QParams | None = None
    ) -> QuantizedLinear:
        """The layer that PTQ makes of a float weight [out, in]; raises what choose_qparams raises."""
        return cls(StoredWeight.of(weight, scheme.weight, scheme.packing), bias, scheme, activation)

    @classmethod
    def empty(cls, shape: tuple[int, ...], dtype: torch.dtype, scheme: QuantScheme, *, bias: bool) -> QuantizedLinear:
        """A layer of the right shapes and dtypes to load a state dict into."""
        absent = torch.full((*shape[:-2], shape[-2]), torch.nan, dtype=dtype) if bias else None
        activation = None
        if scheme.activation is not None and has_frozen_activation(scheme):
            activation = unloaded(scheme.activation, shape, dtype)
        return cls(StoredWeight.empty(shape, dtype, scheme.weight, scheme.packing), absent, scheme, activation)

    def stages(self, x: Tensor) -> LayerStages:
        """Every intermediate of forward(x); raises ValueError when x is not of the weight's dtype."""
        activation = self.scheme.activation
        check_activation_dtype(x, self.dtype)
        check_bias_dtype(self.bias, self.dtype)
        operand = None
        if activation is not None:
            qparams = frozen(self, activation, x) if has_frozen_activation(self.scheme) else None
            operand = quantized_operand(x, activation, qparams)
        weight = StoredWeight.read(self, self.scheme.weight, self.dtype, self.scheme.packing).operand()
        return layer_stages(x, operand, weight, self.bias, self.scheme, self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(x).output

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, dtype={self.dtype}"


class FakeQuantizedLinear(nn.Linear):
    """QuantizedLinear's output from a float weight that still trains, with straight-through gradients.

    Holds the Parameters it is given. Deep-copies, saves and loads as the nn.Linear whose place it takes, with what is
    observed or learned beside it. In training mode an observed activation's range takes in every input first. While
    `fake_quantization` is False it is that nn.Linear.
    """

    fake_quantization = True

    def __init__(self, weight: Tensor, bias: Tensor | None, scheme: QuantScheme) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape[-2:]
        self.weight, self.bias = weight, bias  # type: ignore[assignment]  # Parameters, which nn.Linear types as Tensor
        check_packing(weight, scheme)
        self.scheme = scheme
        self.weight_range, self.activation_range = weight_range(weight, scheme), activation_range(weight, scheme)

    def stages(self, x: Tensor) -> LayerStages:
        """Every intermediate of forward(x); raises ValueError when x is not of the weight's dtype."""
        activation = self.scheme.activation
        check_activation_dtype(x, self.weight.dtype)
        check_bias_dtype(self.bias, self.weight.dtype)
        operand = None if activation is None else ranged_operand(x, activation, self.activation_range)
        weight = ranged_operand(self.weight, self.scheme.weight, self.weight_range)
        return layer_stages(x, operand, weight, self.bias, self.scheme, self.weight.dtype)

    def forward(self, input: Tensor) -> Tensor:
        if self.training and isinstance(self.activation_range, Observer):
            self.activation_range.observe(input)
        return self.stages(input).output if self.fake_quantization else super().forward(input)

    def converted(self, stored: StoredWeight | None = None) -> QuantizedLinear:
        """The layer that stores this one's codes; `stored` are those of another layer with the same weight."""
        weight = self.weight.detach()
        if stored is None:
            learned = None if self.weight_range is None else self.weight_range.qparams(weight)
            stored = StoredWeight.of(weight, self.scheme.weight, self.scheme.packing, learned)
        fixed = None if self.activation_range is None else self.activation_range.qparams(weight)
        return QuantizedLinear(stored, self.bias, self.scheme, fixed)


def layer_stages(
    x: Tensor, operand: Operand | None, weight: Operand, bias: Tensor | None, scheme: QuantScheme, dtype: torch.dtype
) -> LayerStages:
    """The product of both operands under the scheme's product rules, beside the operands themselves."""
    output_dtype = scheme.resolved_output_dtype(dtype)
    if not output_dtype.is_floating_point:
        raise ValueError(
            f"output_dtype is {output_dtype}, which only an embedding's rows are cut to; use 'model' or a float"
        )
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


def check_bias_dtype(bias: Tensor | None, dtype: torch.dtype) -> None:
    """A bias has its weight's dtype, unless the module was cast without it."""
    if bias is not None and bias.dtype != dtype:
        raise ValueError(
            f"the bias is {bias.dtype} and the layer's weight is {dtype}: a quantized layer cannot be cast; cast the "
            "float model and quantize it again"
        )
