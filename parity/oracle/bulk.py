"""The oracle's arithmetic in float64 without a rounding error that is not known: fast, for large tensors.

An unrounded result is a pair: its nearest float64 v, and a number with the sign of what v lacks. Rounding v to fewer
bits is then correct, since every tie of a narrower format is a float64: the exact result lies on the same side of it as
v, or v is the tie and the sign decides.

Where the sign comes from, for operands between 2^-300 and 2^300 in size (float32 and narrower always are, or zero):
sum       Knuth's two_sum (The Art of Computer Programming 2, 4.2.2)
product   Dekker's two_product ("A floating-point technique for extending the available precision", 1971)
quotient  a - v * b, whose sign two_product gives
a * b + c two_sum of an exact product and c; where 53 bits do not hold the product, the rational form takes over

Outside that range a result that is to be rounded to 24 bits or fewer is refused with an ArithmeticError.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.oracle.arithmetic import Arithmetic, Truth, Unrounded, Values
from parity.oracle.binary_format import FLOAT64, BinaryFormat
from parity.oracle.rational import Rational

_SPLIT = 2.0**27 + 1


class Bulk(Arithmetic):
    """Values are float64 arrays; what is unrounded is (nearest float64, a number of the sign of exact - nearest)."""

    def number(self, value: float) -> Values:
        return np.asarray(float(value))

    def read(self, a: Any) -> Values:
        return np.asarray(a, dtype=np.float64)

    def write(self, a: Values) -> Any:
        return a

    def exactly(self, a: Values) -> Unrounded:
        return a, np.zeros(np.shape(a))

    def sum(self, a: Values, b: Values) -> Unrounded:
        return _known(*two_sum(a, b))

    def product(self, a: Values, b: Values) -> Unrounded:
        value, error = _known(*two_product(a, b))
        return value, np.where(_provable(a) & _provable(b), error, np.nan)

    def quotient(self, a: Values, b: Values) -> Unrounded:
        value = a / b
        whole, part = two_product(value, b)
        value, error = _known(value, ((a - whole) - part) * np.sign(b))
        return value, np.where(_provable(a) & _provable(b), error, np.nan)

    def product_sum(self, a: Values, b: Values, c: Values) -> Unrounded:
        a, b, c = np.broadcast_arrays(a, b, c)
        product, part = two_product(a, b)
        value, error = _known(*two_sum(product, c))
        wide = np.isfinite(value) & (part != 0)
        if wide.any():
            exactly = Rational()
            value, error = value.copy(), error.copy()
            exact = exactly.product_sum(*(exactly.read(side[wide]) for side in (a, b, c)))
            nearest = exactly.rounded(exact, FLOAT64)
            value[wide] = exactly.write(nearest)
            error[wide] = np.sign(exactly.write(exactly.rounded(exact - nearest, FLOAT64)))
        return value, error

    def long_quotient(self, x: Values, o: Values, s: Values, z: Values) -> tuple[Values, Values]:
        distance, lost = two_sum(x, -o)
        value = distance / s
        whole, part = two_product(value, s)
        rest = ((distance - whole) - part + lost) / s
        total, error = two_sum(value, z)
        total, error = two_sum(total, np.nan_to_num(error + rest, nan=0.0, posinf=0.0, neginf=0.0))
        return total, np.where(np.isfinite(total), error, 0.0)

    def rounded(self, unrounded: Unrounded, to: BinaryFormat) -> Values:
        value, error = unrounded
        if to == FLOAT64:
            return value
        if np.isnan(error).any():
            raise ArithmeticError(
                f"a result for {to.name} has an operand outside [2^-300, 2^300], where the bulk form proves nothing; "
                "use the rational form"
            )
        result = _cut(value, error, to.precision)
        below, beyond = abs(value) < 2.0**to.emin, abs(result) > to.largest
        if below.any():
            result[below] = _in_steps(value[below], error[below], to)
        if beyond.any():
            result[beyond] = np.copysign(np.inf if to.has_infinity else to.largest, value[beyond])
        return result

    def floor(self, a: Values) -> Values:
        return np.floor(a)

    def least_of(self, a: Values) -> Values:
        smallest = a.min(-1, keepdims=True)
        zero = np.where((np.signbit(a) & (a == 0)).any(-1, keepdims=True), -0.0, 0.0)
        return np.where(smallest == 0, zero, smallest)

    def is_nan(self, a: Values) -> Truth:
        return np.isnan(a)

    def is_finite(self, a: Values) -> Truth:
        return np.isfinite(a)

    def is_negative(self, a: Values) -> Truth:
        return np.signbit(a)


def two_sum(a: Values, b: Values) -> tuple[Values, Values]:
    """(s, e) with s = R(a + b) and s + e = a + b."""
    s = a + b
    part = s - a
    return s, (a - (s - part)) + (b - part)


def two_product(a: Values, b: Values) -> tuple[Values, Values]:
    """(p, e) with p = R(a * b) and p + e = a * b, each factor cut into halves of 26 bits."""
    p = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    return p, a_low * b_low - (((p - a_high * b_high) - a_low * b_high) - a_high * b_low)


def _halves(a: Values) -> tuple[Values, Values]:
    high = _SPLIT * a - (_SPLIT * a - a)
    return high, a - high


def _cut(value: Values, error: Values, precision: int) -> Values:
    """value + error with so many significant bits, by its pattern: a carry into the exponent is the next binade."""
    word = np.array(value).view(np.int64)
    dropped = 53 - precision
    half = 1 << (dropped - 1)
    told = ((word & (2 * half - 1)) == half) & (error != 0)
    if told.any():
        word[told] += np.where((error[told] > 0) == (value[told] > 0), 1, -1)
    word += half - 1 + ((word >> dropped) & 1)
    word &= -2 * half
    return word.view(np.float64)


def _in_steps(value: Values, error: Values, to: BinaryFormat) -> Values:
    """The same of subnormals, whose distance is fixed: by counting steps of it."""
    step = to.step_exponents(value)
    steps = np.ldexp(value, -step)
    nearest = np.rint(steps)
    tie = abs(steps - np.trunc(steps)) == 0.5
    nearest = np.where(tie & (error > 0), np.ceil(steps), np.where(tie & (error < 0), np.floor(steps), nearest))
    return np.ldexp(nearest, step)


def _provable(a: Values) -> Truth:
    """Zero, not finite, or of a size for which no error term overflows or underflows."""
    return (a == 0) | ~np.isfinite(a) | ((abs(a) >= 2.0**-300) & (abs(a) <= 2.0**300))


def _known(value: Values, error: Values) -> tuple[Values, Values]:
    """Without the NaN that an error is where a result is not finite, or a quotient was by infinity: there is none."""
    return value, np.where(np.isfinite(error), error, 0.0)
