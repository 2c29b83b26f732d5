"""The oracle's arithmetic in fractions: slow, and nothing to prove."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from parity.oracle.arithmetic import Arithmetic, Truth, Unrounded, Values
from parity.oracle.binary_format import FLOAT64, BinaryFormat
from parity.oracle.number import Number, rounded


class Rational(Arithmetic):
    """Values are arrays of Numbers, whose operators are exact; what is unrounded is such an array too."""

    def number(self, value: float) -> Values:
        return Number.of(float(value))

    def read(self, a: Any) -> Values:
        return np.array([Number.of(value) for value in np.ravel(a).tolist()], dtype=object).reshape(np.shape(a))

    def write(self, a: Values) -> Any:
        return np.array([float(number) for number in np.ravel(a)], dtype=np.float64).reshape(np.shape(a))

    def exactly(self, a: Values) -> Unrounded:
        return a

    def sum(self, a: Values, b: Values) -> Unrounded:
        return a + b

    def product(self, a: Values, b: Values) -> Unrounded:
        return a * b

    def quotient(self, a: Values, b: Values) -> Unrounded:
        return a / b

    def product_sum(self, a: Values, b: Values, c: Values) -> Unrounded:
        return a * b + c

    def long_quotient(self, x: Values, o: Values, s: Values, z: Values) -> tuple[Values, Values]:
        exact = (x - o) / s + z
        nearest = self.rounded(exact, FLOAT64)
        return nearest, np.where(self.is_finite(nearest), exact - nearest, self.number(0.0))

    def rounded(self, unrounded: Unrounded, to: BinaryFormat) -> Values:
        return _each(lambda number: rounded(number, to), unrounded)

    def floor(self, a: Values) -> Values:
        return _each(math.floor, a)

    def least_of(self, a: Values) -> Values:
        result = a[..., :1]
        for i in range(1, a.shape[-1]):
            result = self.least(result, a[..., i : i + 1])
        return result

    def is_nan(self, a: Values) -> Truth:
        return _each(lambda number: number.is_nan, a).astype(bool)

    def is_finite(self, a: Values) -> Truth:
        return _each(lambda number: number.is_finite, a).astype(bool)

    def is_negative(self, a: Values) -> Truth:
        return _each(lambda number: number.negative, a).astype(bool)


def _each(function: Any, a: Values) -> Any:
    """The function of every element, as an array of the same shape also where numpy would hand back a scalar."""
    return np.asarray(np.frompyfunc(function, 1, 1)(a), dtype=object)
