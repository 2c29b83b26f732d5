"""One element of a linear layer's output as statements of torch: x and w are rows of the operands, bias one entry."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from quant import ProductRules
from quant import decisions as d


def product_lines(rules: ProductRules, dtype: torch.dtype, *, bias: bool) -> tuple[str, ...]:
    """Statements that end in `result`, in `dtype`; `bias` says whether there is one.

    Raises ValueError for a sum of codes, and for operands that are cut first.
    """
    if rules.product_operands is d.ProductOperands.CODES or rules.operand_precision is not d.OperandPrecision.NATIVE:
        raise ValueError("a product of codes, or of operands that are cut, is more than a few statements of torch")
    return tuple(_lines(rules, dtype, bias and rules.bias_add is not d.BiasAdd.NONE))


def _lines(rules: ProductRules, dtype: torch.dtype, bias: bool) -> Iterator[str]:
    inside = bias and rules.bias_add is d.BiasAdd.IN_ACCUMULATOR
    if rules.accumulate is d.Accumulate.EXACT:
        yield from _exact(rules, dtype, inside=inside, before=bias and rules.bias_add is d.BiasAdd.BEFORE_OUTPUT_CAST)
    elif rules.accumulate is d.Accumulate.NATIVE:
        yield f"total = torch.nn.functional.linear(x, w[None], {'bias' if inside else 'None'})"
    else:
        yield from _sequential(rules, inside=inside)
    if bias and rules.bias_add is d.BiasAdd.BEFORE_OUTPUT_CAST:
        yield "total = total + bias.to(total.dtype)"
    if rules.product_output is d.ProductOutput.VIA_FLOAT16:
        yield "total = total.half()"
    after = f" + bias.to({dtype})" if bias and rules.bias_add is d.BiasAdd.AFTER_OUTPUT_CAST else ""
    yield f"result = total.to({dtype}){after}"


def _exact(rules: ProductRules, dtype: torch.dtype, *, inside: bool, before: bool) -> Iterator[str]:
    """The sum in rationals, rounded to float64 and then to what the accumulator gives out."""
    via = torch.float16 if rules.product_output is d.ProductOutput.VIA_FLOAT16 else dtype
    yield "from fractions import Fraction"
    yield "total = sum(Fraction(a) * Fraction(b) for a, b in zip(x.tolist(), w.tolist()))"
    added = " + Fraction(bias.item())" if inside else ""
    yield f"total = torch.tensor([float(total{added})], dtype=torch.float64).to({torch.float32 if before else via})"


def _sequential(rules: ProductRules, *, inside: bool) -> Iterator[str]:
    """One term after another; a fused one, and the bias, by way of float64."""
    half = rules.accumulate is d.Accumulate.FLOAT16_SEQUENTIAL
    accumulator = torch.float16 if half else torch.float32
    yield f"total = torch.zeros(1, dtype={accumulator})"
    yield "for a, b in zip(x.float(), w.float()):"
    if rules.accumulate is d.Accumulate.FLOAT32_SEQUENTIAL_FMA:
        yield "    total = (total.double() + a.double() * b.double()).float()"
    else:
        yield f"    total = total + (a * b).to({accumulator})"
    if inside:
        yield f"total = (total.double() + bias.double()).to({accumulator})"
