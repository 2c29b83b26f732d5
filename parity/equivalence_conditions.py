"""What the rows of `parity.equivalences` ask of a scheme: which steps of it are exact, and which read what."""

from __future__ import annotations

from typing import Final

import torch

from parity.proving.operands import ENUMERABLE
from quant import Mapping, ZeroPointDomain
from quant import decisions as d
from quant.computed import qparam_dtype_of, read_scale_dtype_of
from quant.integers import holds
from quant.scheme import ResolvedScheme

_CLAMPED_RULES: Final = (d.ZeroPointRule.FROM_MIN, d.ZeroPointRule.FROM_MAX, d.ZeroPointRule.MIN_ERROR)


def grid_codes(scheme: ResolvedScheme) -> bool:
    """Codes of at most 8 bits, clamped to the grid."""
    return scheme.rules.code_clamp is d.CodeClamp.AFTER_ROUND and scheme.bits <= 8


def stores_codes(scheme: ResolvedScheme) -> bool:
    """The same, and integers in prepare as well."""
    return grid_codes(scheme) and scheme.rules.code_cast is d.CodeCast.INTEGER


def whole_zero_points(scheme: ResolvedScheme) -> bool:
    """The zero point is a code of the grid, stored as it is, unless it was a NaN; or there is none."""
    if scheme.mapping is Mapping.STRETCHED or scheme.zero_point_domain is ZeroPointDomain.FLOAT:
        return False
    rules, stored = scheme.rules, scheme.zero_point_dtype
    clamped = rules.zero_point_clamp is d.ZeroPointClamp.CLAMP and rules.zero_point_rule in _CLAMPED_RULES
    in_grid = scheme.mapping is not Mapping.ASYMMETRIC or clamped
    return stored is None or (in_grid and holds(stored, int(scheme.qmin)) and holds(stored, int(scheme.qmax)))


def whole_distances(scheme: ResolvedScheme) -> bool:
    """q - z is an integer below 256 in size; or it is of a NaN's zero point, and meets a scale that is not finite."""
    rules = scheme.rules
    kept = rules.scale_overflow is d.ScaleOverflow.INFINITE and rules.zero_scale is d.ZeroScale.KEEP
    nan = scheme.mapping is not Mapping.ASYMMETRIC or kept
    return whole_zero_points(scheme) and grid_codes(scheme) and nan


def reads_stored_scale(scheme: ResolvedScheme) -> bool:
    """No step reads the scale as it was before it was rounded to S."""
    rules, stored = scheme.rules, d.ScaleSource.STORED
    zero_point = (
        scheme.mapping is not Mapping.ASYMMETRIC
        or rules.zero_point_scale is d.ZeroPointScale.STORED
        or (scheme.zero_point_domain is ZeroPointDomain.FLOAT and rules.float_zero_point is d.FloatZeroPoint.MIN)
    )
    return zero_point and rules.code_scale is stored and rules.dequantize_scale is stored


def exact_eps(scheme: ResolvedScheme, computed: torch.dtype) -> bool:
    """eps is a normal number of the dtype that a scale is computed in, and of the one that it is stored in."""
    bounded = (computed, scheme.scale_dtype)
    held = (torch.tensor(scheme.eps, dtype=torch.float64).to(of).item() == scheme.eps for of in bounded)
    return all(held) and all(scheme.eps >= torch.finfo(of).smallest_normal for of in bounded)


def rounds_once(scheme: ResolvedScheme, dtype: torch.dtype) -> bool:
    """A product of the stored scale ends in the output's dtype, with no subnormal flushed on the way."""
    rules = scheme.rules
    to_output = dtype is torch.float32 or rules.operand_dtype is d.OperandDtype.OUTPUT
    stored = rules.dequantize_scale is d.ScaleSource.STORED
    return to_output and stored and rules.subnormals is d.Subnormals.KEEP


def through_float32(scheme: ResolvedScheme) -> bool:
    """A float64 product of the stored scale is rounded to float32 on its way to any narrower dtype."""
    rules = scheme.rules
    through = rules.float64_cast is d.Float64Cast.THROUGH_FLOAT32 and rules.subnormals is d.Subnormals.KEEP
    return through and rules.dequantize_scale is d.ScaleSource.STORED


def short_products(scheme: ResolvedScheme) -> bool:
    """8 bits times the stored scale are exact in float32, or in float64 and rounded to float32 first."""
    stored = read_scale_dtype_of(scheme)
    return stored in ENUMERABLE or (stored is torch.float32 and through_float32(scheme))


def promoted(scheme: ResolvedScheme, dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, read_scale_dtype_of(scheme))


def sixteen_bits(scheme: ResolvedScheme, dtype: torch.dtype) -> bool:
    return dtype in ENUMERABLE and read_scale_dtype_of(scheme) in ENUMERABLE


def divides_sixteen_bits(scheme: ResolvedScheme, dtype: torch.dtype) -> bool:
    """An end of a 16-bit range, or a span rounded to 16 bits, is divided by a number of at most 8 bits."""
    rules, narrow = scheme.rules, qparam_dtype_of(scheme, dtype) in ENUMERABLE
    ends = scheme.mapping in (Mapping.SYMMETRIC, Mapping.SYMMETRIC_NO_CLIPPING)
    spans = scheme.mapping is Mapping.ASYMMETRIC and narrow
    nearest = rules.scale_rounding is d.ScaleRounding.NEAREST_EVEN and rules.subnormals is d.Subnormals.KEEP
    read = narrow or (rules.eps_target is not d.EpsTarget.RANGE and reads_stored_scale(scheme))
    return sixteen_bits(scheme, dtype) and scheme.bits <= 8 and (ends or spans) and nearest and read
