"""Decisions of steps 7 to 10: the zero point of a group."""

from enum import StrEnum


class ZeroPointScale(StrEnum):
    """Which scale the zero point is computed from."""

    UNROUNDED = "unrounded"
    STORED = "stored"


class ZeroPointDivision(StrEnum):
    """min / s, or min * (1/s)."""

    DIVIDE = "divide"
    RECIPROCAL_MULTIPLY = "reciprocal_multiply"


class ZeroPointRule(StrEnum):
    """From which end of the range the zero point is computed; d = min/s, e = max/s.

    FROM_VALUE is torchao's asymmetric QAT: the value that tinygemm stores for a zero point, cut to an integer code.
    """

    FROM_MIN = "from_min"  # qmin - d
    FROM_MAX = "from_max"  # qmax - e
    MIN_ERROR = "min_error"  # qmin - d if (qmin + d) + (qmax + e) > 0 else qmax - e (XNNPACK)
    FROM_VALUE = "from_value"  # R_S(min + s * 2**(bits-1)), neither rounded nor clamped before it is stored in Z


class ZeroPointRoundOrder(StrEnum):
    """qmin - r(d), or r(qmin - d)."""

    ROUND_FIRST = "round_first"
    SUBTRACT_FIRST = "subtract_first"


class ZeroPointRounding(StrEnum):
    """How a zero point is rounded to an integer."""

    HALF_EVEN = "half_even"
    HALF_AWAY = "half_away"
    TRUNCATE = "truncate"


class ZeroPointClamp(StrEnum):
    """Whether the zero point is clamped to [qmin, qmax]."""

    CLAMP = "clamp"
    NONE = "none"


class FloatZeroPoint(StrEnum):
    """FLOAT domain: min + s * mid with mid = (qmax + qmin + 1) / 2 (tinygemm), or min."""

    MIN_PLUS_MID = "min_plus_mid"
    MIN = "min"


class ZeroPointCast(StrEnum):
    """How a float zero point meets an integer Z."""

    TRUNCATE = "truncate"
    NEAREST = "nearest"


class ZeroPointOffset(StrEnum):
    """MINUS_ONE stores z - 1 and undoes it before use (GPTQ v1)."""

    NONE = "none"
    MINUS_ONE = "minus_one"
