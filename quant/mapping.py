"""How reals become integers: what a range is, its mapping to the grid, and the domain in which zero is written."""

from enum import StrEnum
from typing import Final


class Mapping(StrEnum):
    """How a range of reals becomes the grid [qmin, qmax].

    SYMMETRIC: scale = max|x| / ((qmax - qmin) / 2), zero at the middle. SYMMETRIC_NO_CLIPPING: the larger of min/qmin
    and max/qmax, so that neither end clips. ASYMMETRIC: scale = (max - min) / (qmax - qmin) with a zero point.
    STRETCHED: a grid of halves -qmax, ..., -1/2, 1/2, ..., qmax, without a zero; qmax = 2**(bits-1) - 1/2, scale =
    range / qmax, codes q = x / scale - 1/2, the zero point always -1/2.
    """

    SYMMETRIC = "symmetric"
    SYMMETRIC_NO_CLIPPING = "symmetric_no_clipping"
    ASYMMETRIC = "asymmetric"
    STRETCHED = "stretched"


INTEGER_GRIDS: Final = (Mapping.SYMMETRIC, Mapping.SYMMETRIC_NO_CLIPPING, Mapping.ASYMMETRIC)


class Extent(StrEnum):
    """What a group's range is: its extremes, or a mean to both sides of zero, or the nearer of the two."""

    MIN_MAX = "min_max"
    MEAN = "mean"  # mean|x|, as BitNet has it
    ABS_MEAN = "abs_mean"  # bits * mean|x|
    CAPPED_ABS_MEAN = "capped_abs_mean"  # min(bits * mean|x|, max|x|)


class ZeroPointDomain(StrEnum):
    """INT: an integer code, x = (q - z) * s. FLOAT: a value, x = (q - mid) * s + z. NONE: x = q * s."""

    INT = "int"
    FLOAT = "float"
    NONE = "none"
