"""How reals become integers: the mapping of a range to the grid, and the domain in which zero is written."""

from enum import StrEnum


class Mapping(StrEnum):
    """How a range of reals becomes the grid [qmin, qmax].

    SYMMETRIC: scale = max|x| / ((qmax - qmin) / 2), zero at the middle. SYMMETRIC_NO_CLIPPING: the larger of min/qmin
    and max/qmax, so that neither end clips. ASYMMETRIC: scale = (max - min) / (qmax - qmin) with a zero point.
    """

    SYMMETRIC = "symmetric"
    SYMMETRIC_NO_CLIPPING = "symmetric_no_clipping"
    ASYMMETRIC = "asymmetric"


class ZeroPointDomain(StrEnum):
    """INT: an integer code, x = (q - z) * s. FLOAT: a value, x = (q - mid) * s + z. NONE: x = q * s."""

    INT = "int"
    FLOAT = "float"
    NONE = "none"
