"""choose_qparams: the range of each group of x becomes its scale and its zero point.

Steps, each rounding to `Rules.qparam_dtype` (Q) unless it says otherwise:

1. mn, mx = min(x), max(x), widened to 0 if `preserve_zero`.
2. s = range / steps, bounded from below by eps.
3. The stored scale is R_S(s).
4. z from mn and s: an integer code (INT), or the value mn + s * mid (FLOAT).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.divide import divide, divide_by_reciprocal
from quant import decisions as d
from quant.computed import qparam_dtype_of
from quant.device import cast, op
from quant.extent import extent_of
from quant.granularity import groups_of
from quant.mapping import Extent, Mapping, ZeroPointDomain
from quant.remembered import remembered
from quant.rules import Rules
from quant.scheme import ResolvedScheme, TensorScheme
from quant.zero_point import constant_zero_point, zero_point_of_range, zero_point_of_value


@dataclass(frozen=True, slots=True, kw_only=True)
class QParams:
    """Scale and zero point of every group, with the resolved scheme that chose them.

    `scale` has dtype `scheme.scale_dtype` and `zero_point` (None in the NONE domain) `scheme.zero_point_dtype`, both of
    shape n_i / b_i. `unrounded_scale` (the scale before its rounding to S) and `minimum` are kept only for rules that
    read them later. Raises ValueError for a zero point that the scheme's domain does not have, or lacks.
    """

    scale: Tensor
    zero_point: Tensor | None
    scheme: ResolvedScheme
    unrounded_scale: Tensor | None = None
    minimum: Tensor | None = None

    def __post_init__(self) -> None:
        domain = self.scheme.zero_point_domain
        if (self.zero_point is None) != (domain is ZeroPointDomain.NONE):
            raise ValueError(
                f"zero_point is {'None' if self.zero_point is None else 'given'} and zero_point_domain is {domain}: "
                "the int and float domains have zero points, the none domain has none"
            )


def choose_qparams(x: Tensor, scheme: TensorScheme) -> QParams:
    """scale = range / steps and zero_point = qmin - round(min / scale), a pair for each group of x.

    x: fp32, bf16 or fp16, any shape that the granularity divides. No gradient flows. Raises ValueError when the dtype
    or the shape does not fit the scheme. Source of the formulas: the `affine` primitives of torchao and
    Jacob et al. 2018; every deviation is a field of `Rules`.
    """
    resolved = scheme.resolved(x.dtype)
    low, high = range_of(x, resolved)
    return qparams_of_range(low, high, resolved)


def range_of(x: Tensor, scheme: ResolvedScheme) -> tuple[Tensor, Tensor]:
    """Step 1: the least and greatest value of each group in Q, both of the qparams' shape. No gradient flows."""
    groups = groups_of(scheme.granularity, tuple(x.shape))
    with torch.no_grad():
        low, high = _range(groups.split(x), groups.reduced, scheme)
    return low.reshape(groups.qparam_shape), high.reshape(groups.qparam_shape)


def qparams_of_range(low: Tensor, high: Tensor, scheme: ResolvedScheme) -> QParams:
    """Steps 2 to 4 for ranges that range_of gave, or a statistic of several of them."""
    rules = scheme.rules
    with torch.no_grad():
        unrounded = _scale(low, high, scheme)
        scale = _store_scale(unrounded, scheme)
        return QParams(
            scale=scale,
            zero_point=zero_point_of_range(low, high, unrounded, scale, scheme),
            scheme=scheme,
            unrounded_scale=unrounded if reads_unrounded_scale(rules) else None,
            minimum=low if rules.float_code_origin is d.FloatCodeOrigin.MIN else None,
        )


def qparams_of_values(scale: Tensor, zero_point: Tensor | None, scheme: ResolvedScheme) -> QParams:
    """A scale and a zero point in Q, bounded, rounded and stored as chosen ones are; None = the grid's own middle."""
    rules = scheme.rules
    with torch.no_grad():
        unrounded = scale if rules.eps_target is d.EpsTarget.NONE else _at_least_eps(scale, scheme)
        stored = _store_scale(unrounded, scheme)
        middle = constant_zero_point(stored, scheme)
        return QParams(
            scale=stored,
            zero_point=middle if zero_point is None else zero_point_of_value(zero_point, scheme),
            scheme=scheme,
            unrounded_scale=unrounded if reads_unrounded_scale(rules) else None,
        )


def reads_unrounded_scale(rules: Rules) -> bool:
    """Whether a later step reads the scale as it was before its rounding to S."""
    return d.ScaleSource.UNROUNDED in (rules.code_scale, rules.dequantize_scale)


def _range(x: Tensor, reduced: tuple[int, ...], scheme: ResolvedScheme) -> tuple[Tensor, Tensor]:
    """Step 1: min and max of every group in Q, widened to zero where zero must be representable; a zero is +0."""
    low_of, high_of = x, x
    if scheme.rules.range_nan is d.RangeNan.IGNORE:
        missing = x.isnan()
        low_of, high_of = x.masked_fill(missing, torch.inf), x.masked_fill(missing, -torch.inf)
    low = low_of.amin(reduced, keepdim=True) if reduced else low_of
    high = high_of.amax(reduced, keepdim=True) if reduced else high_of
    if scheme.preserve_zero:
        zero = torch.zeros((), dtype=x.dtype, device=x.device)
        low, high = torch.minimum(low, zero), torch.maximum(high, zero)
    dtype = qparam_dtype_of(scheme, x.dtype)
    low, high = cast(op(low, scheme.rules), dtype, scheme.rules), cast(op(high, scheme.rules), dtype, scheme.rules)
    if scheme.extent is not Extent.MIN_MAX:
        high = extent_of(x, reduced, torch.maximum(-low, high), scheme)
        low = -high
    return low + 0.0, high + 0.0  # which of -0 and +0 torch calls the greater depends on how many there are


def _scale(low: Tensor, high: Tensor, scheme: ResolvedScheme) -> Tensor:
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
        scale = _at_least_eps(scale, scheme)
    return scale


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
    return _at_least_eps(span, scheme) if scheme.rules.eps_target is d.EpsTarget.RANGE else span


def _at_least_eps(t: Tensor, scheme: ResolvedScheme) -> Tensor:
    return op(t.clamp(min=_eps_in(scheme, t.dtype)), scheme.rules)


def _store_scale(scale: Tensor, scheme: ResolvedScheme) -> Tensor:
    """Step 3: R_S(s), with what becomes of scales that overflow S, fall below eps there, or are not positive."""
    rules, dtype = scheme.rules, scheme.scale_dtype
    if rules.scale_rounding is d.ScaleRounding.POWER_OF_TWO_NEAREST:
        scale = _nearest_power_of_two(scale)
    stored = cast(scale, dtype, rules)
    if rules.scale_rounding is d.ScaleRounding.UP:
        above = op(stored.nextafter(torch.full_like(stored, torch.inf)), rules)
        stored = torch.where(stored.double() < scale.double(), above, stored)
    if rules.scale_overflow is d.ScaleOverflow.SATURATE:
        overflowed = stored.isinf() & scale.isfinite()
        stored = stored.masked_fill(overflowed, torch.finfo(dtype).max)
    if rules.eps_order is d.EpsOrder.AFTER_STORAGE:
        stored = _at_least_eps(stored, scheme)
    return replace_zero_scale(stored, rules) if rules.zero_scale_at is d.ZeroScaleAt.STORED else stored


@remembered
def _eps_in(scheme: ResolvedScheme, dtype: torch.dtype) -> float:
    """eps cast as `float64_cast` says; left to itself, clamp rounds a number to fp32 before it rounds to 16 bits."""
    return cast(torch.tensor(scheme.eps, dtype=torch.float64), dtype, scheme.rules).item()


def _nearest_power_of_two(scale: Tensor) -> Tensor:
    """2 ** round(log2(s)): mantissas from sqrt(1/2) up go to the power above; no float is a tie."""
    mantissa, exponent = torch.frexp(scale.double())
    power = torch.ldexp(torch.ones_like(mantissa), torch.where(mantissa >= 0.5**0.5, exponent, exponent - 1))
    return torch.where(scale.isfinite() & (scale > 0), power, scale.double())


def replace_zero_scale(scale: Tensor, rules: Rules) -> Tensor:
    """The scale with what `zero_scale` says in place of zeros and, but for TENTH, of what is not finite."""
    if rules.zero_scale is d.ZeroScale.KEEP:
        return scale
    if rules.zero_scale is d.ZeroScale.TENTH:
        return scale.masked_fill(scale == 0, 0.1)
    value = {
        d.ZeroScale.ONE: 1.0,
        d.ZeroScale.MIN_POSITIVE: torch.finfo(torch.float32).smallest_normal,
    }[rules.zero_scale]
    return scale.masked_fill(~(scale > 0) | scale.isinf(), value)


def _divide(t: Tensor, divisor: float, rules: Rules) -> Tensor:
    """t / divisor as `scalar_division` says, in t's dtype."""
    by_reciprocal = rules.scalar_division is d.ScalarDivision.RECIPROCAL_MULTIPLY
    return op(divide_by_reciprocal(t, divisor) if by_reciprocal else divide(t, divisor), rules)
