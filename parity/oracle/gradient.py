"""oracle.gradient: what the straight-through estimator hands from dequantized values back to x."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from parity.oracle.arithmetic import Values
from parity.oracle.binary_format import format_of
from parity.oracle.codes import reciprocal
from parity.oracle.encoding import decode, encode
from parity.oracle.scale import scale_in_use
from parity.oracle.trace import Form, Steps, steps_of
from quant import decisions as d
from quant.scheme import TensorScheme


def gradient(x: Tensor, grad: Tensor, scheme: TensorScheme, *, form: Form = Form.AUTOMATIC) -> Tensor | None:
    """grad where `gradient_mask` passes, rescaled as `gradient_product` says; +0 elsewhere; None if x is detached.

    x and grad: one shape; grad in the dtype of the dequantized values. Returns x's dtype D. In the order in which
    autograd walks back through (round(x * (1/s)) clamped) * s:

    1. R_D(R_T(gy * s)), T being the dtype of the rescaling.
    2. 0 where the mask does not pass.
    3. R_D(R_C(... * (1/s))), the reciprocal as the codes read it; scale_over_scale divides by s.
    """
    if scheme.rules.gradient_mask == d.GradientMask.ALL:
        return None
    with np.errstate(all="ignore"):
        steps = steps_of(x, scheme, x.dtype, form)
        m, de, grouping = steps.arithmetic, steps.declared, steps.grouping
        rule = de.rules.float_gradient_product if de.in_float_domain else de.rules.gradient_product
        passed, passed_form = m.read(grouping.rows(decode(grad))), format_of(grad.dtype)
        if rule != d.GradientProduct.IDENTITY:
            scale, scale_form = scale_in_use(steps.scales, de.rules.dequantize_scale, de, m)
            wide = m.cast(passed, passed_form, de.rescale)
            passed = m.multiply(wide, m.cast(scale, scale_form, de.rescale), de.rescale)
            passed_form = de.rescale
        passed = m.cast(passed, passed_form, de.input)
        if de.rules.gradient_mask != d.GradientMask.NONE:
            passed = np.where(_on_grid(steps), passed, m.number(0))
        if rule != d.GradientProduct.IDENTITY:
            passed = _over_scale(passed, rule, steps)
        return encode(grouping.placed(m.write(passed)), de.input)


def _on_grid(steps: Steps) -> Values:
    """Where a code, or what it was rounded from, lies within the bounds that `clamp_bound` gives its clamp."""
    rounded = steps.declared.rules.gradient_mask == d.GradientMask.ROUNDED
    tested = steps.codes.unclamped if rounded else steps.codes.unrounded
    scheme, m = steps.declared.scheme, steps.arithmetic
    low, high = m.number(scheme.code_min), m.number(scheme.code_max)
    if steps.declared.rules.clamp_bound == d.ClampBound.ROUNDED:
        low, high = m.into(low, steps.codes.added_in), m.into(high, steps.codes.added_in)
    return (tested >= low) & (tested <= high)


def _over_scale(grad: Values, rule: d.GradientProduct, steps: Steps) -> Values:
    """grad / s or grad * (1/s) in C, back in D."""
    de, m, c = steps.declared, steps.arithmetic, steps.declared.quotient
    scale, scale_form = scale_in_use(steps.scales, de.rules.code_scale, de, m)
    wide = m.cast(grad, de.input, c)
    if rule == d.GradientProduct.SCALE_OVER_SCALE:
        return m.cast(m.divide(wide, m.cast(scale, scale_form, c), c), c, de.input)
    return m.cast(m.multiply(wide, reciprocal(scale, scale_form, c, de, m), c), c, de.input)
