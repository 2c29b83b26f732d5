"""From a number to an integer: the rounding rules, and the conversion to an integer dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from parity.oracle.arithmetic import Arithmetic, Values
from parity.oracle.binary_format import BinaryFormat


def round_to_whole(t: Values, rule: str, form: BinaryFormat, m: Arithmetic) -> Values:
    """The integer that a rounding rule makes of t, whose format is `form`; the sign stays on a zero, NaN and inf stay.

    half_even, half_away, truncate; half_up = floor(R(t + 1/2)); half_away_by_adding = trunc(R(t + copysign(1/2, t))).
    """
    half = m.number(0.5)
    if rule == "half_up":
        return m.floor(m.add(t, half, form))
    if rule == "half_away_by_adding":
        return truncated(m.add(t, m.with_sign(half, t), form), m)
    whole = m.floor(abs(t))
    rest = abs(t) - whole  # exact: the low bits of t
    if rule == "half_even":
        up = (rest > half) | ((rest == half) & _odd(whole, m))
    else:
        up = {"half_away": rest >= half, "truncate": np.zeros_like(rest, dtype=bool)}[rule]
    return m.with_sign(np.where(up, whole + m.number(1.0), whole), t)


def truncated(t: Values, m: Arithmetic) -> Values:
    """The integer part."""
    return m.with_sign(m.floor(abs(t)), t)


def to_integers(t: Values, dtype: torch.dtype, m: Arithmetic) -> Any:
    """int64 array: t cut to an integer dtype as x86 does, on every device.

    The conversion goes through int32 (int64 for int64). What does not fit there, NaN included, becomes its minimum; a
    narrower dtype keeps the low bits of that.
    """
    width = 64 if dtype == torch.int64 else 32
    whole = truncated(t, m)
    least = m.number(-(2.0 ** (width - 1)))
    fits = (whole >= least) & (whole < -least)
    return wrapped(m.write(np.where(fits, whole, least)).astype(np.int64), dtype)


def wrapped(integers: Any, dtype: torch.dtype) -> Any:
    """The int64 array modulo 2^width of the dtype."""
    narrow = np.dtype(str(dtype).removeprefix("torch."))
    return np.asarray(integers).astype(narrow).astype(np.int64)


def _odd(whole: Values, m: Arithmetic) -> Any:
    half = whole * m.number(0.5)  # exact
    return half != m.floor(half)
