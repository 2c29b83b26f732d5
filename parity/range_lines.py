"""Scale and zero point as statements of torch, from the ends of a range: x holds them, scale is the stored one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch

from quant import Mapping, ZeroPointDomain
from quant import decisions as d
from quant.computed import qparam_dtype_of
from quant.mapping import Extent
from quant.scheme import ResolvedScheme

_ROUNDED: Final = {
    d.ZeroPointRounding.HALF_EVEN: "({}).round()",
    d.ZeroPointRounding.HALF_AWAY: "({0}).trunc() + (2 * ({0}).frac()).trunc()",
    d.ZeroPointRounding.TRUNCATE: "({}).trunc()",
}


def scale_lines(scheme: ResolvedScheme, dtype: torch.dtype) -> Iterator[str]:
    """Statements that end in `result`, the stored scale. Raises ValueError for a range that is not a tensor's ends."""
    yield from _unrounded(scheme, dtype)
    yield f"result = unrounded.to({scheme.scale_dtype})"
    if scheme.rules.eps_order is d.EpsOrder.AFTER_STORAGE:
        yield f"result = result{_at_least(scheme.eps, 'result')}"


def zero_point_lines(scheme: ResolvedScheme, dtype: torch.dtype) -> Iterator[str]:
    """Statements that end in `result`, the stored zero point."""
    rules, stored = scheme.rules, scheme.zero_point_dtype
    if scheme.mapping is not Mapping.ASYMMETRIC:
        yield f"result = torch.full_like(scale, {scheme.constant_zero_point!r}, dtype={stored})"
    else:
        yield from _unrounded(scheme, dtype)
        unrounded = rules.zero_point_scale is d.ZeroPointScale.UNROUNDED
        yield "read = unrounded" if unrounded else "read = scale.to(low.dtype)"
        yield from _of_value(scheme) if _is_value(scheme) else _of_code(scheme)
        nearest = (
            rules.zero_point_cast is d.ZeroPointCast.NEAREST and stored is not None and not stored.is_floating_point
        )
        yield f"result = t{'.round()' if nearest else ''}.to({stored})"
    if rules.zero_point_offset is d.ZeroPointOffset.MINUS_ONE:
        yield "result = result - 1"


def _is_value(scheme: ResolvedScheme) -> bool:
    """Whether the zero point is a value, min + scale * mid, rather than a code."""
    from_value = scheme.rules.zero_point_rule is d.ZeroPointRule.FROM_VALUE
    return scheme.zero_point_domain is ZeroPointDomain.FLOAT or from_value


def _of_value(scheme: ResolvedScheme) -> Iterator[str]:
    in_float_domain = scheme.zero_point_domain is ZeroPointDomain.FLOAT
    if in_float_domain and scheme.rules.float_zero_point is d.FloatZeroPoint.MIN:
        yield "t = low"
    else:
        yield f"t = low + read * {scheme.midpoint if in_float_domain else 2.0 ** (scheme.bits - 1)!r}"
    if not in_float_domain:
        yield f"t = t.to({scheme.scale_dtype})"


def _of_code(scheme: ResolvedScheme) -> Iterator[str]:
    rules, rounded = scheme.rules, _ROUNDED[scheme.rules.zero_point_rounding]
    divides = rules.zero_point_division is d.ZeroPointDivision.DIVIDE
    over = "{} / read" if divides else "{} * (1 / read)"
    first = rules.zero_point_round_order is d.ZeroPointRoundOrder.ROUND_FIRST

    def from_end(code: int, quotient: str) -> str:
        taken = f"({code} - {rounded.format(quotient) if first else quotient}.float()).to(low.dtype)"
        return taken if first else rounded.format(taken)

    if rules.zero_point_rule is d.ZeroPointRule.MIN_ERROR:
        yield f"of_low, of_high = {over.format('low')}, {over.format('high')}"
        yield f"errors = ({scheme.code_min} + of_low) + ({scheme.code_max} + of_high)"
        ends = from_end(scheme.code_min, "of_low"), from_end(scheme.code_max, "of_high")
        yield f"t = torch.where(errors > 0, {ends[0]}, {ends[1]})"
    else:
        from_min = rules.zero_point_rule is d.ZeroPointRule.FROM_MIN
        yield f"t = {over.format('low' if from_min else 'high')}"
        yield f"t = {from_end(scheme.code_min if from_min else scheme.code_max, 't')}"
    if rules.zero_point_clamp is d.ZeroPointClamp.CLAMP:
        yield f"t = t.clamp({scheme.qmin}, {scheme.qmax})"


def _unrounded(scheme: ResolvedScheme, dtype: torch.dtype) -> Iterator[str]:
    """low, high, and the scale before it is stored."""
    rules, span = scheme.rules, float(scheme.qmax - scheme.qmin)
    if scheme.extent is not Extent.MIN_MAX or scheme.mapping not in (Mapping.SYMMETRIC, Mapping.ASYMMETRIC):
        raise ValueError(f"the scale of a {scheme.mapping} range of {scheme.extent} is more than a few statements")
    wide = qparam_dtype_of(scheme, dtype)
    yield f"low, high = x.amin().to({wide}), x.amax().to({wide})"
    if scheme.preserve_zero:
        yield "low, high = low.clamp(max=0), high.clamp(min=0)"
    eps = _at_least(scheme.eps, "low")
    at_range = eps if rules.eps_target is d.EpsTarget.RANGE else ""
    if scheme.mapping is Mapping.ASYMMETRIC:
        yield f"reach = (high - low){at_range}"
        divisor = span
    else:
        divisor = {
            d.SymmetricScale.HALF_SPAN: span / 2,
            d.SymmetricScale.DOUBLED_OVER_SPAN: span,
            d.SymmetricScale.HALF_LEVELS: (span + 1) / 2,
            d.SymmetricScale.QMAX: float(scheme.qmax),
        }.get(rules.symmetric_scale, float(abs(scheme.qmin)))
        doubled = " * 2" if rules.symmetric_scale is d.SymmetricScale.DOUBLED_OVER_SPAN else ""
        yield f"reach = torch.maximum(-low, high){at_range}{doubled}"
    if rules.scalar_division is d.ScalarDivision.RECIPROCAL_MULTIPLY:
        inverse = torch.float64 if wide is torch.float64 else torch.float32
        yield f"unrounded = (reach.to({inverse}) * (1 / torch.tensor({divisor!r}, dtype={inverse}))).to(reach.dtype)"
    else:
        yield f"unrounded = reach / {divisor!r}"
    if rules.eps_target is d.EpsTarget.SCALE and rules.eps_order is d.EpsOrder.BEFORE_STORAGE:
        yield f"unrounded = unrounded{eps}"


def _at_least(eps: object, of: str) -> str:
    return f".clamp(min=torch.tensor({eps!r}, dtype=torch.float64).to({of}.dtype))"
