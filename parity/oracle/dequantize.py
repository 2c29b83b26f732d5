"""Steps 18 to 22: from codes back to values."""

from __future__ import annotations

import numpy as np
import torch

from parity.oracle.arithmetic import Arithmetic, Values
from parity.oracle.binary_format import FLOAT32, FLOAT64, BinaryFormat
from parity.oracle.declared import Declared
from parity.oracle.scale import Scales, scale_in_use
from parity.oracle.whole import to_integers, wrapped
from parity.oracle.zero_point import ZeroPoint
from quant import decisions as d
from quant.mapping import ZeroPointDomain


def result_format(de: Declared) -> BinaryFormat:
    """O, or float32 where the product receives its operand unrounded."""
    return FLOAT32 if de.rules.operand_dtype == d.OperandDtype.FLOAT32 else de.output


def dequantized(codes: Values, scales: Scales, zero_point: ZeroPoint | None, de: Declared, m: Arithmetic) -> Values:
    """What the codes of every row stand for, values of `result_format`."""
    scale, scale_form = scale_in_use(scales, de.rules.dequantize_scale, de, m)
    if de.scheme.zero_point_domain == ZeroPointDomain.FLOAT:
        assert zero_point is not None
        return _placed(codes, scale, scale_form, zero_point.in_use, de, m)
    t = de.rescale
    distance, form = _distance(codes, zero_point, de, m)
    product = m.multiply(m.cast(distance, form, t), m.cast(scale, scale_form, t), t)
    return m.cast(product, t, result_format(de))


def _distance(codes: Values, zero_point: ZeroPoint | None, de: Declared, m: Arithmetic) -> tuple[Values, BinaryFormat]:
    """(q - z, its format); int32 subtracts integers, wraps, and is read as O."""
    rule = de.rules.subtract_dtype
    z = m.number(0) if zero_point is None else zero_point.in_use
    if rule == d.SubtractDtype.INT32:
        difference = to_integers(codes, torch.int32, m) - to_integers(z, torch.int32, m)
        return m.into(m.read(wrapped(difference, torch.int32).astype(np.float64)), de.output), de.output
    form = {
        d.SubtractDtype.OUTPUT: de.output,
        d.SubtractDtype.SCALE: de.read_scale,
        d.SubtractDtype.FLOAT32: FLOAT32,
    }[rule]
    q = m.into(codes, form)
    return (q if zero_point is None else m.subtract(q, m.into(z, form), form)), form


def _placed(codes: Values, scale: Values, scale_form: BinaryFormat, z: Values, de: Declared, m: Arithmetic) -> Values:
    """(q - mid) * s + z in the FLOAT domain, q - mid being taken in fp32 and rounded to O.

    Two roundings: R_T((q - mid) * s), rounded to O if the rules say so; then the sum with z, in the promotion of its
    format with Z. A sum of float64 is not rounded to float64: the cast to the result is its one rounding.
    """
    rules, t, result = de.rules, de.rescale, result_format(de)
    mid = m.number(de.scheme.midpoint)
    distance = m.cast(m.subtract(codes, mid, FLOAT32), FLOAT32, de.output)
    if rules.rescale_fusion != d.RescaleFusion.TWO_ROUNDINGS:
        return m.cast(_fused(distance, m.cast(scale, scale_form, FLOAT32), z, mid, de, m), FLOAT32, result)
    product, form = m.multiply(m.cast(distance, de.output, t), m.cast(scale, scale_form, t), t), t
    if rules.rescale_intermediate == d.RescaleIntermediate.OUTPUT:
        product, form = m.cast(product, t, de.output), de.output
    if form == FLOAT64:
        first = result if m.float64_once else FLOAT32
        return m.cast(m.add_once(product, z, first), first, result)
    total = de.with_zero_point(form)
    return m.cast(m.add(m.cast(product, form, total), m.into(z, total), total), total, result)


def _fused(distance: Values, scale: Values, z: Values, mid: Values, de: Declared, m: Arithmetic) -> Values:
    """fma(q - mid, s, z), or fma(q, s, fma(-mid, s, z)); every operand and every result in fp32."""
    z = m.into(z, FLOAT32)
    if de.rules.rescale_fusion == d.RescaleFusion.FMA:
        return m.fma(distance, scale, z, FLOAT32)
    return m.fma(m.add(distance, mid, FLOAT32), scale, m.fma(-mid, scale, z, FLOAT32), FLOAT32)
