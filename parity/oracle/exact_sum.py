"""The exact value of x @ w.T + bias: a float is an integer over a power of two, and Python's integers do not round."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from parity.oracle.number import Number

_POINT = 1074  # every finite float64 is an integer times 2^-1074


def exact_sums(x: Any, w: Any, bias: Any | None) -> Any:
    """[M, N] array of Numbers: the exact sums over k of x[m, k] * w[n, k], plus bias[n]; an exact zero is +0.

    x: [M, K], w: [N, K], bias: [N] or None, float64 arrays. A sum with an infinite or NaN term is what they
    make in any order: NaN for 0 * inf and for infinities of both signs, else that infinity.
    """
    addend = np.zeros(len(w)) if bias is None else bias
    special = np.zeros((len(x), len(w)))
    if not all(np.isfinite(side).all() for side in (x, w, addend)):
        terms = x[:, None, :] * w[None, :, :]  # finite float32 cannot overflow here
        special = np.sum(np.where(np.isfinite(terms), 0.0, terms), -1) + np.where(np.isfinite(addend), 0.0, addend)
    total = _integers(x) @ _integers(w).T + (_integers(addend) << _POINT)
    sums = np.empty(total.shape, dtype=object)
    for at, integer in np.ndenumerate(total):
        whole = Number.of(Fraction(integer, 1 << (2 * _POINT)))
        sums[at] = whole if math.isfinite(special[at]) else Number.of(float(special[at]))
    return sums


def _integers(values: Any) -> Any:
    """The array times 2^1074, as Python integers; 0 in place of what is not finite."""
    ratios = [value.as_integer_ratio() if math.isfinite(value) else (0, 1) for value in np.ravel(values).tolist()]
    scaled = [numerator * ((1 << _POINT) // denominator) for numerator, denominator in ratios]
    return np.array(scaled, dtype=object).reshape(np.shape(values))
