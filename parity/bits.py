"""Two elements are equal iff their canonical bits are; their distance is the number of representable steps between.

Everything here works on the integer view of a tensor, never on its float values: a flush-to-zero setting left behind by
some backend cannot make a subnormal equal to zero. Tensors may be strided views, 0-d, empty, and on any device.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import torch
from torch import Tensor

from kernels import bit_line
from kernels.bit_line import INCOMPARABLE, SATURATED, BitLine
from parity.formats import FLOATS, INTEGERS, FloatFormat, bits_text

__all__ = [
    "DEFAULT",
    "INCOMPARABLE",
    "SATURATED",
    "BitPolicy",
    "NanBits",
    "SignedZero",
    "bits",
    "bits_line",
    "bits_text",
    "dtype_name",
    "float_format",
    "is_nan",
    "line",
    "same_storage",
    "storage",
    "ulp_distance",
]

_STORAGE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class SignedZero(StrEnum):
    """Whether -0.0 and +0.0 are two elements or one."""

    DISTINCT = "distinct"
    EQUAL = "equal"


class NanBits(StrEnum):
    """Whether every NaN is the same element, or each pattern of sign and payload its own."""

    ANY_EQUAL = "any_equal"
    PAYLOAD = "payload"


@dataclass(frozen=True, slots=True, kw_only=True)
class BitPolicy:
    """What counts as the same float element. Integer dtypes have one pattern a value, so it says nothing about them."""

    signed_zero: SignedZero = SignedZero.DISTINCT
    nan: NanBits = NanBits.ANY_EQUAL


DEFAULT = BitPolicy()


def dtype_name(dtype: torch.dtype) -> str:
    """torch's own name without the prefix: "bfloat16"."""
    return str(dtype).removeprefix("torch.")


def same_storage(a: Tensor, b: Tensor) -> bool:
    """Equal device, dtype, shape and stored bits: then equal under every policy; the converse does not hold for NaN."""
    alike = a.device == b.device and a.dtype == b.dtype and a.shape == b.shape
    return alike and torch.equal(storage(a), storage(b))


def float_format(dtype: torch.dtype) -> FloatFormat | None:
    """The dtype's row in the table of float formats; None for an integer dtype.

    Raises ValueError for a dtype that is neither, such as complex64.
    """
    name = dtype_name(dtype)
    if name not in FLOATS and name not in INTEGERS:
        raise ValueError(f"bits can be compared for {', '.join([*FLOATS, *INTEGERS])}, but the dtype is {name}")
    return FLOATS.get(name)


def storage(x: Tensor) -> Tensor:
    """The bits of x as they lie in memory: signed integers of the same width, shape and strides. A view, no copy."""
    float_format(x.dtype)
    return x.view(_STORAGE[x.element_size()])


@cache
def bits_line(dtype: torch.dtype, policy: BitPolicy = DEFAULT) -> BitLine:
    """How the bits of a dtype are compared under a policy. Raises ValueError for a dtype that has no format."""
    form = float_format(dtype)
    if form is None:
        integer = INTEGERS[dtype_name(dtype)]
        return BitLine(width=integer.width, signed=integer.signed)
    return BitLine(
        width=form.width,
        largest=form.largest,
        zeros_apart=policy.signed_zero is SignedZero.DISTINCT,
        nans_alike=policy.nan is NanBits.ANY_EQUAL,
    )


def is_nan(x: Tensor) -> Tensor:
    """bool, shape of x: the pattern's magnitude is above the format's largest number. False for integer dtypes."""
    return bit_line.is_nan(storage(x), bits_line(x.dtype))


def bits(x: Tensor, policy: BitPolicy = DEFAULT) -> Tensor:
    """Integers that are equal exactly where the policy holds two elements to be the same.

    int8, int16, int32 or int64 of x's width and shape. ANY_EQUAL turns every NaN into the format's canonical one;
    EQUAL turns -0.0 into +0.0; every other pattern is kept.
    """
    form = float_format(x.dtype)
    raw = storage(x)
    if form is None:
        return raw
    magnitude = raw & form.magnitude_mask
    if policy.nan is NanBits.ANY_EQUAL:
        raw = raw.masked_fill(magnitude > form.largest, form.canonical_nan)
    if policy.signed_zero is SignedZero.EQUAL:
        raw = raw.masked_fill(magnitude == 0, 0)
    return raw


def line(x: Tensor, policy: BitPolicy = DEFAULT) -> Tensor:
    """int64 positions on the monotone line of x's dtype: neighbouring representable values are 1 apart.

    Floats: the magnitude pattern m for a positive, and for a negative -1 - m where zeros are DISTINCT (-0.0 at -1 and
    +0.0 at 0 are neighbours), -m where they are EQUAL (both zeros at 0). Infinity is one step past the largest finite
    value. The position of a NaN means nothing. Integers: the value itself; uint64 values, less 2^63 so that they fit.
    """
    return bit_line.positions(storage(x), bits_line(x.dtype, policy))


def ulp_distance(a: Tensor, b: Tensor, policy: BitPolicy = DEFAULT) -> Tensor:
    """|line(a) - line(b)| as int64: 0 exactly where bits(a) == bits(b) under the same policy.

    SATURATED where the steps do not fit int64. INCOMPARABLE where one side is NaN and the policy does not hold the two
    equal. Raises ValueError when dtype or shape differ: there is no line, or no element, in common.
    """
    if a.dtype != b.dtype or a.shape != b.shape:
        raise ValueError(
            f"a distance in ulps needs one dtype and one shape, but a is {dtype_name(a.dtype)} {list(a.shape)} "
            f"and b is {dtype_name(b.dtype)} {list(b.shape)}"
        )
    return bit_line.distances(storage(a), storage(b), bits_line(a.dtype, policy))
