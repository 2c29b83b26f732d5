"""output = x @ w.T + bias under ProductRules: who is multiplied, how the sum is kept, where the bias enters."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.code_product import code_product
from kernels.exact_product import exact_product
from kernels.narrow import narrow
from kernels.sequential_product import sequential_product
from kernels.tf32 import round_to_tf32
from quant import decisions as d
from quant.codes import zero_point_in_use
from quant.fake import Operand
from quant.granularity import groups_of
from quant.product_rules import ProductRules


def linear_product(x: Tensor, w: Tensor, bias: Tensor | None, rules: ProductRules, dtype: torch.dtype) -> Tensor:
    """x @ w.T + bias in `dtype`, from dequantized operands.

    x: [..., K] of any rank from 1, w: [N, K], bias: [N]; or stacked cases x: [S, ..., K], w: [S, N, K], bias: [S, N],
    except under accumulate native, whose bits depend on shapes and so are computed a case at a time. Differentiable in
    all three; gradients are products under the same rules.
    """
    if w.dim() == 3 and rules.accumulate == d.Accumulate.NATIVE:
        biases = [None] * len(w) if bias is None else list(bias)
        return torch.stack([linear_product(*case, rules, dtype) for case in zip(x, w, biases, strict=True)])
    if rules.bias_add == d.BiasAdd.NONE:
        bias = None
    if rules.accumulate == d.Accumulate.NATIVE:
        return _native(x, w, bias, rules, dtype)
    result: Tensor = _Product.apply(x, w, bias, rules, dtype)
    return result


def code_linear_product(x: Operand, w: Operand, bias: Tensor | None, rules: ProductRules, dtype: torch.dtype) -> Tensor:
    """(sum over k of (qx - zx) * (qw - zw)) * sx * sw + bias in `dtype`, the sum in integers, the rescaling in fp32."""
    total = code_product(_rows(_centred(x)), _centred(w)).float()
    x_scale = _rows(x.qparams.scale.float().expand(*x.codes.shape[:-1], 1))
    w_scale = w.qparams.scale.float().expand(*w.codes.shape[:-1], 1).mT
    if rules.code_product_rescale == d.CodeProductRescale.SCALES_FIRST:
        total = total * (x_scale * w_scale)
    elif rules.code_product_rescale == d.CodeProductRescale.INPUT_FIRST:
        total = (total * x_scale) * w_scale
    else:
        total = (total * w_scale) * x_scale
    if rules.product_output == d.ProductOutput.PROMOTED:
        dtype = torch.promote_types(torch.float32, torch.promote_types(x.qparams.scale.dtype, w.qparams.scale.dtype))
    output = _finish(total, None if rules.bias_add == d.BiasAdd.NONE else bias, rules, dtype)
    return output.reshape(*x.codes.shape[:-1], w.codes.shape[-2])


def _centred(operand: Operand) -> Tensor:
    """q - z as int32 (codes of at most 16 bits)."""
    codes = operand.codes.to(torch.int32)
    groups = groups_of(operand.qparams.scheme.granularity, tuple(codes.shape))
    zero_point = zero_point_in_use(operand.qparams, groups)
    return codes if zero_point is None else groups.join(groups.split(codes) - zero_point.to(torch.int32))


def _rows(x: Tensor) -> Tensor:
    """[..., K] as [M, K]."""
    return x.reshape(-1, x.shape[-1])


def _native(x: Tensor, w: Tensor, bias: Tensor | None, rules: ProductRules, dtype: torch.dtype) -> Tensor:
    if rules.operand_precision != d.OperandPrecision.NATIVE:
        x, w = _cut(x, rules), _cut(w, rules)
    if rules.bias_add == d.BiasAdd.IN_ACCUMULATOR and rules.product_output == d.ProductOutput.DIRECT:
        return F.linear(x, w, bias).to(dtype)
    return _finish(F.linear(x, w), bias, rules, dtype)


def _cut(x: Tensor, rules: ProductRules) -> Tensor:
    if rules.operand_precision == d.OperandPrecision.BFLOAT16:
        return narrow(x, torch.bfloat16).to(x.dtype)
    return round_to_tf32(x.float()).to(x.dtype) if rules.operand_precision == d.OperandPrecision.TF32 else x


def _finish(total: Tensor, bias: Tensor | None, rules: ProductRules, dtype: torch.dtype) -> Tensor:
    """The sum in its accumulator, cast to `dtype` with the bias where `bias_add` puts it."""
    if bias is not None and rules.bias_add != d.BiasAdd.AFTER_OUTPUT_CAST:
        total = total + bias.to(total.dtype).unsqueeze(-2)
    if rules.product_output == d.ProductOutput.VIA_FLOAT16:
        total = narrow(total, torch.float16)
    output = narrow(total, dtype)
    if bias is not None and rules.bias_add == d.BiasAdd.AFTER_OUTPUT_CAST:
        output = output + bias.to(dtype).unsqueeze(-2)
    return output


def _ordered(x: Tensor, w: Tensor, bias: Tensor | None, rules: ProductRules, dtype: torch.dtype) -> Tensor:
    """[.., M, K] @ [.., N, K].T + bias with a declared order of summation, or none that matters."""
    x, w = _cut(x, rules), _cut(w, rules)
    direct = rules.product_output == d.ProductOutput.DIRECT
    inside = bias if rules.bias_add == d.BiasAdd.IN_ACCUMULATOR else None
    after = None if inside is not None else bias
    if rules.accumulate == d.Accumulate.EXACT:
        if direct and rules.bias_add != d.BiasAdd.BEFORE_OUTPUT_CAST:
            return exact_product(x, w, bias, dtype, bias_in_accumulator=inside is not None or bias is None).value
        total = exact_product(x, w, inside, torch.float32).value
    else:
        half = rules.accumulate == d.Accumulate.FLOAT16_SEQUENTIAL
        total = sequential_product(
            x,
            w,
            accumulate_dtype=torch.float16 if half else torch.float32,
            fused=rules.accumulate == d.Accumulate.FLOAT32_SEQUENTIAL_FMA,
            bias=inside,
            out_dtype=torch.float16 if half else torch.float32,
        )
    return _finish(total, after, rules, dtype)


class _Product(torch.autograd.Function):
    """A product whose gradients are products under the same rules: grad_x = gy @ w, grad_w = gy.T @ x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, rules: ProductRules, dtype: torch.dtype) -> Tensor:
        stack = w.shape[:-2]
        rows = x.reshape(*stack, -1, x.shape[-1])
        ctx.save_for_backward(rows, w)
        ctx.rules, ctx.x_shape, ctx.bias_dtype = rules, x.shape, None if bias is None else bias.dtype
        return _ordered(rows, w, bias, rules, dtype).reshape(*x.shape[:-1], w.shape[-2])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows, w = ctx.saved_tensors
        grad = grads[0].reshape(*w.shape[:-2], -1, w.shape[-2])
        inner = ctx.rules.with_values(bias_add="none", product_output="direct")
        grad_x = _ordered(grad, w.mT, None, inner, rows.dtype).reshape(ctx.x_shape)
        grad_w = _ordered(grad.mT, rows.mT, None, inner, w.dtype)
        grad_bias = None
        if ctx.bias_dtype is not None:
            ones = torch.ones(*w.shape[:-2], 1, grad.shape[-2], dtype=grad.dtype, device=grad.device)
            grad_bias = _ordered(ones, grad.mT, None, inner, ctx.bias_dtype).squeeze(-2)
        return grad_x, grad_w, grad_bias, None, None
