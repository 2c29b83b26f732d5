"""oracle.product: output = x @ w.T + bias as ProductRules declare it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from parity.oracle.arithmetic import Arithmetic, Values
from parity.oracle.binary_format import BFLOAT16, FLOAT16, FLOAT32, TF32, BinaryFormat, format_of, promoted, read_as
from parity.oracle.bulk import Bulk
from parity.oracle.code_sum import product_of_codes
from parity.oracle.encoding import decode, encode
from parity.oracle.exact_sum import exact_sums
from parity.oracle.rational import Rational
from parity.oracle.trace import Form, OracleTrace
from quant import decisions as d
from quant.product_rules import ProductRules

PRODUCT_LIMIT = 20_000
"""Multiplications up to which AUTOMATIC takes the rational form: about a second."""


def product(
    x: Tensor | OracleTrace,
    w: Tensor | OracleTrace,
    bias: Tensor | None,
    rules: ProductRules,
    dtype: torch.dtype,
    *,
    form: Form = Form.AUTOMATIC,
) -> Tensor:
    """x @ w.T + bias in `dtype`, summed in the declared order or, under accumulate exact, in none.

    x: [..., K], w: [N, K], bias: [N]. Dequantized operands are tensors; operands of a product of codes are the traces
    of oracle.trace. Raises ValueError for accumulate native, whose order no rule declares, for operands of the other
    kind, and for a sum of codes that int32 does not hold.
    """
    by_codes = rules.product_operands == d.ProductOperands.CODES
    if rules.accumulate == d.Accumulate.NATIVE:
        raise ValueError("accumulate is native: a library's own order of summation is declared nowhere; use another")
    if by_codes != isinstance(x, OracleTrace) or by_codes != isinstance(w, OracleTrace):
        kind = "traces of oracle.trace" if by_codes else "tensors"
        raise ValueError(f"product_operands is {rules.product_operands}, so x and w must be {kind}")
    addend = None if bias is None or rules.bias_add == d.BiasAdd.NONE else decode(bias)
    result = format_of(dtype)
    with np.errstate(all="ignore"):
        if isinstance(x, OracleTrace) and isinstance(w, OracleTrace):
            shape = (*x.codes.shape[:-1], w.codes.shape[-2])
            if rules.product_output == d.ProductOutput.PROMOTED:
                result = promoted(FLOAT32, promoted(*(read_as(format_of(side.scale.dtype)) for side in (x, w))))
            m: Arithmetic = Bulk()
            total, accumulator = product_of_codes(x, w, rules, m), FLOAT32
        else:
            assert isinstance(x, Tensor)
            assert isinstance(w, Tensor)
            shape = (*x.shape[:-1], w.shape[-2])
            rows, columns = _cut(decode(x).reshape(-1, x.shape[-1]), rules), _cut(decode(w), rules)
            inside = addend if rules.bias_add == d.BiasAdd.IN_ACCUMULATOR else None
            if rules.accumulate == d.Accumulate.EXACT:
                m = Rational()
                total, accumulator = _exact(rows, columns, inside, rules, result, m)
            else:
                by_rationals = form == Form.RATIONAL or (form == Form.AUTOMATIC and x.numel() * len(w) <= PRODUCT_LIMIT)
                m = Rational() if by_rationals else Bulk()
                total, accumulator = _sequential(rows, columns, inside, rules, m)
        return encode(m.write(_finished(total, accumulator, addend, rules, result, m)).reshape(shape), result)


def _cut(values: Any, rules: ProductRules) -> Any:
    """The operands at the precision to which they are cut before they are multiplied."""
    if rules.operand_precision == d.OperandPrecision.NATIVE:
        return values
    m = Bulk()
    return m.into(values, TF32 if rules.operand_precision == d.OperandPrecision.TF32 else BFLOAT16)


def _exact(
    x: Any, w: Any, bias: Any | None, rules: ProductRules, result: BinaryFormat, m: Arithmetic
) -> tuple[Values, BinaryFormat]:
    """The exact sum, rounded once: to the result, or to fp32 where another step follows before the result."""
    direct = rules.product_output == d.ProductOutput.DIRECT and rules.bias_add != d.BiasAdd.BEFORE_OUTPUT_CAST
    leaves_as = result if direct else FLOAT32
    return m.rounded(exact_sums(x, w, bias), leaves_as), leaves_as


def _sequential(x: Any, w: Any, bias: Any | None, rules: ProductRules, m: Arithmetic) -> tuple[Values, BinaryFormat]:
    """acc = R(acc + R(x[k] * w[k])) for ascending k from +0, or R(acc + x[k] * w[k]) when fused; then R(acc + bias)."""
    accumulator = FLOAT16 if rules.accumulate == d.Accumulate.FLOAT16_SEQUENTIAL else FLOAT32
    rows, columns = m.read(x)[:, None, :], m.read(w)[None, :, :]
    total = m.read(np.zeros((len(x), len(w))))
    for k in range(x.shape[-1]):
        a, b = rows[..., k], columns[..., k]
        if rules.accumulate == d.Accumulate.FLOAT32_SEQUENTIAL_FMA:
            total = m.fma(a, b, total, accumulator)
        else:
            total = m.add(total, m.multiply_once(a, b, accumulator), accumulator)
    if bias is not None:
        total = m.add_once(total, m.read(bias), accumulator)
    return total, accumulator


def _finished(
    total: Values, accumulator: BinaryFormat, bias: Any | None, rules: ProductRules, result: BinaryFormat, m: Arithmetic
) -> Values:
    """The sum in the result's format, the bias added before or after the cast, in the format there."""
    if bias is not None and rules.bias_add == d.BiasAdd.BEFORE_OUTPUT_CAST:
        total = m.add(total, m.into(m.read(bias), accumulator), accumulator)
    if rules.product_output == d.ProductOutput.VIA_FLOAT16:
        total, accumulator = m.cast(total, accumulator, FLOAT16), FLOAT16
    output = m.cast(total, accumulator, result)
    if bias is not None and rules.bias_add == d.BiasAdd.AFTER_OUTPUT_CAST:
        output = m.add(output, m.into(m.read(bias), result), result)
    return output
