"""output = x @ w.T + bias under ProductRules: who is multiplied, how the sum is kept, where the bias enters."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.narrow import narrow
from kernels.sequential_product import sequential_product
from kernels.tf32 import round_to_tf32
from kernels.traced import exact_values
from quant import decisions as d
from quant.product_rules import ProductRules
from quant.remembered import remembered


def linear_product(x: Tensor, w: Tensor, bias: Tensor | None, rules: ProductRules, dtype: torch.dtype) -> Tensor:
    """x @ w.T + bias in `dtype`, from dequantized operands.

    x: [..., K] of any rank from 1, w: [N, K], bias: [N]; or stacked cases x: [S, ..., K], w: [S, N, K], bias: [S, N],
    except under accumulate native, whose bits depend on shapes and so are computed a case at a time. Operands of two
    dtypes meet in the wider one. Differentiable in all three; gradients are products under the same rules.
    """
    if w.dim() == 3 and rules.accumulate is d.Accumulate.NATIVE:
        biases = [None] * len(w) if bias is None else list(bias)
        return torch.stack([linear_product(*case, rules, dtype) for case in zip(x, w, biases, strict=True)])
    if rules.bias_add is d.BiasAdd.NONE:
        bias = None
    if x.dtype is not w.dtype:
        wide = torch.promote_types(x.dtype, w.dtype)
        x, w = x.to(wide), w.to(wide)
    if rules.accumulate is d.Accumulate.NATIVE and rules.operand_precision is d.OperandPrecision.NATIVE:
        return _native(x, w, bias, rules, dtype)  # the library differentiates its own product
    with torch.no_grad():
        rows = x.reshape(*w.shape[:-2], -1, x.shape[-1])
        value = _product(rows, w, bias, rules, dtype).reshape(*x.shape[:-1], w.shape[-2])
    return with_gradient(value, x, w, bias, rules)


def with_gradient(value: Tensor, x: Tensor, w: Tensor, bias: Tensor | None, rules: ProductRules) -> Tensor:
    """`value`, with the gradients of x @ w.T + bias: gy @ w, gy.T @ x and the sum of gy, products under `rules`."""
    operands = (x, w) if bias is None else (x, w, bias)
    if not (torch.is_grad_enabled() and any(operand.requires_grad for operand in operands)):
        return value
    result: Tensor = _Product.apply(value, x, w, bias, rules)  # type: ignore[no-untyped-call]  # autograd has no types
    return result


def finish(total: Tensor, bias: Tensor | None, rules: ProductRules, dtype: torch.dtype) -> Tensor:
    """The sum in its accumulator, cast to `dtype`, with the bias where `bias_add` puts it."""
    if bias is not None and rules.bias_add is not d.BiasAdd.AFTER_OUTPUT_CAST:
        total = total + bias.to(total.dtype).unsqueeze(-2)
    if rules.product_output is d.ProductOutput.VIA_FLOAT16:
        total = narrow(total, torch.float16)
    output = narrow(total, dtype)
    if bias is not None and rules.bias_add is d.BiasAdd.AFTER_OUTPUT_CAST:
        output = output + bias.to(dtype).unsqueeze(-2)
    return output


def _product(x: Tensor, w: Tensor, bias: Tensor | None, rules: ProductRules, dtype: torch.dtype) -> Tensor:
    """[.., M, K] @ [.., N, K].T + bias under every rule but the library's own."""
    x, w = _cut(x, rules), _cut(w, rules)
    if rules.accumulate is d.Accumulate.NATIVE:
        return _native(x, w, bias, rules, dtype)
    inside = bias if rules.bias_add is d.BiasAdd.IN_ACCUMULATOR else None
    after = None if inside is not None else bias
    if rules.accumulate is d.Accumulate.EXACT:
        if after is not None and rules.bias_add is d.BiasAdd.BEFORE_OUTPUT_CAST:
            first = torch.float32  # the accumulator in which the bias is added
        else:
            first = torch.float16 if rules.product_output is d.ProductOutput.VIA_FLOAT16 else dtype
        return finish(exact_values(x, w, inside, first), after, rules, dtype)
    half = rules.accumulate is d.Accumulate.FLOAT16_SEQUENTIAL
    accumulator = torch.float16 if half else torch.float32
    total = sequential_product(
        x,
        w,
        accumulate_dtype=accumulator,
        fused=rules.accumulate is d.Accumulate.FLOAT32_SEQUENTIAL_FMA,
        bias=inside,
        out_dtype=accumulator,
    )
    return finish(total, after, rules, dtype)


def _native(x: Tensor, w: Tensor, bias: Tensor | None, rules: ProductRules, dtype: torch.dtype) -> Tensor:
    """The library's own product, whose accumulator nobody sees; autocast does not choose its operands' dtype."""
    inside = bias if rules.bias_add is d.BiasAdd.IN_ACCUMULATOR else None
    with torch.autocast(x.device.type, enabled=False):
        total = F.linear(x, w, None if inside is None else inside.to(x.dtype))
    if rules.bias_add is d.BiasAdd.IN_ACCUMULATOR and rules.product_output is d.ProductOutput.DIRECT:
        return total.to(dtype)
    return finish(total, None if inside is not None else bias, rules, dtype)


def _cut(x: Tensor, rules: ProductRules) -> Tensor:
    """An operand as a product of lower precision sees it, in its own dtype or, cut from fp16 to bf16, in fp32."""
    if rules.operand_precision is d.OperandPrecision.BFLOAT16:
        # 65504 is 65536 in bf16, which fp16 does not hold
        return narrow(narrow(x, torch.bfloat16), torch.float32 if x.dtype is torch.float16 else x.dtype)
    return round_to_tf32(x.float()).to(x.dtype) if rules.operand_precision is d.OperandPrecision.TF32 else x


@remembered
def _without_ends(rules: ProductRules) -> ProductRules:
    """The rules of a gradient's product: no bias, one cast."""
    return rules.with_values(bias_add="none", product_output="direct")


class _Product(torch.autograd.Function):
    """A value computed elsewhere, with the gradients of x @ w.T + bias."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, x: Tensor, w: Tensor, bias: Tensor | None, rules: ProductRules) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.rules, ctx.bias_dtype = _without_ends(rules), None if bias is None else bias.dtype
        return value.clone()  # a view of an input could not be modified in place

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, w = ctx.saved_tensors
        stack = w.shape[:-2]
        rows = x.reshape(*stack, -1, x.shape[-1])
        grad = grads[0].reshape(*stack, -1, w.shape[-2])
        _, needs_x, needs_w, needs_bias, _ = ctx.needs_input_grad
        grad_x = grad_w = grad_bias = None
        if needs_x:
            grad_x = _product(grad, w.mT, None, ctx.rules, x.dtype).reshape(x.shape)
        if needs_w:
            grad_w = _product(grad.mT, rows.mT, None, ctx.rules, w.dtype)
        if needs_bias:
            ones = torch.ones(*stack, 1, grad.shape[-2], dtype=grad.dtype, device=grad.device)
            grad_bias = _product(ones, grad.mT, None, ctx.rules, ctx.bias_dtype).squeeze(-2)
        return None, grad_x, grad_w, grad_bias, None
