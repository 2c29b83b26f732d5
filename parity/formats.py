"""Every dtype is a row: its width, and for a float where its exponent, its mantissa, its infinity and its NaNs lie.

Keyed by torch's dtype names without the prefix ("bfloat16"). Imports no torch, so that a page can print bit patterns.
"""

from dataclasses import dataclass
from math import inf, ldexp, nan


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatFormat:
    """value = (-1)^sign * (m / 2^mantissa_bits + [e > 0]) * 2^(max(e, 1) - bias), fields sign | e | m, high to low.

    largest is the greatest magnitude (the pattern without its sign) that is not NaN: infinity where the format has
    one. Every greater magnitude is NaN; canonical_nan is the one that stands for all of them.
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    largest: int
    canonical_nan: int

    @property
    def width(self) -> int:
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def bias(self) -> int:
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def magnitude_mask(self) -> int:
        return (1 << (self.width - 1)) - 1

    @property
    def has_infinity(self) -> bool:
        return self.largest == self.magnitude_mask >> self.mantissa_bits << self.mantissa_bits

    def value(self, bits: int) -> float:
        """The exact number of a pattern: no format here is wider than Python's float. A NaN loses its payload."""
        magnitude = bits & self.magnitude_mask
        sign = -1.0 if bits >> (self.width - 1) else 1.0
        if magnitude > self.largest:
            return nan
        if magnitude == self.largest and self.has_infinity:
            return sign * inf
        e, m = divmod(magnitude, 1 << self.mantissa_bits)
        significand = m + (1 << self.mantissa_bits if e else 0)
        return sign * ldexp(significand, max(e, 1) - self.bias - self.mantissa_bits)


def hexadecimal(number: float) -> str:
    """`0x1.8p-3`: the number exactly, without the zeros that say nothing; inf and nan by name."""
    digits, p, exponent = number.hex().partition("p")
    return f"{digits.rstrip('0').rstrip('.') if p else digits}{p}{exponent}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerFormat:
    """value = the pattern, less 2^width where the format is signed and the top bit is set."""

    name: str
    width: int
    signed: bool

    def value(self, bits: int) -> int:
        return bits - (1 << self.width) if self.signed and bits >> (self.width - 1) else bits


FLOATS = {
    row[0]: FloatFormat(name=row[0], exponent_bits=row[1], mantissa_bits=row[2], largest=row[3], canonical_nan=row[4])
    for row in (
        ("float64", 11, 52, 0x7FF0_0000_0000_0000, 0x7FF8_0000_0000_0000),
        ("float32", 8, 23, 0x7F80_0000, 0x7FC0_0000),
        ("float16", 5, 10, 0x7C00, 0x7E00),
        ("bfloat16", 8, 7, 0x7F80, 0x7FC0),
        ("float8_e5m2", 5, 2, 0x7C, 0x7E),
        ("float8_e4m3fn", 4, 3, 0x7E, 0x7F),  # no infinity: 0x7e is 448, the largest finite value
    )
}

INTEGERS = {
    row[0]: IntegerFormat(name=row[0], width=row[1], signed=row[2])
    for row in (
        ("int8", 8, True),
        ("int16", 16, True),
        ("int32", 32, True),
        ("int64", 64, True),
        ("uint8", 8, False),
        ("uint16", 16, False),
        ("uint32", 32, False),
        ("uint64", 64, False),
        ("bool", 8, False),
    )
}

assert all(f.width in (8, 16, 32, 64) for f in FLOATS.values()), "a float's three fields must fill whole bytes"
assert all(f.largest < f.canonical_nan <= f.magnitude_mask for f in FLOATS.values()), "canonical_nan must be a NaN"


def bits_text(bits: int, dtype: object) -> str:
    """The pattern, the number it stands for in decimal, and in C's %a: 0x3fc0 = 1.5 (0x1.8p+0); 0xf8 = -8 for int8.

    dtype is a torch dtype or its name, with or without "torch.". The decimal is the shortest that names the value in
    float64, so it is exact to the bit for every narrower format.
    Raises ValueError for an unknown dtype, and for bits that are negative or wider than the dtype.
    """
    name = str(dtype).removeprefix("torch.")
    form = FLOATS.get(name) or INTEGERS.get(name)
    if form is None:
        raise ValueError(f"no format is known for dtype {name!r}; known are {', '.join([*FLOATS, *INTEGERS])}")
    if not 0 <= bits < 1 << form.width:
        raise ValueError(f"bits of {name} must lie in [0, 2^{form.width}), but they are {bits}")
    value = form.value(bits)
    text = f"0x{bits:0{form.width // 4}x} = {value!r}"
    return f"{text} ({_hex_float(value)})" if isinstance(value, float) and abs(value) < inf else text


def _hex_float(value: float) -> str:
    """float.hex without the zeros that end its fraction, which is how C prints %a."""
    significand, exponent = value.hex().split("p")
    return f"{significand.rstrip('0').rstrip('.') if '.' in significand else significand}p{exponent}"
