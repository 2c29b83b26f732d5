"""scale = range / steps, bounded from below by eps, and what is stored of it: R_S(scale), on one level or on two."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.divide import divide, divide_by_reciprocal
from kernels.narrow import E4M3, next_above
from quant import decisions as d
from quant.device import cast, op
from quant.granularity import groups_of, whole
from quant.mapping import Mapping
from quant.remembered import remembered
from quant.rules import Rules
from quant.scheme import ResolvedScheme


def scale_of_range(low: Tensor, high: Tensor, scheme: ResolvedScheme) -> Tensor:
    """Step 2: the scale in Q, before it is rounded to S."""
    rules = scheme.rules
    if scheme.mapping is Mapping.SYMMETRIC_NO_CLIPPING:
        from_low = _divide(low, float(scheme.qmin), rules)
        from_high = _divide(high, float(scheme.qmax), rules)
        scale = torch.where(from_low > from_high, from_low, from_high)
    elif scheme.mapping is not Mapping.ASYMMETRIC:
        scale = _symmetric_scale(_bound_range(torch.maximum(-low, high) + 0.0, scheme), scheme)
    else:
        span = _bound_range(op(high - low, rules), scheme)
        scale = _divide(span, float(scheme.qmax - scheme.qmin), rules)
    if rules.eps_target is d.EpsTarget.SCALE and rules.eps_order is d.EpsOrder.BEFORE_STORAGE:
        scale = at_least_eps(scale, scheme)
    return scale


def at_least_eps(t: Tensor, scheme: ResolvedScheme) -> Tensor:
    """t, or eps where t is smaller."""
    return op(t.clamp(min=_eps_in(scheme, t.dtype)), scheme.rules)


def stored_scale(scale: Tensor, scheme: ResolvedScheme) -> tuple[Tensor, Tensor | None]:
    """Step 3: (R_S(s), None); or on two levels (R_S(s / g), g), with one g for the whole tensor.

    g = max(s) / max(S), at least the smallest normal number, and s / g are computed in fp32; s / g is rounded to Q
    before it is to S.
    """
    wide_dtype = scheme.global_scale_dtype
    if wide_dtype is None:
        return _in_storage(scale, scheme), None
    rules, tensors = scheme.rules, groups_of(whole(scheme.granularity), tuple(scale.shape))
    wide = cast(scale, wide_dtype, rules)
    greatest = tensors.split(wide).amax(tensors.reduced, keepdim=True) if tensors.reduced else wide
    over = op(divide(greatest.reshape(tensors.qparam_shape), torch.finfo(scheme.scale_dtype).max), rules)
    over = over.clamp(min=torch.finfo(wide_dtype).smallest_normal)
    return _in_storage(cast(op(divide(wide, over), rules), scale.dtype, rules), scheme), over


def effective_scale(scale: Tensor, global_scale: Tensor | None, rules: Rules) -> Tensor:
    """What later steps read: the stored scale, or g * s' in the dtype of g."""
    if global_scale is None:
        return scale
    return op(global_scale * cast(scale, global_scale.dtype, rules), rules)


def readable(scale: Tensor) -> Tensor:
    """The same numbers in a dtype that is computed in: those of eight bits in fp32."""
    return scale.float() if scale.dtype is E4M3 else scale


def replace_zero_scale(scale: Tensor, rules: Rules, dtype: torch.dtype) -> Tensor:
    """The scale with what `zero_scale` says, rounded to `dtype` as scales are, in place of zeros and, but for TENTH, of
    what is not finite.
    """
    if rules.zero_scale is d.ZeroScale.KEEP:
        return scale
    tenth = rules.zero_scale is d.ZeroScale.TENTH
    return scale.masked_fill(scale == 0 if tenth else ~(scale > 0) | scale.isinf(), _instead_of_zero(rules, dtype))


def _in_storage(scale: Tensor, scheme: ResolvedScheme) -> Tensor:
    """R_S(s), with what becomes of scales that overflow S, fall below eps there, or are not positive."""
    rules, dtype = scheme.rules, scheme.scale_dtype
    if rules.scale_rounding is d.ScaleRounding.POWER_OF_TWO_NEAREST:
        scale = _nearest_power_of_two(scale)
    stored = _rounded(scale, dtype, rules)
    if rules.scale_overflow is d.ScaleOverflow.SATURATE:
        stored = stored.masked_fill(stored.isinf() & scale.isfinite(), torch.finfo(dtype).max)
    if rules.eps_order is d.EpsOrder.AFTER_STORAGE:
        stored = at_least_eps(stored, scheme)
    if rules.zero_scale_at is d.ZeroScaleAt.STORED:
        stored = replace_zero_scale(stored, rules, dtype)
    return cast(stored, dtype, rules)


def _rounded(scale: Tensor, dtype: torch.dtype, rules: Rules) -> Tensor:
    """R_S(s), to nearest or up; where S has eight bits still in fp32, since few operations know those."""
    nearest = cast(scale, dtype, rules)
    stored = readable(nearest)
    if rules.scale_rounding is d.ScaleRounding.UP:
        stored = torch.where(stored.double() < scale.double(), readable(op(next_above(nearest), rules)), stored)
    return stored


def _symmetric_scale(amax: Tensor, scheme: ResolvedScheme) -> Tensor:
    rules, span = scheme.rules, float(scheme.qmax - scheme.qmin)
    if rules.symmetric_scale is d.SymmetricScale.HALF_SPAN or scheme.mapping is Mapping.STRETCHED:
        return _divide(amax, span / 2, rules)
    if rules.symmetric_scale is d.SymmetricScale.DOUBLED_OVER_SPAN:
        return _divide(op(amax * 2, rules), span, rules)
    if rules.symmetric_scale is d.SymmetricScale.HALF_LEVELS:
        return _divide(amax, (span + 1) / 2, rules)
    bound = scheme.qmax if rules.symmetric_scale is d.SymmetricScale.QMAX else abs(scheme.qmin)
    return _divide(amax, float(bound), rules)


def _bound_range(span: Tensor, scheme: ResolvedScheme) -> Tensor:
    return at_least_eps(span, scheme) if scheme.rules.eps_target is d.EpsTarget.RANGE else span


@remembered
def _eps_in(scheme: ResolvedScheme, dtype: torch.dtype) -> float:
    """eps cast as `float64_cast` says; left to itself, clamp rounds a number to fp32 before it rounds to 16 bits."""
    return cast(torch.tensor(scheme.eps, dtype=torch.float64), dtype, scheme.rules).item()


@remembered
def _instead_of_zero(rules: Rules, dtype: torch.dtype) -> float:
    """What `zero_scale` puts in place of a zero, in the dtype of the scale."""
    value = {
        d.ZeroScale.ONE: 1.0,
        d.ZeroScale.TENTH: 0.1,
        d.ZeroScale.MIN_POSITIVE: torch.finfo(torch.float32).smallest_normal,
    }[rules.zero_scale]
    return _rounded(torch.tensor(value, dtype=torch.float64), dtype, rules).item()


def _nearest_power_of_two(scale: Tensor) -> Tensor:
    """2 ** round(log2(s)): mantissas from sqrt(1/2) up go to the power above; no float is a tie."""
    mantissa, exponent = torch.frexp(scale.double())
    power = torch.ldexp(torch.ones_like(mantissa), torch.where(mantissa >= 0.5**0.5, exponent, exponent - 1))
    return torch.where(scale.isfinite() & (scale > 0), power, scale.double())


def _divide(t: Tensor, divisor: float, rules: Rules) -> Tensor:
    """t / divisor as `scalar_division` says, in t's dtype."""
    by_reciprocal = rules.scalar_division is d.ScalarDivision.RECIPROCAL_MULTIPLY
    return op(divide_by_reciprocal(t, divisor) if by_reciprocal else divide(t, divisor), rules)
