"""Steps 7 to 10: the zero point of each group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from parity.oracle.arithmetic import Arithmetic, Values
from parity.oracle.binary_format import BinaryFormat
from parity.oracle.declared import Declared
from parity.oracle.scale import Scales
from parity.oracle.whole import round_to_whole, to_integers, wrapped
from quant import decisions as d
from quant.mapping import Mapping, ZeroPointDomain


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroPoint:
    """stored: what memory holds, values of Z, or int64 for an integer Z. in_use: what later steps read, as values."""

    stored: Any
    in_use: Values


def zero_point_of(scales: Scales, de: Declared, m: Arithmetic) -> ZeroPoint | None:
    """The zero point of every row; None in the NONE domain."""
    if de.scheme.zero_point_domain == ZeroPointDomain.NONE:
        return None
    stored = _in_z(_value(scales, de, m), de, m)
    if de.rules.zero_point_offset == d.ZeroPointOffset.NONE:
        return ZeroPoint(stored=stored, in_use=stored)
    form: BinaryFormat | None = de.zero_point
    if form is not None:
        stored = m.subtract(stored, m.number(1), form)
        return ZeroPoint(stored=stored, in_use=m.add(stored, m.number(1), form))
    # Modulo 2^width the offset comes off again; the largest int64, one below the least, is no float64.
    return ZeroPoint(stored=wrapped(integers_of(stored, m) - 1, _integer_dtype(de)), in_use=stored)


def integers_of(zero_point: Values, m: Arithmetic) -> Any:
    """The int64 array of an integer zero point's values."""
    return m.write(zero_point).astype(np.int64)


def _value(scales: Scales, de: Declared, m: Arithmetic) -> Values:
    """The zero point before it is stored."""
    rules, q, scheme = de.rules, de.qparam, de.scheme
    if scheme.mapping != Mapping.ASYMMETRIC:
        middle = -0.5 if scheme.mapping == Mapping.STRETCHED else int(scheme.midpoint)
        return np.broadcast_to(m.number(middle), scales.low.shape)
    unrounded = rules.zero_point_scale == d.ZeroPointScale.UNROUNDED
    scale = scales.unrounded if unrounded else m.cast(scales.effective, de.read_scale, q)
    if scheme.zero_point_domain == ZeroPointDomain.INT:
        return _code_of_zero(scales.low, scales.high, scale, de, m)
    if rules.float_zero_point == d.FloatZeroPoint.MIN:
        return scales.low
    return m.add(scales.low, m.multiply(scale, m.number(scheme.midpoint), q), q)


def _code_of_zero(low: Values, high: Values, scale: Values, de: Declared, m: Arithmetic) -> Values:
    """qmin - low/s or qmax - high/s, rounded to an integer, in Q."""
    rules, q = de.rules, de.qparam
    if rules.zero_point_rule == d.ZeroPointRule.FROM_VALUE:
        value = m.add(low, m.multiply(scale, m.number(2 ** (de.scheme.bits - 1)), q), q)
        return m.cast(value, q, de.read_scale)
    qmin, qmax = m.number(de.scheme.qmin), m.number(de.scheme.qmax)

    def over_scale(end: Values) -> Values:
        if rules.zero_point_division == d.ZeroPointDivision.DIVIDE:
            return m.divide(end, scale, q)
        return m.multiply(end, m.divide(m.number(1), scale, q), q)

    def from_end(end: Values, quotient: Values) -> Values:
        if rules.zero_point_round_order == d.ZeroPointRoundOrder.ROUND_FIRST:
            return m.subtract(end, round_to_whole(quotient, rules.zero_point_rounding, q, m), q)
        return round_to_whole(m.subtract(end, quotient, q), rules.zero_point_rounding, q, m)

    if rules.zero_point_rule == d.ZeroPointRule.FROM_MIN:
        zero_point = from_end(qmin, over_scale(low))
    elif rules.zero_point_rule == d.ZeroPointRule.FROM_MAX:
        zero_point = from_end(qmax, over_scale(high))
    else:
        of_low, of_high = over_scale(low), over_scale(high)
        error = m.add(m.add(qmin, of_low, q), m.add(qmax, of_high, q), q)
        zero_point = np.where(error > m.number(0), from_end(qmin, of_low), from_end(qmax, of_high))
    if rules.zero_point_clamp == d.ZeroPointClamp.NONE:
        return zero_point
    return clamped(zero_point, m.constant(de.scheme.qmin, q), m.constant(de.scheme.qmax, q), m)


def clamped(t: Values, low: Values, high: Values, m: Arithmetic) -> Values:
    """t within [low, high]; NaN stays, and so does the sign of a zero that is within."""
    return np.where(t < low, low, np.where(t > high, high, t))


def _in_z(value: Values, de: Declared, m: Arithmetic) -> Values:
    """R_Z, or the conversion to an integer dtype after a rounding to nearest if the rules say so."""
    if de.zero_point is not None:
        return m.cast(value, de.qparam, de.zero_point)
    if de.rules.zero_point_cast == d.ZeroPointCast.NEAREST:
        value = round_to_whole(value, d.CodeRounding.HALF_EVEN, de.qparam, m)
    return _whole(to_integers(value, _integer_dtype(de), m), m)


def _integer_dtype(de: Declared) -> torch.dtype:
    assert isinstance(de.scheme.zero_point_dtype, torch.dtype)
    return de.scheme.zero_point_dtype


def _whole(integers: Any, m: Arithmetic) -> Values:
    return m.read(integers.astype(np.float64))
