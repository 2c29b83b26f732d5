"""a @ b where a side is quantized: whose rules multiply, what is dequantized, and whose scheme the result is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from quant import decisions as d
from quant.code_linear import GRADIENT_RULES, code_linear_product
from quant.fake import Operand
from quant.mapping import ZeroPointDomain
from quant.product import linear_product
from quant.product_rules import ProductRules
from quant.quantized_tensor.decisions import FloatByQuantized, MixedProduct, MixedRules, ProductScheme

if TYPE_CHECKING:
    from quant.quantized_tensor.tensor import QuantizedTensor


class Product(NamedTuple):
    """The float result of a product, and the tensor whose propagation and scheme it follows (None = it stays float)."""

    value: Tensor
    followed: QuantizedTensor | None


def product(cls: type[QuantizedTensor], left: Tensor, right: Tensor, bias: Tensor | None) -> Product:
    """left @ right + bias, with torch's meaning of matmul for every rank; at least one side is quantized.

    Both quantized: under the ProductRules of one side's scheme. float x quantized: the left side is quantized first, or
    the right one dequantized, as the contract says. Raises ValueError for a product of codes whose scales do not leave
    the sum.
    """
    if (
        isinstance(right, cls)
        and not isinstance(left, cls)
        and right.contract.float_by_quantized is FloatByQuantized.REQUANTIZED
    ):
        left = right.requantized(left)
    if isinstance(left, cls) and isinstance(right, cls):
        decides = left if left.contract.product_scheme is ProductScheme.LEFT else right
        dtype = decides.scheme.resolved_output_dtype(decides.dtype)
        return Product(_of_any_rank(left, right, bias, decides.scheme.product, dtype), decides)
    quantized, other = (left, right) if isinstance(left, cls) else (right, left)
    assert isinstance(quantized, cls)
    values = quantized.dequantize(other.dtype)
    contract = quantized.contract
    rules = ProductRules() if contract.mixed_rules is MixedRules.LIBRARY else quantized.scheme.product
    if rules.product_operands is d.ProductOperands.CODES:
        rules = GRADIENT_RULES
    dtype = quantized.scheme.resolved_output_dtype(other.dtype)
    a, b = (values, right) if quantized is left else (left, values)
    value = _of_any_rank(a, b, bias, rules, dtype)
    return Product(value, quantized if contract.mixed_product is MixedProduct.PROPAGATED else None)


def _of_any_rank(a: Tensor, b: Tensor, bias: Tensor | None, rules: ProductRules, dtype: torch.dtype) -> Tensor:
    """matmul of vectors, matrices and broadcast stacks of them by the product of rows [.., K] with rows [.., N, K]."""
    if b.dim() == 1:
        return _of_any_rank(a, b.unsqueeze(1), bias, rules, dtype).squeeze(-1)
    if b.dim() == 2:
        return _rows_by_rows(a, b.mT, bias, rules, dtype)
    if a.dim() == 1:
        return _of_any_rank(a.unsqueeze(0), b, bias, rules, dtype).squeeze(-2)
    stack = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = a.expand(*stack, *a.shape[-2:]).reshape(-1, *a.shape[-2:])
    w = b.expand(*stack, *b.shape[-2:]).reshape(-1, *b.shape[-2:]).mT
    return _rows_by_rows(x, w, bias, rules, dtype).reshape(*stack, a.shape[-2], b.shape[-1])


def _rows_by_rows(x: Tensor, w: Tensor, bias: Tensor | None, rules: ProductRules, dtype: torch.dtype) -> Tensor:
    """x @ w.T + bias: of codes where the rules say so, else of what they stand for."""
    if x.shape[-1] != w.shape[-1]:
        raise ValueError(f"a product sums over k, which is {x.shape[-1]} on the left and {w.shape[-1]} on the right")
    if rules.product_operands is d.ProductOperands.CODES:
        return code_linear_product(_code_operand(x, "left"), _code_operand(w, "right"), bias, rules, dtype)
    return linear_product(_values(x), _values(w), bias, rules, dtype)


def _values(t: Tensor) -> Tensor:
    """What a tensor stands for: a quantized one read back, a float one itself."""
    return t.dequantize() if hasattr(t, "quantized") else t


def _code_operand(t: Tensor, side: str) -> Operand:
    """A quantized tensor with one scale a row. Raises ValueError for scales along k and for float zero points."""
    quantized: QuantizedTensor = t  # type: ignore[assignment]  # both sides of a product of codes are
    qparams, codes = quantized.quantized.qparams, quantized.quantized.codes
    blocks = qparams.scheme.granularity.block_shape(tuple(codes.shape))
    if blocks[-1] != codes.shape[-1] or qparams.scheme.zero_point_domain is ZeroPointDomain.FLOAT:
        raise ValueError(
            f"product_operands is codes and the {side} side has blocks of {blocks} in rows of {codes.shape[-1]}, "
            f"zero_point_domain {qparams.scheme.zero_point_domain}: an integer sum over k has one scale a row and no "
            "float zero point; use dequantized operands, or one scale for the tensor"
        )
    return Operand(qparams=qparams, codes=codes, dequantized=quantized.dequantize())
