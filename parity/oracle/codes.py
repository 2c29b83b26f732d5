"""Steps 11 to 17: from an element to its code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from parity.oracle.arithmetic import Arithmetic, Values
from parity.oracle.binary_format import FLOAT32, BinaryFormat
from parity.oracle.declared import Declared
from parity.oracle.scale import Scales, scale_in_use
from parity.oracle.tie import Quotient
from parity.oracle.whole import round_to_whole, to_integers
from parity.oracle.zero_point import ZeroPoint, clamped
from quant import decisions as d
from quant.mapping import ZeroPointDomain

_INT32 = 2.0**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """values: the codes, in `form`. unclamped, unrounded: before the clamp, before the rounding, in `added_in`."""

    values: Values
    form: BinaryFormat
    added_in: BinaryFormat
    unclamped: Values
    unrounded: Values
    quotient: Quotient


def codes_of(x: Values, scales: Scales, zero_point: ZeroPoint | None, de: Declared, m: Arithmetic) -> Codes:
    """The codes of every row of x."""
    rules = de.rules
    scale, scale_form = scale_in_use(scales, rules.code_scale, de, m)
    if de.scheme.zero_point_domain == ZeroPointDomain.FLOAT:
        assert zero_point is not None
        unrounded, origin = _float_domain(x, scale, scale_form, scales, zero_point, de, m)
        form = de.quotient
        rounded = round_to_whole(unrounded, rules.code_rounding, form, m)
        quotient = Quotient(x=x, origin=origin, scale=scale, before=m.number(0), after=m.number(0), form=form)
    else:
        z = m.number(0) if zero_point is None else zero_point.in_use
        in_c = m.cast(x, de.input, de.code)
        rounded, unrounded, form = _integer_domain(in_c, scale, scale_form, zero_point, de, m)
        late = rules.zero_point_add == d.ZeroPointAdd.AFTER_ROUND
        before, after = (m.number(0), z) if late else (z, m.number(0))
        quotient = Quotient(x=x, origin=m.number(0), scale=scale, before=before, after=after, form=de.code)
    values, clamped_form = _clamp(rounded, form, de, m)
    if rules.code_clamp == d.CodeClamp.INPUT_LIMITS:
        limit = _scaled(scale, scale_form, de.scheme.qmax, de, m)
        limited = np.where(m.is_nan(limit), limit, clamped(in_c, -limit, limit, m))
        values, _, clamped_form = _integer_domain(limited, scale, scale_form, zero_point, de, m)
    return Codes(
        values=values, form=clamped_form, added_in=form, unclamped=rounded, unrounded=unrounded, quotient=quotient
    )


def stored_codes(codes: Codes, de: Declared, m: Arithmetic) -> Any:
    """int64 array: the codes as integers. Raises ValueError for a NaN under nan_code raise."""
    missing = m.is_nan(codes.values)
    if de.rules.nan_code == d.NanCode.RAISE and missing.any():
        raise ValueError(f"{int(missing.sum())} of {missing.size} values to quantize are NaN; nan_code is raise")
    dtype = storage_dtype(de)
    of_nan = {
        d.NanCode.ZERO: 0,
        d.NanCode.INT_MIN: torch.iinfo(dtype).min,
        d.NanCode.QMIN: de.scheme.code_min,
        d.NanCode.QMAX: de.scheme.code_max,
        d.NanCode.RAISE: 0,  # there is none
    }[de.rules.nan_code]
    return np.where(missing, of_nan, to_integers(codes.values, dtype, m))


def storage_dtype(de: Declared) -> torch.dtype:
    """The first of int8, uint8, int16 and int32 that holds the grid."""
    narrowest_first = (torch.int8, torch.uint8, torch.int16, torch.int32)
    limits = [torch.iinfo(dtype) for dtype in narrowest_first]
    fits = [row.min <= de.scheme.code_min and de.scheme.code_max <= row.max for row in limits]
    return narrowest_first[fits.index(True)]


def _integer_domain(
    in_c: Values, scale: Values, scale_form: BinaryFormat, zero_point: ZeroPoint | None, de: Declared, m: Arithmetic
) -> tuple[Values, Values, BinaryFormat]:
    """(r(x / s) + z, the same unrounded, its format) as `zero_point_add` orders the three operations; x in C."""
    rules, c = de.rules, de.code
    add_form = {
        d.ZeroPointAddDtype.PROMOTED: de.with_zero_point(c),
        d.ZeroPointAddDtype.CODE: c,
        d.ZeroPointAddDtype.FLOAT32: FLOAT32,
    }[rules.zero_point_add_dtype]
    if zero_point is not None and rules.zero_point_add == d.ZeroPointAdd.BEFORE_ROUND_FMA:
        # One of float32, whatever C is: the dtype of the addition does not act.
        inverse = m.cast(reciprocal(scale, scale_form, c, de, m), c, FLOAT32)
        fused = m.fma(m.cast(in_c, c, FLOAT32), inverse, m.into(zero_point.in_use, FLOAT32), FLOAT32)
        total = m.cast(fused, FLOAT32, c)
        return round_to_whole(total, rules.code_rounding, c, m), total, c
    if rules.code_division == d.CodeDivision.DIVIDE:
        t = m.divide(in_c, m.cast(scale, scale_form, c), c)
    else:
        t = m.multiply(in_c, reciprocal(scale, scale_form, c, de, m), c)
    if zero_point is None:
        return round_to_whole(t, rules.code_rounding, c, m), t, c
    z = m.into(zero_point.in_use, add_form)
    unrounded = m.add(m.cast(t, c, add_form), z, add_form)
    if rules.zero_point_add == d.ZeroPointAdd.BEFORE_ROUND:
        return round_to_whole(unrounded, rules.code_rounding, add_form, m), unrounded, add_form
    whole = m.cast(round_to_whole(t, rules.code_rounding, c, m), c, add_form)
    return m.add(whole, z, add_form), unrounded, add_form


def _float_domain(
    x: Values,
    scale: Values,
    scale_form: BinaryFormat,
    scales: Scales,
    zero_point: ZeroPoint,
    de: Declared,
    m: Arithmetic,
) -> tuple[Values, Values]:
    """((x - o) / s, o), o being the value whose code is 0: z - s * mid, or the group's minimum."""
    rules, form, origin = de.rules, de.quotient, scales.low
    if rules.float_code_origin == d.FloatCodeOrigin.ZERO_POINT:
        offset = _scaled(scale, scale_form, de.scheme.midpoint, de, m)
        origin = m.subtract(m.into(zero_point.in_use, de.origin), m.into(offset, de.origin), de.origin)
        origin_form = de.origin
    else:
        origin_form = de.qparam
    distance = m.subtract(m.cast(x, de.input, form), m.cast(origin, origin_form, form), form)
    if rules.float_code_division == d.FloatCodeDivision.DIVIDE:
        return m.divide(distance, m.cast(scale, scale_form, form), form), origin
    return m.multiply(distance, reciprocal(scale, scale_form, form, de, m), form), origin


def _scaled(scale: Values, scale_form: BinaryFormat, code: float, de: Declared, m: Arithmetic) -> Values:
    """s * code in C, but rounded to S under promotion, as torchao computes it."""
    form = de.read_scale if de.rules.code_dtype == d.CodeDtype.PROMOTED else de.code
    return m.multiply(m.cast(scale, scale_form, form), m.number(code), form)


def reciprocal(scale: Values, scale_form: BinaryFormat, c: BinaryFormat, de: Declared, m: Arithmetic) -> Values:
    """1/s in C: rounded to S and cast, or of the cast scale and rounded to C."""
    if de.rules.reciprocal_dtype == d.ReciprocalDtype.SCALE:
        return m.cast(m.divide_once(m.number(1), scale, de.read_scale), de.read_scale, c)
    return m.divide(m.number(1), m.cast(scale, scale_form, c), c)


def _clamp(codes: Values, form: BinaryFormat, de: Declared, m: Arithmetic) -> tuple[Values, BinaryFormat]:
    """(codes within the grid, their format): fp32 where exact bounds are wanted that the codes' own does not hold."""
    rules, qmin, qmax = de.rules, m.number(de.scheme.code_min), m.number(de.scheme.code_max)
    if rules.code_clamp in (d.CodeClamp.NONE, d.CodeClamp.INPUT_LIMITS):
        return codes, form
    if rules.code_clamp == d.CodeClamp.AFTER_INT32:
        beyond = (codes >= m.number(_INT32)) | (codes < m.number(-_INT32))
        codes = np.where(beyond, m.number(-_INT32), codes)
    low, high = m.into(qmin, form), m.into(qmax, form)
    if rules.clamp_bound == d.ClampBound.EXACT and not (low == qmin and high == qmax):
        low, high, form = qmin, qmax, FLOAT32
    return clamped(codes, low, high, m), form
