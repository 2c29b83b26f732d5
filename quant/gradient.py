"""The straight-through gradient: where it passes, and what passes."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.divide import divide
from quant import decisions as d
from quant.codes import beside_bounds, unrounded_code_values
from quant.computed import quotient_dtype_of, rescale_dtype_of
from quant.device import cast, op
from quant.granularity import groups_of
from quant.mapping import ZeroPointDomain
from quant.qparams import QParams
from quant.quotient import reciprocal_of, scale_in_use


def straight_through_mask(x: Tensor, unclamped: Tensor, qparams: QParams) -> Tensor | None:
    """True where the gradient passes: the code before its clamp lies on the grid of codes; None = everywhere.

    The bounds are those of the clamp: exact, or rounded to the dtype of the codes, as `clamp_bound` says.
    """
    scheme, rule = qparams.scheme, qparams.scheme.rules.gradient_mask
    if rule is d.GradientMask.NONE:
        return None
    tested = unclamped if rule is d.GradientMask.ROUNDED else unrounded_code_values(x, qparams)
    tested = beside_bounds(tested, scheme)
    return (tested >= scheme.code_min) & (tested <= scheme.code_max)


def pass_through(grad: Tensor, mask: Tensor | None, qparams: QParams, dtype: torch.dtype) -> Tensor:
    """grad_x: grad where the mask holds and 0 elsewhere, in x's dtype D.

    scale_times_reciprocal, in the order in which autograd walks back through (round(x * (1/s)) clamped) * s:

    1. R_D(R_T(gy * s)), T being the dtype of that product.
    2. 0 where the mask does not hold.
    3. R_D(R_C(... * (1/s))), the reciprocal as the codes read it. scale_over_scale divides by s here.
    """
    scheme, rules = qparams.scheme, qparams.scheme.rules
    in_float_domain = scheme.zero_point_domain is ZeroPointDomain.FLOAT
    rule = rules.float_gradient_product if in_float_domain else rules.gradient_product
    if rule is d.GradientProduct.IDENTITY:
        return _masked(cast(grad, dtype, rules), mask)
    groups = groups_of(scheme.granularity, tuple(grad.shape))
    wide, code_dtype = rescale_dtype_of(scheme, dtype), quotient_dtype_of(scheme, dtype)
    rescale = cast(scale_in_use(qparams, rules.dequantize_scale, groups), wide, rules)
    scaled = op(cast(groups.split(grad), wide, rules) * rescale, rules)
    scaled = _masked(groups.join(cast(scaled, dtype, rules)), mask)
    inside = cast(groups.split(scaled), code_dtype, rules)
    scale = scale_in_use(qparams, rules.code_scale, groups)
    if rule is d.GradientProduct.SCALE_TIMES_RECIPROCAL:
        unscaled = inside * reciprocal_of(scale, qparams, code_dtype)
    else:
        unscaled = divide(inside, cast(scale, code_dtype, rules))
    return cast(groups.join(op(unscaled, rules)), dtype, rules)


def _masked(grad: Tensor, mask: Tensor | None) -> Tensor:
    return grad if mask is None else torch.where(mask, grad, torch.zeros((), dtype=grad.dtype, device=grad.device))
