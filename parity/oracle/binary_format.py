"""A binary float format is three numbers: precision p, and the exponents emin and emax of its normal numbers.

Its values are k * 2^(e - p + 1) with |k| < 2^p and emin <= e <= emax; e = emin with |k| < 2^(p - 1) are the subnormals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class BinaryFormat:
    """One row of IEEE 754's table 3.5; p counts the leading bit that is not stored.

    Without infinities the format's last pattern alone is NaN, so its largest number is one step less than elsewhere,
    and stands for everything beyond. Nothing computes in such a format: its values are only stored.
    """

    name: str
    precision: int
    emin: int
    emax: int
    has_infinity: bool = True

    @property
    def mantissa_bits(self) -> int:
        return self.precision - 1

    @property
    def exponent_bits(self) -> int:
        return self.emax.bit_length() + self.has_infinity

    @property
    def largest(self) -> float:
        """The greatest finite value."""
        return float(2 - 2.0 ** (1 - self.precision) * (1 if self.has_infinity else 2)) * 2.0**self.emax

    @property
    def width(self) -> int:
        return 1 + self.exponent_bits + self.mantissa_bits

    def step_exponent(self, e: int) -> int:
        """log2 of the distance between neighbours in the binade [2^e, 2^(e+1)), which may lie below emin."""
        return max(e, self.emin) - self.precision + 1

    def step_exponents(self, values: Any) -> Any:
        """The same for the binade of each element of a float64 array; the least one at zero."""
        _, above = np.frexp(values)
        return np.where(values == 0, self.emin, np.maximum(above - 1, self.emin)) - self.precision + 1

    def holds(self, other: BinaryFormat) -> bool:
        """Every value of `other` is a value of this format."""
        smallest, others = self.emin - self.precision, other.emin - other.precision
        return self.precision >= other.precision and self.emax >= other.emax and smallest <= others


FLOAT16 = BinaryFormat("float16", 11, -14, 15)
BFLOAT16 = BinaryFormat("bfloat16", 8, -126, 127)
FLOAT32 = BinaryFormat("float32", 24, -126, 127)
FLOAT64 = BinaryFormat("float64", 53, -1022, 1023)
TF32 = BinaryFormat("tf32", 11, -126, 127)  # never stored: a cut of float32

E4M3 = BinaryFormat("float8_e4m3fn", 4, -6, 8, has_infinity=False)

COMPUTED = {torch.float16: FLOAT16, torch.bfloat16: BFLOAT16, torch.float32: FLOAT32, torch.float64: FLOAT64}
STORED = COMPUTED | {torch.float8_e4m3fn: E4M3}

assert [row.width for row in STORED.values()] == [16, 16, 32, 64, 8], "sign, exponent and mantissa must fill the word"


def format_of(dtype: object) -> BinaryFormat:
    """The row of a torch dtype; ValueError for one that is no float here."""
    for stored, row in STORED.items():
        if stored == dtype:
            return row
    raise ValueError(f"the oracle knows {', '.join(row.name for row in STORED.values())}, but the dtype is {dtype}")


def dtype_of(form: BinaryFormat) -> torch.dtype:
    """The torch dtype that stores the format."""
    return next(dtype for dtype, row in STORED.items() if row == form)


def promoted(a: BinaryFormat, b: BinaryFormat) -> BinaryFormat:
    """P(a, b): the one that holds the other, and float32 for float16 with bfloat16."""
    if a.holds(b):
        return a
    return b if b.holds(a) else FLOAT32


def read_as(form: BinaryFormat) -> BinaryFormat:
    """The format in which values of `form` are computed with: float32 where nothing computes in their own."""
    return form if form.has_infinity else FLOAT32


def computes_in(form: BinaryFormat) -> BinaryFormat:
    """The format in which one elementwise operation computes before it rounds to `form`: float32 for 16 bits or 8."""
    return FLOAT32 if form.width <= 16 else form
