"""The straight-through gradient: where it passes, and what passes."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.divide import divide, reciprocal
from kernels.narrow import narrow
from quant import decisions as d
from quant.codes import scale_in_use, unrounded_code_values
from quant.computed import code_dtype_of
from quant.granularity import groups_of
from quant.qparams import QParams


def straight_through_mask(x: Tensor, unclamped: Tensor, qparams: QParams) -> Tensor | None:
    """True where the gradient passes: the code before its clamp lies on the grid, bounds included; None = everywhere."""
    scheme, rule = qparams.scheme, qparams.scheme.rules.gradient_mask
    if rule == d.GradientMask.NONE:
        return None
    tested = unclamped if rule == d.GradientMask.ROUNDED else unrounded_code_values(x, qparams)
    return (tested >= scheme.qmin) & (tested <= scheme.qmax)


def pass_through(grad: Tensor, mask: Tensor | None, qparams: QParams, dtype: torch.dtype) -> Tensor:
    """grad_x: grad where the mask holds and 0 elsewhere, in x's dtype.

    scale_times_reciprocal: R_D(R_C(R_D(R_P(gy * s)) * R(1/s))), P = promotion of D and S, as autograd differentiates
    x * (1/s) and codes * s; scale_over_scale divides by s instead.
    """
    scheme = qparams.scheme
    rule = scheme.rules.gradient_product
    if rule != d.GradientProduct.IDENTITY:
        groups = groups_of(scheme.granularity, tuple(grad.shape))
        scale = scale_in_use(qparams, d.ScaleSource.STORED, groups)
        wide, code_dtype = torch.promote_types(dtype, scale.dtype), code_dtype_of(scheme, dtype)
        scaled = narrow(narrow(groups.split(grad), wide) * narrow(scale, wide), dtype)
        if rule == d.GradientProduct.SCALE_TIMES_RECIPROCAL:
            unscaled = narrow(scaled, code_dtype) * narrow(reciprocal(scale), code_dtype)
        else:
            unscaled = divide(narrow(scaled, code_dtype), narrow(scale, code_dtype))
        grad = groups.join(unscaled)
    grad = narrow(grad, dtype)
    return grad if mask is None else torch.where(mask, grad, torch.zeros((), dtype=dtype, device=grad.device))
