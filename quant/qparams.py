"""choose_qparams: the range of each group of x becomes its scale and its zero point.

Steps, each rounding to `Rules.qparam_dtype` (Q) unless it says otherwise:

1. mn, mx = min(x), max(x), widened to 0 if `preserve_zero`.
2. s = range / steps, bounded from below by eps.
3. The stored scale is R_S(s); on two levels R_S(s / g), beside one g for the whole tensor.
4. z from mn and s: an integer code (INT), or the value mn + s * mid (FLOAT).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quant import decisions as d
from quant.computed import qparam_dtype_of
from quant.device import cast, op
from quant.extent import extent_of
from quant.granularity import groups_of
from quant.mapping import Extent, ZeroPointDomain
from quant.rules import Rules
from quant.scale import at_least_eps, effective_scale, scale_of_range, stored_scale
from quant.scheme import ResolvedScheme, TensorScheme
from quant.zero_point import constant_zero_point, zero_point_of_range, zero_point_of_value


@dataclass(frozen=True, slots=True, kw_only=True)
class QParams:
    """Scale and zero point of every group, with the resolved scheme that chose them.

    `scale` has dtype `scheme.scale_dtype` and `zero_point` (None in the NONE domain) `scheme.zero_point_dtype`, both of
    shape n_i / b_i. `global_scale` is the upper of two levels, of as many dimensions of size 1 (stacked cases have one
    each); None where there is one level, or where `scale` is the product of both already, in its dtype.
    `unrounded_scale` (the scale before its rounding to S) and `minimum` are kept only for rules that read them later.
    Raises ValueError for a zero point that the scheme's domain does not have, or lacks.
    """

    scale: Tensor
    zero_point: Tensor | None
    scheme: ResolvedScheme
    global_scale: Tensor | None = None
    unrounded_scale: Tensor | None = None
    minimum: Tensor | None = None

    def __post_init__(self) -> None:
        domain = self.scheme.zero_point_domain
        if (self.zero_point is None) != (domain is ZeroPointDomain.NONE):
            raise ValueError(
                f"zero_point is {'None' if self.zero_point is None else 'given'} and zero_point_domain is {domain}: "
                "the int and float domains have zero points, the none domain has none"
            )

    @property
    def effective_scale(self) -> Tensor:
        """The scale of every group: `scale`, or its product with `global_scale`."""
        return effective_scale(self.scale, self.global_scale, self.scheme.rules)


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
        unrounded = scale_of_range(low, high, scheme)
        scale, global_scale = stored_scale(unrounded, scheme)
        effective = effective_scale(scale, global_scale, rules)
        return QParams(
            scale=scale,
            zero_point=zero_point_of_range(low, high, unrounded, effective, scheme),
            scheme=scheme,
            global_scale=global_scale,
            unrounded_scale=unrounded if reads_unrounded_scale(rules) else None,
            minimum=low if rules.float_code_origin is d.FloatCodeOrigin.MIN else None,
        )


def qparams_of_values(scale: Tensor, zero_point: Tensor | None, scheme: ResolvedScheme) -> QParams:
    """A scale and a zero point in Q, bounded, rounded and stored as chosen ones are; None = the grid's own middle."""
    rules = scheme.rules
    with torch.no_grad():
        unrounded = scale if rules.eps_target is d.EpsTarget.NONE else at_least_eps(scale, scheme)
        stored, global_scale = stored_scale(unrounded, scheme)
        middle = constant_zero_point(stored, scheme)
        return QParams(
            scale=stored,
            zero_point=middle if zero_point is None else zero_point_of_value(zero_point, scheme),
            scheme=scheme,
            global_scale=global_scale,
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
