"""zero_point = qmin - round(min / scale), an integer code; or min + scale * mid, a value, in the FLOAT domain."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.divide import divide, reciprocal
from kernels.narrow import narrow
from kernels.rounding import half_away, half_even, truncate
from quant import decisions as d
from quant.computed import read_scale_dtype_of
from quant.device import cast, op
from quant.integers import cast_to_integer
from quant.mapping import Mapping, ZeroPointDomain
from quant.remembered import remembered
from quant.rules import Rules
from quant.scheme import ResolvedScheme

ZERO_POINT_ROUNDINGS = {
    d.ZeroPointRounding.HALF_EVEN: half_even,
    d.ZeroPointRounding.HALF_AWAY: half_away,
    d.ZeroPointRounding.TRUNCATE: truncate,
}


def zero_point_of_range(
    low: Tensor, high: Tensor, unrounded: Tensor, scale: Tensor, scheme: ResolvedScheme
) -> Tensor | None:
    """The zero points in Z of ranges and scales in Q, less one where the rules say so; none in the NONE domain."""
    rules = scheme.rules
    if scheme.zero_point_dtype is None or scheme.mapping is not Mapping.ASYMMETRIC:
        return constant_zero_point(scale, scheme)
    read = unrounded if rules.zero_point_scale is d.ZeroPointScale.UNROUNDED else cast(scale, low.dtype, rules)
    if scheme.zero_point_domain is not ZeroPointDomain.FLOAT:
        return _stored(_integer_zero_point(low, high, read, scheme), scheme)
    if rules.float_zero_point is d.FloatZeroPoint.MIN:
        return _stored(low, scheme)
    return _stored(_value_of_middle(low, read, scheme.midpoint, rules), scheme)


def zero_point_of_value(zero_point: Tensor, scheme: ResolvedScheme) -> Tensor:
    """A learned zero point in Z: an integer one is rounded and clamped as a chosen one is."""
    if scheme.zero_point_domain is ZeroPointDomain.INT:
        zero_point = _clamped(ZERO_POINT_ROUNDINGS[scheme.rules.zero_point_rounding](zero_point), scheme)
    return _stored(zero_point, scheme)


def constant_zero_point(scale: Tensor, scheme: ResolvedScheme) -> Tensor | None:
    """The zero point of a symmetric grid, the same for every scale; None in the NONE domain."""
    dtype = scheme.zero_point_dtype
    if dtype is None:
        return None
    return torch.full_like(scale, _middle(scheme), dtype=dtype)


def _stored(zero_point: Tensor, scheme: ResolvedScheme) -> Tensor:
    rules, dtype = scheme.rules, scheme.zero_point_dtype
    assert dtype is not None
    if dtype.is_floating_point:
        stored = cast(zero_point, dtype, rules)
    else:
        nearest = rules.zero_point_cast is d.ZeroPointCast.NEAREST
        stored = cast_to_integer(half_even(zero_point) if nearest else zero_point, dtype)
    return _offset(stored, rules)


def _offset(zero_point: Tensor, rules: Rules) -> Tensor:
    """The zero point as it is stored: in Z already, so that an integer one loses exactly one."""
    return zero_point - 1 if rules.zero_point_offset is d.ZeroPointOffset.MINUS_ONE else zero_point


@remembered
def _middle(scheme: ResolvedScheme) -> float:
    """The middle of a symmetric grid as Z stores it, less one where the rules say so."""
    dtype = scheme.zero_point_dtype
    assert dtype is not None
    middle = torch.tensor(scheme.constant_zero_point, dtype=torch.float64)
    stored = middle.to(dtype) if dtype.is_floating_point else cast_to_integer(middle, dtype)
    return _offset(stored, scheme.rules).item()


def _integer_zero_point(low: Tensor, high: Tensor, scale: Tensor, scheme: ResolvedScheme) -> Tensor:
    rules, qmin, qmax = scheme.rules, scheme.code_min, scheme.code_max
    if rules.zero_point_rule is d.ZeroPointRule.FROM_VALUE:
        return cast(_value_of_middle(low, scale, 2.0 ** (scheme.bits - 1), rules), read_scale_dtype_of(scheme), rules)
    rounding = ZERO_POINT_ROUNDINGS[rules.zero_point_rounding]

    def over_scale(bound: Tensor) -> Tensor:
        if rules.zero_point_division is d.ZeroPointDivision.DIVIDE:
            return op(divide(bound, scale), rules)
        return op(bound * op(reciprocal(scale), rules), rules)

    def from_end(code: int, quotient: Tensor) -> Tensor:
        if rules.zero_point_round_order is d.ZeroPointRoundOrder.ROUND_FIRST:
            return op(_from(code, -rounding(quotient)), rules)
        return rounding(op(_from(code, -quotient), rules))

    if rules.zero_point_rule is d.ZeroPointRule.FROM_MIN:
        zero_point = from_end(qmin, over_scale(low))
    elif rules.zero_point_rule is d.ZeroPointRule.FROM_MAX:
        zero_point = from_end(qmax, over_scale(high))
    else:
        of_low, of_high = over_scale(low), over_scale(high)
        errors = op(op(_from(qmin, of_low), rules) + op(_from(qmax, of_high), rules), rules)
        zero_point = torch.where(errors > 0, from_end(qmin, of_low), from_end(qmax, of_high))
    return _clamped(zero_point, scheme)


def _value_of_middle(low: Tensor, scale: Tensor, middle: float, rules: Rules) -> Tensor:
    """min + s * mid: the value of the grid's middle code, where the lowest code stands for min."""
    return op(low + op(scale * middle, rules), rules)


def _clamped(zero_point: Tensor, scheme: ResolvedScheme) -> Tensor:
    clamps = scheme.rules.zero_point_clamp is d.ZeroPointClamp.CLAMP
    return zero_point.clamp(scheme.qmin, scheme.qmax) if clamps else zero_point


def _from(code: int, t: Tensor) -> Tensor:
    """R_Q(code + t): the code enters in fp32, where torch on CPU would first round it to a 16-bit t's dtype."""
    return code + t if t.dtype.itemsize > 2 else narrow(t.float() + code, t.dtype)
