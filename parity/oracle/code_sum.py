"""The product of codes: their sum, read as fp32 and multiplied by the two scales in the declared order."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from parity.oracle.arithmetic import Arithmetic, Values
from parity.oracle.binary_format import FLOAT16, FLOAT32, format_of
from parity.oracle.encoding import decode
from parity.oracle.grouping import Grouping
from parity.oracle.trace import OracleTrace
from quant import decisions as d
from quant.product_rules import ProductRules

_INT32 = 2**31


def product_of_codes(x: OracleTrace, w: OracleTrace, rules: ProductRules, m: Arithmetic) -> Values:
    """(sum over k of (qx - zx) * (qw - zw)) * sx * sw, [M, N] values of fp32.

    Each side has one scale a row. Raises ValueError for a sum that int32 does not hold.
    """
    acc = _whole(x, w, m) if rules.accumulate == d.Accumulate.INT32 else _in_floats(x, w, rules, m)
    sx, sw = _row_scale(x, m), _row_scale(w, m).T
    if rules.code_product_rescale == d.CodeProductRescale.SCALES_FIRST:
        return m.multiply(acc, m.multiply(sx, sw, FLOAT32), FLOAT32)
    first, second = (sx, sw) if rules.code_product_rescale == d.CodeProductRescale.INPUT_FIRST else (sw, sx)
    return m.multiply(m.multiply(acc, first, FLOAT32), second, FLOAT32)


def _whole(x: OracleTrace, w: OracleTrace, m: Arithmetic) -> Values:
    """The sum in integers, rounded to fp32."""
    total = _centred(x) @ _centred(w).T
    if total.size and not -_INT32 <= total.min() <= total.max() < _INT32:
        raise ValueError(f"a sum of code products reaches {max(total.min(), total.max(), key=abs)}, beyond int32")
    return m.into(m.read(total.astype(np.float64)), FLOAT32)


def _in_floats(x: OracleTrace, w: OracleTrace, rules: ProductRules, m: Arithmetic) -> Values:
    """acc = R(acc + R(a * b)) over ascending k, in fp32 or fp16."""
    form = FLOAT16 if rules.accumulate == d.Accumulate.FLOAT16_SEQUENTIAL else FLOAT32
    rows, columns = (m.read(_centred(side).astype(np.float64)) for side in (x, w))
    total = m.read(np.zeros((len(rows), len(columns))))
    for k in range(rows.shape[-1]):
        total = m.add(total, m.multiply_once(rows[:, None, k], columns[None, :, k], form), form)
    return m.into(total, FLOAT32)


def _centred(side: OracleTrace) -> Any:
    """q - z as int64, [rows, K]."""
    codes = _integers(side.codes)
    if side.product_zero_point is not None:
        codes = codes - _spread(side, _integers(side.product_zero_point))
    return codes.reshape(-1, codes.shape[-1])


def _row_scale(side: OracleTrace, m: Arithmetic) -> Values:
    """[rows, 1] in fp32."""
    scale = _spread(side, decode(side.product_scale))
    form = format_of(side.product_scale.dtype)
    return m.cast(m.read(scale.reshape(-1, scale.shape[-1])[:, :1]), form, FLOAT32)


def _spread(side: OracleTrace, per_group: Any) -> Any:
    """A qparam in the shape of the codes."""
    grouping = Grouping.of(side.scheme.granularity, tuple(side.codes.shape))
    size = side.codes.numel() // max(per_group.size, 1)
    return grouping.placed(np.repeat(np.ravel(per_group), size).reshape(-1, size))


def _integers(t: Tensor) -> Any:
    """int64 array of integers, also of those that a float tensor holds; a fraction is cut off."""
    return (decode(t) if t.dtype.is_floating_point else t.cpu().numpy()).astype(np.int64)
