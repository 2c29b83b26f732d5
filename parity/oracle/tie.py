"""How far an element's exact quotient lies from the point where its code changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.oracle.arithmetic import Arithmetic, Values
from parity.oracle.binary_format import FLOAT64, BinaryFormat
from quant.decisions import CodeRounding
from quant.scheme import TensorScheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotient:
    """code = r((x - origin) / scale + before) + after, before any rounding; `form` is C, whose ulp is the unit."""

    x: Values
    origin: Values
    scale: Values
    before: Values
    after: Values
    form: BinaryFormat


def tie_distance(quotient: Quotient, scheme: TensorScheme, m: Arithmetic) -> Any:
    """float64 array: |t - nearest tie| in ulps of C at t, t being the exact quotient; inf and NaN where t is.

    A tie is a half-integer between two codes of the grid; under truncation it is an integer other than 0. Half an ulp
    or less means that the rounding of t itself may decide the code. Rounded to float64; in bulk good to 40 bits.
    """
    q = quotient
    t, rest = m.long_quotient(q.x, q.origin, q.scale, q.before)
    low, high = m.number(scheme.code_min) - q.after, m.number(scheme.code_max) - q.after
    if scheme.rules.code_rounding == CodeRounding.TRUNCATE:
        nearest = m.floor(t + m.number(0.5))
        nearest = np.where(nearest == m.number(0), m.with_sign(m.number(1), t), nearest)
    else:
        nearest = m.floor(t) + m.number(0.5)
        low, high = low + m.number(0.5), high - m.number(0.5)
    nearest = np.where(nearest < low, low, np.where(nearest > high, high, nearest))
    distance = m.into(abs((t - nearest) + rest), FLOAT64)
    # An ulp is that of the exact quotient's binade, which ends below t where t was rounded up to a power of two.
    size = m.write(abs(t))
    rounded_up = m.write(rest * m.with_sign(m.number(1), t)) < 0
    return np.ldexp(m.write(distance), -q.form.step_exponents(np.where(rounded_up, np.nextafter(size, 0.0), size)))
