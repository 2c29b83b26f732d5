"""Steps 1 to 6: from the range of each group to its scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parity.oracle.arithmetic import Arithmetic, Values
from parity.oracle.binary_format import FLOAT32, FLOAT64, BinaryFormat, computes_in
from parity.oracle.declared import Declared
from parity.oracle.extent import extent_of
from quant import decisions as d
from quant.mapping import Extent, Mapping

_ROOT_HALF = 0.7071067811865476
"""The least float64 above sqrt(1/2), which itself is none: m >= this says m > sqrt(1/2) for every float64 m."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """One row a group. low and high: the range, in Q. unrounded: the scale in Q. stored: what is stored of it.

    effective: what later steps read: `stored`, or its product with `upper`, the one that all groups of a tensor share.
    """

    low: Values
    high: Values
    unrounded: Values
    stored: Values
    effective: Values
    upper: Values | None = None


def scales_of(x: Values, declared: Declared, m: Arithmetic, *, tensors: int = 1) -> Scales:
    """The scale of every row of x, [groups, elements], the groups being those of so many tensors in turn."""
    low, high = _range(x, declared, m)
    if declared.scheme.extent != Extent.MIN_MAX:
        high = extent_of(x, m.greatest(-low, high), declared, m)
        low = -high
    unrounded = _unrounded_scale(low, high, declared, m)
    if declared.scheme.global_scale_dtype is None:
        stored = _stored_scale(unrounded, declared, m)
        return Scales(low=low, high=high, unrounded=unrounded, stored=stored, effective=stored)
    upper = _upper_scale(unrounded, declared, m, tensors)
    ratio = m.divide(m.cast(unrounded, declared.qparam, FLOAT32), upper, FLOAT32)
    stored = _stored_scale(m.cast(ratio, FLOAT32, declared.qparam), declared, m)
    effective = m.multiply(upper, m.cast(stored, declared.scale, FLOAT32), FLOAT32)
    return Scales(low=low, high=high, unrounded=unrounded, stored=stored, effective=effective, upper=upper)


def scale_in_use(scales: Scales, source: d.ScaleSource, de: Declared, m: Arithmetic) -> tuple[Values, BinaryFormat]:
    """The scale that a later step reads, and its format."""
    stored = source == d.ScaleSource.STORED
    scale, form = (scales.effective, de.read_scale) if stored else (scales.unrounded, de.qparam)
    return (_nonzero(scale, form, de, m) if de.rules.zero_scale_at == d.ZeroScaleAt.USE else scale), form


def _range(x: Values, de: Declared, m: Arithmetic) -> tuple[Values, Values]:
    """1. low = min(x), high = max(x), both widened to 0 if zero must be representable; a zero is +0.

    No number at all: inf, -inf.
    """
    low = high = x
    if de.rules.range_nan == d.RangeNan.IGNORE:
        low = np.where(m.is_nan(x), m.number(np.inf), x)
        high = np.where(m.is_nan(x), m.number(-np.inf), x)
    low, high = m.least_of(low), m.greatest_of(high)
    if de.scheme.preserve_zero:
        low, high = m.least(low, m.number(0.0)), m.greatest(high, m.number(0.0))
    low, high = (m.cast(m.flushed(end, de.input), de.input, de.qparam) for end in (low, high))
    return np.where(low == m.number(0), m.number(0), low), np.where(high == m.number(0), m.number(0), high)


def _unrounded_scale(low: Values, high: Values, de: Declared, m: Arithmetic) -> Values:
    """2. The range over the steps of the grid, each operation rounded to Q."""
    rules, scheme, q = de.rules, de.scheme, de.qparam
    eps = m.constant(de.scheme.eps, q)
    bounds_range, bounds_scale = rules.eps_target == d.EpsTarget.RANGE, rules.eps_target == d.EpsTarget.SCALE
    span = scheme.qmax - scheme.qmin
    if scheme.mapping == Mapping.SYMMETRIC_NO_CLIPPING:
        from_low, from_high = _over(low, scheme.qmin, de, m), _over(high, scheme.qmax, de, m)
        scale = np.where(from_low > from_high, from_low, from_high)
    elif scheme.mapping != Mapping.ASYMMETRIC:
        size = m.greatest(-low, high)
        size = m.flushed(m.greatest(size, eps), q) if bounds_range else size
        if scheme.mapping == Mapping.STRETCHED:
            scale = _over(size, scheme.qmax, de, m)
        elif rules.symmetric_scale == d.SymmetricScale.DOUBLED_OVER_SPAN:
            scale = _over(m.multiply(size, m.number(2), q), span, de, m)
        else:
            divisor = {
                d.SymmetricScale.HALF_SPAN: span / 2,
                d.SymmetricScale.QMAX: scheme.qmax,
                d.SymmetricScale.ABS_QMIN: abs(scheme.qmin),
                d.SymmetricScale.HALF_LEVELS: (span + 1) / 2,
            }[rules.symmetric_scale]
            scale = _over(size, divisor, de, m)
    else:
        width = m.subtract(high, low, q)
        width = m.flushed(m.greatest(width, eps), q) if bounds_range else width
        scale = _over(width, span, de, m)
    if bounds_scale and rules.eps_order == d.EpsOrder.BEFORE_STORAGE:
        scale = m.flushed(m.greatest(scale, eps), q)
    return scale


def _over(t: Values, divisor: float, de: Declared, m: Arithmetic) -> Values:
    """t / c; or t * (1/c), where the reciprocal is rounded to the dtype in which Q's operations compute."""
    if de.rules.scalar_division == d.ScalarDivision.DIVIDE:
        return m.divide(t, m.number(divisor), de.qparam)
    inverse = m.rounded(m.quotient(m.number(1), m.number(divisor)), computes_in(de.qparam))
    return m.multiply(t, inverse, de.qparam)


def _upper_scale(scale: Values, de: Declared, m: Arithmetic, tensors: int) -> Values:
    """max(s) / max(S) of each tensor in fp32, at least its smallest normal number; one row a group again."""
    wide = np.reshape(m.cast(scale, de.qparam, FLOAT32), (tensors, -1))
    upper = m.divide(m.greatest_of(wide), m.number(de.scale.largest), FLOAT32)
    upper = m.greatest(upper, m.number(2.0**FLOAT32.emin))
    return np.repeat(upper, wide.shape[1], axis=0)


def _stored_scale(scale: Values, de: Declared, m: Arithmetic) -> Values:
    """3. R_S(s), and what becomes of a scale that overflows S, falls below eps there, or is not positive."""
    rules, form, s = de.rules, de.qparam, de.scale
    if rules.scale_rounding == d.ScaleRounding.POWER_OF_TWO_NEAREST:
        scale = np.where(m.is_finite(scale) & (scale > m.number(0)), _power_of_two(scale, m), scale)
        form = FLOAT64  # 2^128 is a power of two that the formats of Q may lack
    stored = m.cast(scale, form, s)
    stored = _up(stored, scale, s, de, m)
    if rules.scale_overflow == d.ScaleOverflow.SATURATE:
        largest = m.number(s.largest)
        stored = np.where(m.is_finite(scale) & (stored > largest), largest, stored)
    if rules.eps_order == d.EpsOrder.AFTER_STORAGE:
        stored = m.flushed(m.greatest(stored, m.constant(de.scheme.eps, s)), s)
    return _nonzero(stored, s, de, m) if rules.zero_scale_at == d.ZeroScaleAt.STORED else stored


def _nonzero(scale: Values, form: BinaryFormat, de: Declared, m: Arithmetic) -> Values:
    """The scale, with what `zero_scale` says in place of every one that is not positive and finite, or is zero."""
    value = {
        d.ZeroScale.ONE: 1.0,
        d.ZeroScale.TENTH: 0.1,
        d.ZeroScale.MIN_POSITIVE: 2.0**FLOAT32.emin,
    }.get(de.rules.zero_scale)
    if value is None:
        return scale
    kept = m.is_finite(scale) & (scale > m.number(0))
    if de.rules.zero_scale == d.ZeroScale.TENTH:
        kept = scale != m.number(0)
    return np.where(kept, scale, _up(m.constant(value, form), m.number(value), form, de, m))


def _power_of_two(scale: Values, m: Arithmetic) -> Values:
    """2^round(log2 s); s = f * 2^e with 1/2 <= f < 1 is nearer to 2^e from f = sqrt(1/2) up, and no float is a tie."""
    fraction, e = np.frexp(m.write(scale))
    return m.read(np.ldexp(1.0, np.where(fraction >= _ROOT_HALF, e, e - 1)))


def _up(stored: Values, scale: Values, form: BinaryFormat, de: Declared, m: Arithmetic) -> Values:
    """What is stored of a scale, or where that is less and the rules round up the next value."""
    if de.rules.scale_rounding != d.ScaleRounding.UP:
        return stored
    return np.where(stored < scale, m.flushed(_above(stored, form, m), form), stored)


def _above(stored: Values, form: BinaryFormat, m: Arithmetic) -> Values:
    """The next value of S above one that is not negative; infinity after the largest."""
    step = m.read(np.ldexp(1.0, form.step_exponents(m.write(stored))))
    return m.rounded(m.sum(stored, step), form)
