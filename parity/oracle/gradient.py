"""oracle.gradient: what the straight-through estimator hands from dequantized values back to x."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from parity.oracle.arithmetic import Values
from parity.oracle.binary_format import promoted
from parity.oracle.encoding import decode, encode
from parity.oracle.scale import scale_in_use
from parity.oracle.trace import Form, Steps, steps_of
from quant import decisions as d
from quant.scheme import TensorScheme


def gradient(x: Tensor, grad: Tensor, scheme: TensorScheme, *, form: Form = Form.AUTOMATIC) -> Tensor | None:
    """grad where `gradient_mask` passes, rescaled as `gradient_product` says; +0 elsewhere; None if x is detached.

    x and grad: one shape; grad in the dtype of the dequantized values. Returns x's dtype.
    scale_times_reciprocal: R_D(R_C(R_D(R_P(gy * s)) * R(1/s))) with P the promotion of D and S, as autograd
    differentiates codes * s after x * (1/s); scale_over_scale divides by s instead.
    """
    if scheme.rules.gradient_mask == d.GradientMask.ALL:
        return None
    with np.errstate(all="ignore"):
        steps = steps_of(x, scheme, x.dtype, form)
        m, de = steps.arithmetic, steps.declared
        passed = m.into(m.read(steps.grouping.rows(decode(grad))), de.input)
        if de.rules.gradient_product != d.GradientProduct.IDENTITY:
            passed = _rescaled(m.read(steps.grouping.rows(decode(grad))), steps)
        values = m.write(passed)
        if de.rules.gradient_mask != d.GradientMask.NONE:
            values = np.where(_on_grid(steps), values, 0.0)
        return encode(steps.grouping.placed(values), de.input)


def _on_grid(steps: Steps) -> Values:
    rounded = steps.declared.rules.gradient_mask == d.GradientMask.ROUNDED
    tested = steps.codes.unclamped if rounded else steps.codes.unrounded
    scheme, m = steps.declared.scheme, steps.arithmetic
    return (tested >= m.number(scheme.qmin)) & (tested <= m.number(scheme.qmax))


def _rescaled(grad: Values, steps: Steps) -> Values:
    de, m = steps.declared, steps.arithmetic
    scale, _ = scale_in_use(steps.scales, d.ScaleSource.STORED, de, m)
    wide = promoted(de.input, de.scale)
    scaled = m.cast(m.multiply(grad, scale, wide), wide, de.input)
    if de.rules.gradient_product == d.GradientProduct.SCALE_OVER_SCALE:
        unscaled = m.divide(scaled, m.cast(scale, de.scale, de.code), de.code)
    else:
        inverse = m.cast(m.divide(m.number(1), scale, de.scale), de.scale, de.code)
        unscaled = m.multiply(m.cast(scaled, de.input, de.code), inverse, de.code)
    return m.cast(unscaled, de.code, de.input)
