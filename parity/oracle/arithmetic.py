"""One step of a declared computation: an exact operation, then one rounding into the format that the rule names.

The steps of the oracle are written once, against this class. `Rational` carries them out in fractions, `Bulk` in
error-free float64; both work on numpy arrays that broadcast, of Numbers or of float64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeAlias

import numpy as np

from parity.oracle.binary_format import FLOAT64, BinaryFormat, computes_in

Values: TypeAlias = Any  # an array of Numbers or of float64: numbers without a dtype, which the formats give them
Unrounded: TypeAlias = Any  # an exact result on its way to a rounding
Truth: TypeAlias = Any  # an array of bool


class Arithmetic(ABC):
    """add(a, b, F) = R_F(a + b), and so on. With `flush`, a subnormal result becomes zero of its sign.

    A 16-bit format computes in float32: R_16(R_float32(a + b)), as torch does elementwise. Without `float64_once`, a
    float64 value is rounded to float32 on its way to 16 bits.
    """

    def __init__(self, *, flush: bool = False, float64_once: bool = True) -> None:
        self.flush = flush
        self.float64_once = float64_once

    def add(self, a: Values, b: Values, to: BinaryFormat) -> Values:
        return self._operation(self.sum(a, b), to)

    def subtract(self, a: Values, b: Values, to: BinaryFormat) -> Values:
        return self._operation(self.sum(a, -b), to)

    def multiply(self, a: Values, b: Values, to: BinaryFormat) -> Values:
        return self._operation(self.product(a, b), to)

    def divide(self, a: Values, b: Values, to: BinaryFormat) -> Values:
        return self._operation(self.quotient(a, b), to)

    def fma(self, a: Values, b: Values, c: Values, to: BinaryFormat) -> Values:
        """R(a * b + c), the product not rounded."""
        return self._operation(self.product_sum(a, b, c), to)

    def add_once(self, a: Values, b: Values, to: BinaryFormat) -> Values:
        """R_to(a + b), also into 16 bits at once."""
        return self.flushed(self.rounded(self.sum(a, b), to), to)

    def multiply_once(self, a: Values, b: Values, to: BinaryFormat) -> Values:
        """R_to(a * b), also into 16 bits at once."""
        return self.flushed(self.rounded(self.product(a, b), to), to)

    def divide_once(self, a: Values, b: Values, to: BinaryFormat) -> Values:
        """R_to(a / b), also into 16 bits at once."""
        return self.flushed(self.rounded(self.quotient(a, b), to), to)

    def cast(self, a: Values, source: BinaryFormat, to: BinaryFormat) -> Values:
        """R_to(a) of values of `source`, an operation like any other; a itself where the two are one format."""
        if source == to:
            return a
        if source == FLOAT64 and not self.float64_once:
            a = self.rounded(self.exactly(a), computes_in(to))
        return self.flushed(self.rounded(self.exactly(a), to), to)

    def constant(self, value: float, form: BinaryFormat) -> Values:
        """R_form of a Python number, which is one of float64."""
        return self.cast(self.number(value), FLOAT64, form)

    def into(self, a: Values, form: BinaryFormat) -> Values:
        """R_form(a) of values that may be integers."""
        return self.flushed(self.rounded(self.exactly(a), form), form)

    def flushed(self, a: Values, form: BinaryFormat) -> Values:
        """a, or with `flush` zero of a's sign where a is subnormal in a format that is computed in."""
        if not self.flush or not form.has_infinity:
            return a
        return np.where(abs(a) < self.number(2.0**form.emin), self.with_sign(self.number(0.0), a), a)

    def _operation(self, unrounded: Unrounded, to: BinaryFormat) -> Values:
        wide = computes_in(to)
        result = self.rounded(unrounded, wide)
        if wide != to:
            result = self.rounded(self.exactly(result), to)
        return self.flushed(result, to)

    def least(self, a: Values, b: Values) -> Values:
        """min(a, b): NaN if either is, and -0 below +0 (IEEE 754-2019 minimum)."""
        smaller = (a < b) | ((a == b) & self.is_negative(a))
        return np.where(self.is_nan(a), a, np.where(smaller, a, b))

    def greatest(self, a: Values, b: Values) -> Values:
        """max(a, b): NaN if either is, and +0 above -0 (IEEE 754-2019 maximum)."""
        return -self.least(-a, -b)

    @abstractmethod
    def number(self, value: float) -> Values:
        """A Python number, exactly."""

    @abstractmethod
    def read(self, a: Any) -> Values:
        """A float64 array as values."""

    @abstractmethod
    def write(self, a: Values) -> Any:
        """Values of float formats as a float64 array, which holds each of them."""

    @abstractmethod
    def exactly(self, a: Values) -> Unrounded:
        """a itself, on its way to a rounding."""

    @abstractmethod
    def sum(self, a: Values, b: Values) -> Unrounded: ...
    @abstractmethod
    def product(self, a: Values, b: Values) -> Unrounded: ...
    @abstractmethod
    def quotient(self, a: Values, b: Values) -> Unrounded: ...
    @abstractmethod
    def product_sum(self, a: Values, b: Values, c: Values) -> Unrounded: ...
    @abstractmethod
    def long_quotient(self, x: Values, o: Values, s: Values, z: Values) -> tuple[Values, Values]:
        """(t, u): t the float64 nearest to (x - o) / s + z, and u what t lacks; in bulk u is good to 50 bits."""

    @abstractmethod
    def rounded(self, unrounded: Unrounded, to: BinaryFormat) -> Values:
        """To nearest, ties to even."""

    @abstractmethod
    def floor(self, a: Values) -> Values:
        """The greatest integer that is not above a."""

    @abstractmethod
    def least_of(self, a: Values) -> Values:
        """The minimum along the last axis, kept as an axis of one."""

    @abstractmethod
    def is_nan(self, a: Values) -> Truth: ...
    @abstractmethod
    def is_finite(self, a: Values) -> Truth: ...
    @abstractmethod
    def is_negative(self, a: Values) -> Truth:
        """The sign, that of a zero included."""

    def greatest_of(self, a: Values) -> Values:
        """The maximum along the last axis."""
        return -self.least_of(-a)

    def with_sign(self, a: Values, sign: Values) -> Values:
        """|a| with the sign of `sign`."""
        return np.where(self.is_negative(sign), -abs(a), abs(a))
