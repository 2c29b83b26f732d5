"""output = (sum over k of (qx - zx) * (qw - zw)) * sx * sw + bias: a product of codes, rescaled."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.sequential_product import sequential_product
from kernels.traced import code_sums
from quant import decisions as d
from quant.fake import Operand
from quant.granularity import groups_of
from quant.product import finish, with_gradient
from quant.product_rules import ProductRules
from quant.quotient import scale_in_use, zero_point_in_use
from quant.scale import readable

# What gradients are computed by, since codes have none: the exact products of the dequantized operands.
GRADIENT_RULES = ProductRules(accumulate=d.Accumulate.EXACT)


def code_linear_product(x: Operand, w: Operand, bias: Tensor | None, rules: ProductRules, dtype: torch.dtype) -> Tensor:
    """(sum over k of (qx - zx) * (qw - zw)) * sx * sw + bias in `dtype`, the rescaling in fp32.

    The sum is of integers under accumulate int32; otherwise it goes along k, each product and each addition rounded.

    x's codes: [..., K], w's: [N, K], bias: [N]; or stacked cases [S, ..., K], [S, N, K], [S, N]. Under product_output
    promoted the result has the promotion of fp32 and both scales' dtypes. Raises ValueError when a sum leaves int32.
    """
    bias = None if rules.bias_add is d.BiasAdd.NONE else bias
    with torch.no_grad():
        stack = w.codes.shape[:-2]
        total = _summed(_rows(_centred(x), stack), _centred(w), rules)
        x_scale, w_scale = _rows(_row_scale(x), stack), _row_scale(w).mT
        if rules.code_product_rescale is d.CodeProductRescale.SCALES_FIRST:
            total = total * (x_scale * w_scale)
        elif rules.code_product_rescale is d.CodeProductRescale.INPUT_FIRST:
            total = (total * x_scale) * w_scale
        else:
            total = (total * w_scale) * x_scale
        if rules.product_output is d.ProductOutput.PROMOTED:
            scales = torch.promote_types(*(readable(side.qparams.effective_scale).dtype for side in (x, w)))
            dtype = torch.promote_types(torch.float32, scales)
        output = finish(total, bias, rules, dtype).reshape(*x.codes.shape[:-1], w.codes.shape[-2])
    return with_gradient(output, x.dequantized, w.dequantized, bias, GRADIENT_RULES)


def _summed(x: Tensor, w: Tensor, rules: ProductRules) -> Tensor:
    """Sums over k of products of codes, as fp32."""
    if rules.accumulate is d.Accumulate.INT32:
        return code_sums(x, w).float()
    half = rules.accumulate is d.Accumulate.FLOAT16_SEQUENTIAL
    accumulator = torch.float16 if half else torch.float32
    return sequential_product(x.float(), w.float(), accumulate_dtype=accumulator, fused=False, out_dtype=torch.float32)


def _centred(operand: Operand) -> Tensor:
    """q - z as int32 (codes of at most 16 bits)."""
    codes = operand.codes.to(torch.int32)
    groups = groups_of(operand.qparams.scheme.granularity, tuple(codes.shape))
    zero_point = zero_point_in_use(operand.qparams, groups)
    return codes if zero_point is None else groups.join(groups.split(codes) - zero_point.to(torch.int32))


def _row_scale(operand: Operand) -> Tensor:
    """One fp32 scale a row, [..., rows, 1]."""
    qparams = operand.qparams
    groups = groups_of(qparams.scheme.granularity, tuple(operand.codes.shape))
    scale = scale_in_use(qparams, qparams.scheme.rules.dequantize_scale, groups).reshape(groups.qparam_shape)
    return scale.float().expand(*operand.codes.shape[:-1], 1)


def _rows(t: Tensor, stack: torch.Size) -> Tensor:
    """[..., K] as [M, K], or as [S, M, K] for stacked cases."""
    return t.reshape(*stack, -1, t.shape[-1])
