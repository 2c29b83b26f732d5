"""A number of the extended line, exact: a rational with a sign (so that -0 is not +0), an infinity, or NaN."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from parity.oracle.binary_format import BinaryFormat


@dataclass(frozen=True, slots=True, eq=False)
class Number:
    """A sign and a magnitude: a Fraction, or math.inf, or math.nan. Operators are exact and follow IEEE 754 section 6.

    A sum that is exactly zero is +0 unless both terms are -0; inf - inf, 0 * inf, 0 / 0 and inf / inf are NaN; x / 0 is
    infinite; NaN compares false with everything.
    """

    negative: bool
    magnitude: Fraction | float

    @classmethod
    def of(cls, value: float | Fraction) -> Number:
        """The number that a Python number is; the sign of -0.0 is kept."""
        if not math.isfinite(value):
            return cls(value < 0, abs(float(value)))
        return cls(value < 0 or (value == 0 and math.copysign(1.0, value) < 0), abs(Fraction(value)))

    @property
    def is_nan(self) -> bool:
        return self.magnitude != self.magnitude

    @property
    def is_finite(self) -> bool:
        return isinstance(self.magnitude, Fraction)

    @property
    def fraction(self) -> Fraction:
        """The signed rational; only a finite number has one."""
        assert isinstance(self.magnitude, Fraction)
        return -self.magnitude if self.negative else self.magnitude

    def __float__(self) -> float:
        return -float(self.magnitude) if self.negative else float(self.magnitude)

    def __neg__(self) -> Number:
        return Number(not self.negative, self.magnitude)

    def __abs__(self) -> Number:
        return Number(False, self.magnitude)

    def __add__(self, other: Number) -> Number:
        if not isinstance(other, Number):
            return NotImplemented
        if self.is_nan or other.is_nan:
            return NAN
        if not (self.is_finite and other.is_finite):
            if not self.is_finite and not other.is_finite and self.negative != other.negative:
                return NAN
            return other if self.is_finite else self
        total = self.fraction + other.fraction
        return Number(total < 0 or (total == 0 and self.negative and other.negative), abs(total))

    def __sub__(self, other: Number) -> Number:
        if not isinstance(other, Number):
            return NotImplemented
        return self + -other

    def __mul__(self, other: Number) -> Number:
        if not isinstance(other, Number):
            return NotImplemented
        negative = self.negative != other.negative
        if self.is_finite and other.is_finite:
            return Number(negative, abs(self.fraction * other.fraction))
        if self.is_nan or other.is_nan or 0 in (self.magnitude, other.magnitude):
            return NAN
        return Number(negative, math.inf)

    def __truediv__(self, other: Number) -> Number:
        if not isinstance(other, Number):
            return NotImplemented
        return self * other._inverse()

    def _inverse(self) -> Number:
        if self.is_nan or not self.is_finite:
            return NAN if self.is_nan else Number(self.negative, Fraction(0))
        return Number(self.negative, 1 / self.magnitude if self.magnitude else math.inf)

    def __floor__(self) -> Number:
        if not self.is_finite:
            return self
        whole = math.floor(self.fraction)
        return Number(whole < 0 or (whole == 0 and self.negative), Fraction(abs(whole)))

    def __lt__(self, other: Number) -> bool:
        if not isinstance(other, Number):
            return NotImplemented
        if self.is_nan or other.is_nan:
            return False
        return self._place() < other._place()

    def __gt__(self, other: Number) -> bool:
        if not isinstance(other, Number):
            return NotImplemented
        return other < self

    def __le__(self, other: Number) -> bool:
        if not isinstance(other, Number):
            return NotImplemented
        return self < other or self == other

    def __ge__(self, other: Number) -> bool:
        if not isinstance(other, Number):
            return NotImplemented
        return other <= self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Number):
            return NotImplemented
        return not self.is_nan and not other.is_nan and self._place() == other._place()

    def _place(self) -> tuple[int, Fraction]:
        """Where it lies on the line: infinities beyond every rational."""
        if self.is_finite:
            return 0, self.fraction
        return (-1 if self.negative else 1), Fraction(0)


NAN = Number(False, math.nan)


def rounded(number: Number, form: BinaryFormat) -> Number:
    """R_form(number): the nearest value of the format, the even one at a tie; inf from half a step above the largest.

    The largest itself where the format has no infinity. A result of zero keeps the sign of what was rounded.
    """
    beyond = math.inf if form.has_infinity else Fraction(form.largest)
    if number.is_nan or number.magnitude == 0:
        return number
    if not number.is_finite:
        return Number(number.negative, beyond)
    size = abs(number.fraction)
    step = Fraction(2) ** form.step_exponent(binade(size))
    nearest = round(size / step) * step  # Python rounds the halves of a Fraction to even
    return Number(number.negative, nearest if nearest <= Fraction(form.largest) else beyond)


def binade(size: Fraction) -> int:
    """e with 2^e <= size < 2^(e+1), for size > 0."""
    e = size.numerator.bit_length() - size.denominator.bit_length()
    return e if Fraction(2) ** e <= size else e - 1
